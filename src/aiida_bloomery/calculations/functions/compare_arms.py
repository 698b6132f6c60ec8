"""Compare the potentials of both arms, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign.control import Arrays, compare


@calcfunction
def compare_arms(selection: orm.ArrayData, control: orm.ArrayData, seed: orm.Int) -> orm.Dict:
    """Return how the errors of the two potentials differ on the same frames of the probe.

    Parameters
    ----------
    selection, control
        Arrays of the observable `errors`.
    seed
        Of the bootstrap over blocks.
    """
    return orm.Dict(compare([arrays_of(selection)], [arrays_of(control)], seed=seed.value))


def arrays_of(node: orm.ArrayData) -> Arrays:
    """Return all arrays of a node by name."""
    return {name: node.get_array(name) for name in node.get_arraynames()}
