"""How a record grows: by what the stages of an iteration gave, and by how the campaign ended."""

from __future__ import annotations

from collections.abc import Sequence

from bloomery.campaign.measuring import Measured
from bloomery.campaign.record import (
    ArmIteration,
    Assessment,
    Comparison,
    ControlIteration,
    ControlVerdict,
    Decision,
    Final,
    Funnel,
    Iteration,
    LabelOutcome,
    Labels,
    Record,
    Training,
)
from bloomery.campaign.validation import Validation


def arm_iteration(
    funnel: Funnel,
    entries: Sequence[LabelOutcome] = (),
    roles: Sequence[str] = (),
    *,
    validation: Validation | None = None,
    training: Training | None = None,
    potential: str = "",
    batch: str = "",
    measured: Measured | None = None,
) -> ArmIteration:
    """Return what an arm did in an iteration.

    The ledger's ``entries`` are those of frames that only this arm wanted or that the campaign had asked for first,
    ``roles`` those of its labelled frames. ``validation``, ``training`` and ``measured`` (observables beside the
    reference, and errors on an independent set) are of the new potential; labels that the last takes are counted apart.
    """
    return ArmIteration.model_validate(
        {
            "n_selected": funnel.n_selected,
            "funnel": funnel.funnel,
            "labels": Labels.of(entries, roles),
            "validation": validation,
            "training": training,
            "potential": potential,
            "batch": batch,
            **_beyond(measured),
        }
    )


def with_iteration(
    record: Record,
    own: ArmIteration,
    *,
    assess: Assessment | None = None,
    control: ArmIteration | None = None,
    comparison: Comparison | None = None,
) -> Record:
    """Return the record with one more iteration: of the campaign, and of its control arm with the comparison of both.

    Labels from the cache count as spent: whether a label exists already must not change what is selected.
    """
    entry = own.as_dict() | {
        "iteration": len(record.iterations),
        "n_pool": own.funnel[0].came_in if own.funnel else 0,
        "labels_total": record.spent + own.counts.spent + (control.counts.spent if control else 0),
        "assess": assess,
    }
    if control is not None:
        labels = {**control.counts.as_dict(), "shared": control.n_selected - control.counts.spent}
        arm = {**control.as_dict(), "labels": labels, "comparison": comparison}
        entry["control"] = ControlIteration.model_validate(arm)
    return Record(iterations=[*record.iterations, Iteration.model_validate(entry)])


def conclude(
    record: Record,
    decision: Decision | None,
    potential: str,
    validation: Validation | None,
    control: ControlVerdict | None = None,
    measured: Measured | None = None,
) -> Record:
    """Return the record with its end: the decision, the delivered potential with its errors, the control's verdict."""
    final = {"potential": potential, "validation": validation or record.latest, **_beyond(measured)}
    end = {"decision": decision, "final": Final.model_validate(final)}
    return record.model_copy(update=end if control is None else {**end, "control": control})


def _beyond(measured: Measured | None) -> dict[str, object]:
    return measured.beyond.as_dict() if measured is not None else {}
