"""Train with the engine `metatrain`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainMetatrainCalculation(TrainCalculation):
    """Train a potential of metatrain with the engine `metatrain`."""

    ENGINE = "metatrain"
