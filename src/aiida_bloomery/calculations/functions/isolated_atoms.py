"""Settings of programs for atoms alone."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction


@calcfunction
def isolated_atom_rules(rules: orm.Dict) -> orm.Dict:
    """Return rules that make inputs of isolated atoms: at Gamma, each in a spin of its own, as its program has it."""
    return orm.Dict({**rules.get_dict(), "isolated": True})
