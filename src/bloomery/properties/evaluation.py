"""Errors of predicted properties on labelled frames, with their statistical error."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.blocks import blocks_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, Property
from bloomery.potentials.calibration import coverage
from bloomery.properties.contract import FittedProperty
from bloomery.statistics import Bootstrap, Number, ToldNumber


class PropertyErrors(TypedDict):
    """Errors of a component of the property; bounds come from resampled blocks of frames."""

    n_frames: int
    rmse: ToldNumber
    share_of_scatter: ToldNumber | None
    """The error in units of how labels scatter about their mean, those of atoms about that of their element; ``None``
    where they do not."""
    within_standard_error: float
    """Share of the errors; 0.68 is expected."""


def errors_of(fitted: FittedProperty, frames: Configurations, seed: int = 0) -> PropertyErrors | None:
    """Measure a model on those frames that have the label; ``None`` if none has."""
    known = frames[frames.has(fitted.name)]
    if not len(known):
        return None
    prediction, labels = fitted.predict(known), known.label(fitted.name)[0]
    errors = (prediction.values - labels).reshape(len(labels), -1)
    scatter = (labels - _means(known, fitted.name)).reshape(len(labels), -1)
    sigma = np.repeat(prediction.sigma[:, None], errors.shape[1], axis=1)
    rows, n_frames = known.frames_of(fitted.name), len(known)

    def of_frames(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(rows, weights=values, minlength=n_frames), dtype=np.float64)

    squares, spread = (of_frames((each**2).sum(axis=1)) for each in (errors, scatter))
    components = of_frames(np.full(len(rows), float(errors.shape[1])))
    bootstrap = Bootstrap(blocks_of(known), seed=seed)
    share = None
    if spread.sum() > 0:
        share = _root("1", bootstrap, squares, spread)
    return {
        "n_frames": n_frames,
        "rmse": _root(LABELS[fitted.name].unit, bootstrap, squares, components),
        "share_of_scatter": share,
        "within_standard_error": coverage(errors, sigma, [0.68])[0.68],
    }


def _means(frames: Configurations, name: Property) -> NDArray[np.float64]:
    """Mean of the labels, ``(R, *shape)``; of labels of atoms that of each element."""
    labels = frames.label(name)[0]
    kinds = frames.numbers if LABELS[name].per == "atom" else np.zeros(len(labels), dtype=np.int64)
    means = np.empty_like(labels)
    for kind in np.unique(kinds):
        means[kinds == kind] = labels[kinds == kind].mean(axis=0)
    return means


def _root(unit: str, bootstrap: Bootstrap, above: NDArray[np.float64], below: NDArray[np.float64]) -> ToldNumber:
    """Square root of a ratio of sums over frames."""
    bounds = bootstrap.interval(lambda one, other: np.sqrt(one / other), above, below)
    return Number.of(float(np.sqrt(above.sum() / below.sum())), unit, *bounds).as_dict()


def told_errors(errors: PropertyErrors) -> str:
    """Say them in a sentence."""
    rmse, share = errors["rmse"], Number.read(errors["share_of_scatter"])
    of_scatter = ""
    if share is not None:
        said = share.in_percent
        bounds = "" if said.interval is None else f", {said.interval[0]:.2g} to {said.interval[1]:.2g} %"
        of_scatter = f" ({said.value:.2g} % of what labels scatter{bounds})"
    within = f"{100 * errors['within_standard_error']:.0f} % are within the standard error (68 % expected)"
    return (
        f"error of a component on {errors['n_frames']} labelled frames: {rmse['value']:.3g} {rmse['unit']}"
        f"{of_scatter}; {within}"
    )
