"""Reinforcement campaigns for interatomic potentials: AiiDA data, calculations and workflows on top of ``bloomery``."""

from bloomery import __version__

__all__ = ["__version__"]
