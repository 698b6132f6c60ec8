"""Errors by cross-validation: each frame is predicted by a potential that has not seen its fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bloomery.campaign.control import Arrays, FrameErrors
from bloomery.campaign.learning_curves import UNITS
from bloomery.observables.contract import number
from bloomery.observables.points.comparison import MILLI
from bloomery.statistics import Bootstrap


def pooled(folds: Mapping[str, Arrays], *, seed: int = 0) -> dict[str, Any]:
    """Errors over the frames of all folds together, and of each fold.

    The 95 % interval of the whole is a bootstrap over trajectory blocks, as everywhere; it leaves out that folds share
    most of what they learned from. The spread over folds is their standard deviation.

    Parameters
    ----------
    folds
        By the fold's name, arrays of the observable `errors`.
    """
    names = sorted(folds)
    blocks, first = [], 0
    for name in names:
        own = np.asarray(folds[name]["frame_block"], dtype=np.int64)
        blocks.append(own + first)
        first += int(own.max(initial=-1)) + 1
    bootstrap = Bootstrap(np.concatenate(blocks), seed=seed) if blocks else None
    result: dict[str, Any] = {"n_frames": sum(map(len, blocks)), "n_folds": len(names)}
    for quantity, unit in UNITS.items():
        parts = [FrameErrors.of(folds[name], quantity) for name in names]
        whole = [
            np.concatenate(values) for values in zip(*((part.squares, part.counts) for part in parts), strict=True)
        ]
        if bootstrap is None or not whole[1].sum():
            continue
        lower, upper = bootstrap.interval(lambda squares, counts: MILLI * np.sqrt(squares / counts), *whole)
        rmse = [MILLI * part.rmse for part in parts]
        result[quantity] = {
            "rmse": number(MILLI * float(np.sqrt(whole[0].sum() / whole[1].sum())), unit, lower, upper),
            "folds": dict(zip(names, (number(value, unit) for value in rmse), strict=True)),
        }
        if len(rmse) > 1:
            result[quantity]["spread"] = number(float(np.std(rmse, ddof=1)), unit)
    return result
