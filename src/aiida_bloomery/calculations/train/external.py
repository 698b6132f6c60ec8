"""Train with the engine `external`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainExternalCalculation(TrainCalculation):
    """Train with any code that a definition of the engine `external` describes."""

    ENGINE = "external"
