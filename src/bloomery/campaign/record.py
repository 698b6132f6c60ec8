"""The history of a campaign: one entry per iteration, in plain values that a JSON file or a node can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bloomery.campaign.measuring import Measured


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
    control
        The same of the control arm: frames that only it wanted, its roles, its potential.
    comparison
        Of both arms on the probe.
    measured
        Observables of the new potential beside the reference, and its errors on an independent set. Labels that this
        takes are counted apart.
    """

    funnel: dict[str, Any]
    entries: Sequence[dict[str, Any]] = ()
    roles: Sequence[str] = ()
    validation: dict[str, Any] | None = None
    assess: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    potential: str = ""
    batch: str = ""
    control: Iteration | None = None
    comparison: dict[str, Any] | None = None
    measured: Measured | None = None

    @property
    def spent(self) -> int:
        """Labels that were spent, by both arms.

        Labels from the cache count as well: whether a label exists already must not change what is selected.
        """
        return len(self.entries) + (self.control.spent if self.control else 0)


def record(history: dict[str, Any] | None, iteration: Iteration) -> dict[str, Any]:
    """Return the history with one more iteration."""
    before = history["iterations"] if history else []
    stages = iteration.funnel.get("funnel", [])
    entry = {
        "iteration": len(before),
        "n_pool": stages[0]["came_in"] if stages else 0,
        "n_selected": int(iteration.funnel.get("n_selected", 0)),
        "funnel": stages,
        "labels": _labels(iteration),
        "labels_total": iteration.spent + (before[-1]["labels_total"] if before else 0),
        "assess": iteration.assess or None,
        "validation": iteration.validation,
        "training": (iteration.training or {}).get("summary"),
        "potential": iteration.potential,
        "batch": iteration.batch,
        **_measured(iteration.measured),
    }
    if iteration.control is not None:
        entry["control"] = _control(iteration.control, iteration.comparison)
    return {"iterations": [*before, entry]}


def _measured(measured: Measured | None) -> dict[str, Any]:
    return measured.as_dict() if measured is not None else {}


def _labels(iteration: Iteration) -> dict[str, Any]:
    outcomes = Counter(entry["outcome"] for entry in iteration.entries)
    return {
        **{outcome: outcomes[outcome] for outcome in ("labelled", "cached", "failed")},
        "by_role": dict(sorted(Counter(iteration.roles).items())),
        "seconds": float(sum(entry["seconds"] for entry in iteration.entries)),
    }


def _control(control: Iteration, comparison: dict[str, Any] | None) -> dict[str, Any]:
    wanted = int(control.funnel.get("n_selected", 0))
    return {
        "n_selected": wanted,
        "funnel": control.funnel.get("funnel", []),
        "labels": {**_labels(control), "shared": wanted - len(control.entries)},
        "validation": control.validation,
        "training": (control.training or {}).get("summary"),
        "potential": control.potential,
        "batch": control.batch,
        "comparison": comparison,
        **_measured(control.measured),
    }


def conclude(
    history: dict[str, Any],
    decision: dict[str, Any] | None,
    potential: str,
    validation: dict[str, Any] | None,
    control: dict[str, Any] | None = None,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Return the history with its end: the decision, the delivered potential with its errors, the control's verdict."""
    return {
        **history,
        "decision": decision,
        "final": {
            "potential": potential,
            "validation": validation or _last_validation(history),
            **_measured(measured),
        },
        **({"control": control} if control is not None else {}),
    }


def measured_number(validation: dict[str, Any], target: str) -> dict[str, Any] | None:
    """Return the measured number that a target is about."""
    group, key = ("forces", "relative_rmse") if target == "relative_forces" else (target, "rmse")
    found = validation.get(group, {}).get(key)
    return found if isinstance(found, dict) else None


def labels_to_learn_from(history: dict[str, Any]) -> dict[str, list[int]]:
    """How many labelled frames the potentials of each arm could learn from, by iteration; the probe is not among them.

    The bootstrap is shared by both arms.
    """
    arms: dict[str, list[int]] = {"selection": [], "control": []}
    for entry in history["iterations"]:
        for arm, counts in arms.items():
            own = entry.get("control") or {} if arm == "control" and counts else entry
            roles = own.get("labels", {}).get("by_role", {})
            new = sum(number for role, number in roles.items() if role != "probe")
            counts.append(new + (counts[-1] if counts else 0))
    return arms


def _last_validation(history: dict[str, Any]) -> dict[str, Any] | None:
    return next((entry["validation"] for entry in reversed(history["iterations"]) if entry["validation"]), None)
