"""Train with the engine `gap`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainGapCalculation(TrainCalculation):
    """Fit Gaussian approximation potentials with the engine `gap`."""

    ENGINE = "gap"
