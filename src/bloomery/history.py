"""The history of a campaign: one entry per iteration, in plain values that a JSON file or a node can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Iteration:
    """What the stages of one iteration reported.

    Parameters
    ----------
    funnel
        Of the selection: ``{"funnel": [...], "n_selected", "roles"}``.
    entries
        The ledger's entries.
    roles
        Role of each labelled frame.
    validation, assess
        Summaries of the errors observable: of the new potential on the whole probe, and of the one before on the newly
        labelled frames, by ``probe`` and ``selected``.
    training
        ``{"columns", "summary"}``.
    potential, batch
        UUIDs.
    """

    funnel: dict[str, Any]
    entries: Sequence[dict[str, Any]] = ()
    roles: Sequence[str] = ()
    validation: dict[str, Any] | None = None
    assess: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    potential: str = ""
    batch: str = ""


def record(history: dict[str, Any] | None, iteration: Iteration) -> dict[str, Any]:
    """Return the history with one more iteration."""
    before = history["iterations"] if history else []
    outcomes = Counter(entry["outcome"] for entry in iteration.entries)
    # Labels from the cache count as well: whether a label exists already must not change what is selected.
    spent = outcomes["labelled"] + outcomes["cached"] + outcomes["failed"]
    stages = iteration.funnel.get("funnel", [])
    entry = {
        "iteration": len(before),
        "n_pool": stages[0]["came_in"] if stages else 0,
        "n_selected": int(iteration.funnel.get("n_selected", 0)),
        "funnel": stages,
        "labels": {
            **{outcome: outcomes[outcome] for outcome in ("labelled", "cached", "failed")},
            "by_role": dict(sorted(Counter(iteration.roles).items())),
            "seconds": float(sum(entry["seconds"] for entry in iteration.entries)),
        },
        "labels_total": spent + (before[-1]["labels_total"] if before else 0),
        "assess": iteration.assess or None,
        "validation": iteration.validation,
        "training": (iteration.training or {}).get("summary"),
        "potential": iteration.potential,
        "batch": iteration.batch,
    }
    return {"iterations": [*before, entry]}


def conclude(
    history: dict[str, Any], decision: dict[str, Any] | None, potential: str, validation: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the history with its end: the decision, and the delivered potential with its errors."""
    return {
        **history,
        "decision": decision,
        "final": {"potential": potential, "validation": validation or _last_validation(history)},
    }


def _last_validation(history: dict[str, Any]) -> dict[str, Any] | None:
    return next((entry["validation"] for entry in reversed(history["iterations"]) if entry["validation"]), None)
