"""Gaussian approximation potentials, fitted by `gap_fit`."""

from bloomery.engines.gap.engine import Gap

__all__ = ["Gap"]
