"""What labels with the same settings cost before, by the ledgers of earlier campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_bloomery.calculations.label_cache import method_digest
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.progress import campaigns
from bloomery.campaign.words import Cost, Entry, costs
from bloomery.errors import InputError

LATEST = 20
"""So many campaigns are looked at."""


def known_cost(labeller: str, labelling: Mapping[str, Any]) -> Cost | None:
    """Return what labels of a labeller with these inputs took in the latest campaigns; ``None`` if they had none.

    Labels that were found or taken over cost nothing and are left out; those that failed cost something.
    """
    wanted = method_digest(labeller, labelling)
    found: list[Entry] = [
        entry
        for node in campaigns()[:LATEST]
        if _is_alike(node, labeller, wanted)
        for entry in ledger.entries(node)
        if int(entry["attempts"]) and entry["outcome"] != "cached"
    ]
    return costs(found, ledger.cores_of_frame, "")[""] if found else None


def _is_alike(node: Any, labeller: str, wanted: str) -> bool:
    if "labeller" not in node.inputs or node.inputs.labeller.value != labeller or "labelling" not in node.inputs:
        return False
    try:
        return method_digest(labeller, node.inputs.labelling) == wanted
    except InputError:  # settings of another version
        return False
