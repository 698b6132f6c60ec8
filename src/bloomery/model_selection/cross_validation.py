"""Errors by cross-validation: each frame is predicted by a potential that has not seen its fold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from bloomery.campaign.control import Arrays, FrameErrors
from bloomery.campaign.targets import COMPARED, TARGETS, Compared
from bloomery.campaign.validation import Part
from bloomery.statistics import MILLI, Bootstrap, Number


class FoldErrors(Part):
    """RMSE over the frames of all folds together, of each fold, and its standard deviation over folds."""

    rmse: Number
    folds: dict[str, Number] = Field(default={})
    spread: Number | None = None


class CrossValidation(Part):
    """Errors by cross-validation."""

    n_frames: int = 0
    n_folds: int = 0
    forces: FoldErrors | None = None
    energy: FoldErrors | None = None

    def errors(self, quantity: Compared) -> FoldErrors | None:
        """Those of forces or energies."""
        return self.forces if quantity == "forces" else self.energy


def pooled(folds: Mapping[str, Arrays], *, seed: int = 0) -> CrossValidation:
    """Errors over the frames of all folds together, and of each fold, from arrays of the observable `errors` by fold.

    The 95 % interval of the whole is a bootstrap over trajectory blocks, as everywhere; it leaves out that folds share
    most of what they learned from. The spread over folds is their standard deviation.
    """
    names = sorted(folds)
    blocks, first = [], 0
    for name in names:
        own = np.asarray(folds[name]["frame_block"], dtype=np.int64)
        blocks.append(own + first)
        first += int(own.max(initial=-1)) + 1
    bootstrap = Bootstrap(np.concatenate(blocks), seed=seed) if blocks else None
    errors = {}
    for quantity in COMPARED:
        unit = TARGETS[quantity].unit
        parts = [FrameErrors.of(folds[name], quantity) for name in names]
        whole = [np.concatenate([getattr(part, name) for part in parts] or [[]]) for name in ("squares", "counts")]
        if bootstrap is None or not whole[1].sum():
            continue
        bounds = bootstrap.interval(lambda squares, counts: MILLI * np.sqrt(squares / counts), *whole)
        rmse = Number.of(MILLI * float(np.sqrt(whole[0].sum() / whole[1].sum())), unit, *bounds)
        of_fold = {name: Number.of(MILLI * part.rmse, unit) for name, part in zip(names, parts, strict=True)}
        values = [number.value for number in of_fold.values()]
        spread = {"spread": Number.of(float(np.std(values, ddof=1)), unit)} if len(values) > 1 else {}
        errors[quantity] = FoldErrors(rmse=rmse, folds=of_fold, **spread)
    return CrossValidation(n_frames=sum(map(len, blocks)), n_folds=len(names), **errors)
