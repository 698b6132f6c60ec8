"""Equivariant message-passing potentials, trained by the package `mace-torch`."""

from bloomery.engines.mace.engine import Mace

__all__ = ["Mace"]
