"""Join the ledgers of all batches, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction


@calcfunction
def merge_ledgers(**ledgers: orm.Dict) -> orm.Dict:
    """Return all entries in the order of the batches; each says its ``batch`` and ``iteration``.

    Parameters
    ----------
    ledgers
        By key of the batch, ``batch_000`` and so on.
    """
    entries = []
    for batch, ledger in sorted(ledgers.items()):
        iteration = int(batch.rpartition("_")[2])
        entries += [{**entry, "batch": batch, "iteration": iteration} for entry in ledger["entries"]]
    return orm.Dict({"entries": entries})
