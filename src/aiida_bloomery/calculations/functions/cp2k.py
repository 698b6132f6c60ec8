"""Settings of CP2K for atoms alone."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction


@calcfunction
def isolated_atom_rules(rules: orm.Dict) -> orm.Dict:
    """Return the rules for isolated atoms: open along all directions, in their ground states, at Gamma."""
    return orm.Dict({**rules.get_dict(), "isolated": True})
