"""Errors of predicted properties on labelled frames."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS
from bloomery.potentials.calibration import coverage
from bloomery.properties.contract import FittedProperty


class Measured(TypedDict):
    """A number with its unit."""

    value: float
    unit: str


class PropertyErrors(TypedDict):
    """Errors of a component of the property."""

    n_frames: int
    rmse: Measured
    share_of_scatter: float | None
    """The error in units of how labels scatter; ``None`` where they do not."""
    within_standard_error: float
    """Share of the errors; 0.68 is expected."""


def errors_of(fitted: FittedProperty, frames: Configurations) -> PropertyErrors | None:
    """Measure a model on those frames that have the label; ``None`` if none has."""
    known = frames[frames.has(fitted.name)]
    if not len(known):
        return None
    prediction, labels = fitted.predict(known), known.label(fitted.name)[0]
    errors = (prediction.values - labels).reshape(len(labels), -1)
    rmse, scatter = float(np.sqrt((errors**2).mean())), float(np.sqrt(labels.var(axis=0).mean()))
    sigma = np.repeat(prediction.sigma[:, None], errors.shape[1], axis=1)
    return {
        "n_frames": len(known),
        "rmse": {"value": rmse, "unit": LABELS[fitted.name].unit},
        "share_of_scatter": rmse / scatter if scatter > 0 else None,
        "within_standard_error": coverage(errors, sigma, [0.68])[0.68],
    }


def told_errors(errors: PropertyErrors) -> str:
    """Say them in a sentence."""
    rmse, share = errors["rmse"], errors["share_of_scatter"]
    of_scatter = "" if share is None else f" ({100 * share:.2g} % of what labels scatter)"
    within = f"{100 * errors['within_standard_error']:.0f} % are within the standard error (68 % expected)"
    return (
        f"error of a component on {errors['n_frames']} labelled frames: {rmse['value']:.3g} {rmse['unit']}"
        f"{of_scatter}; {within}"
    )
