"""Train with the engine `mace`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainMaceCalculation(TrainCalculation):
    """Train, continue or fine-tune equivariant message-passing potentials with the engine `mace`."""

    ENGINE = "mace"
