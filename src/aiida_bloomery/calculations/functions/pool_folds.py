"""Put the folds of a cross-validation together, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.model_selection.cross_validation import pooled


@calcfunction
def pool_folds(seed: orm.Int, **folds: orm.ArrayData) -> orm.Dict:
    """Return errors over the frames of all folds; ``folds`` are the arrays of `errors` by the fold's key."""
    arrays = {key: {name: node.get_array(name) for name in node.get_arraynames()} for key, node in folds.items()}
    return orm.Dict(pooled(arrays, seed=seed.value))
