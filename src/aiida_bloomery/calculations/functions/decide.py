"""Decide whether a campaign is done, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign import stopping


@calcfunction
def decide(history: orm.Dict, stop: orm.Dict) -> orm.Dict:
    """Return ``{"done", "rule", "reason", "success"}``."""
    rules = stopping.StopRules.model_validate(stop.get_dict())
    return orm.Dict(stopping.decide(history.get_dict(), rules).as_dict())
