"""Train the embedded engine: a committee of neural networks on atom-centred descriptors."""

from __future__ import annotations

from aiida_bloomery.calculations.train.base import TrainCalculation


class TrainHdnnpCalculation(TrainCalculation):
    """Fit a committee of high-dimensional neural-network potentials with the engine `hdnnp`."""

    ENGINE = "hdnnp"
