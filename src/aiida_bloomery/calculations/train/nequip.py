"""Train with the engine `nequip`, in its own environment."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainNequipCalculation(TrainCalculation):
    """Train an equivariant potential with the engine `nequip`."""

    ENGINE = "nequip"
