"""Train with the engine `deepmd`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainDeepmdCalculation(TrainCalculation):
    """Train a deep potential with the engine `deepmd`."""

    ENGINE = "deepmd"
