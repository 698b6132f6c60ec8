"""Draw a new seed from an old one, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.seeds import derive_seed


@calcfunction
def next_seed(seed: orm.Int) -> orm.Int:
    """Return a seed that follows from this one and has nothing in common with it."""
    return orm.Int(derive_seed(seed.value, "next"))
