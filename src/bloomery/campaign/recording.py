"""How a record grows: by what the stages of an iteration gave, and by how the campaign ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bloomery.campaign.measuring import Measured
from bloomery.campaign.properties import LearntProperty
from bloomery.campaign.record import (
    Adopted,
    ArmIteration,
    Assessment,
    Comparison,
    ControlIteration,
    ControlVerdict,
    Decision,
    Final,
    Funnel,
    HoursByStage,
    Iteration,
    LabelOutcome,
    Labels,
    Record,
    Retraining,
    StartsCompared,
    Training,
)
from bloomery.campaign.validation import Validation
from bloomery.campaign.words import OUTCOME, HeededWord, Word, name_of


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
    held_out: Validation | None = None,
) -> ArmIteration:
    """Return what an arm did in an iteration.

    The ledger's ``entries`` are those of frames that only this arm wanted or that the campaign had asked for first,
    ``roles`` those of its labelled frames. ``validation``, ``training`` and ``measured`` (observables beside the
    reference, and errors on an independent set) are of the new potential, as is ``held_out``; labels that observables
    take are counted apart.
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
            **_beyond(measured, held_out),
        }
    )


def with_iteration(
    record: Record,
    own: ArmIteration,
    *,
    assess: Assessment | None = None,
    control: ArmIteration | None = None,
    comparison: Comparison | None = None,
    words: Sequence[Word] = (),
    adopted: Adopted | None = None,
    starts: StartsCompared | None = None,
    driver: str = "",
    hours: HoursByStage | None = None,
    properties: Mapping[str, LearntProperty] | None = None,
) -> Record:
    """Return the record with one more iteration: of the campaign, and of its control arm with the comparison of both.

    Its training was the first to heed the ``words``, those that take labels out; the potentials before may have learnt
    from these. Labels from the cache count as spent: whether a label exists already must not change what is selected.
    Those of frames that the campaign began with, ``adopted``, do not. ``driver`` (UUID) is the potential that drove the
    pool, where that need not be the one of the iteration before. ``hours`` is what jobs took since the one before.
    ``properties`` are those that it learns, also those that could not be learnt, of which nothing is known.
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
    if words:
        entry["words"] = [heeded(word, record) for word in words]
    if adopted is not None:
        entry["adopted"] = adopted
    if starts is not None:
        entry["starts"] = starts
    drivers = [earlier.iteration for earlier in record.iterations if driver and earlier.potential == driver]
    if drivers:
        entry["driven_by"] = drivers[-1]
    if hours:
        entry["hours"] = hours
    if properties:
        entry["properties"] = {name: found for name, found in properties.items() if found.model}
        entry["properties_missing"] = [name for name, found in properties.items() if not found.model]
    return Record(iterations=[*record.iterations, Iteration.model_validate(entry)])


def heeded(word: Word, record: Record) -> HeededWord:
    """Return a word with what its labels took, and the potentials of the record that had learnt from them.

    These are the campaign's own: of every iteration from that on whose batch holds one of the frames, unless all of
    these are of the probe.
    """
    learnt = [frame for frame in word.frames if frame.role != "probe" and frame.batch.startswith("batch_")]
    first = min((int(frame.batch.rpartition("_")[2]) for frame in learnt), default=len(record.iterations))
    potentials = [entry.potential for entry in record.iterations[first:] if entry.potential]
    later = [record.final.potential] if record.final else []
    potentials += [*later, *(part.potential for part in record.retrained)] if learnt else []
    return HeededWord(
        verb=word.verb,
        frames=[name_of(frame.batch, frame.frame) for frame in word.frames],
        who=word.who,
        when=word.when,
        why=word.why,
        seconds=round(sum(frame.seconds for frame in word.frames), 3),
        potentials=list(dict.fromkeys(filter(None, potentials))) if word.verb in OUTCOME else [],
    )


def with_retraining(
    record: Record,
    potential: str,
    validation: Validation | None,
    training: Training | None,
    n_frames: int,
    words: Sequence[Word],
) -> Record:
    """Return the record of a campaign that has ended, with a potential trained on what words have left.

    It is what is delivered from now on. Words that an earlier training had heeded are not told again.
    """
    told = {(word.verb, word.when) for word in record.words}
    before = record.final.potential if record.final else ""
    retraining = Retraining(
        potential=potential,
        before=before,
        validation=validation,
        training=training,
        n_frames=n_frames,
        words=[heeded(word, record) for word in words if (word.verb, word.when) not in told],
    )
    hours = {"hours": record.final.hours} if record.final and record.final.hours else {}
    final = Final.model_validate({"potential": potential, "validation": validation, **hours})
    return record.model_copy(update={"final": final, "retrained": [*record.retrained, retraining]})


def conclude(
    record: Record,
    decision: Decision | None,
    potential: str,
    validation: Validation | None,
    control: ControlVerdict | None = None,
    measured: Measured | None = None,
    words: Sequence[Word] = (),
    held_out: Validation | None = None,
    starts: StartsCompared | None = None,
    hours: HoursByStage | None = None,
) -> Record:
    """Return the record with its end: the decision, the delivered potential with its errors, the control's verdict.

    The final training was the first to heed the ``words``; ``starts`` says what other starts were worth, ``hours`` what
    jobs took since the last iteration.
    """
    final = {"potential": potential, "validation": validation or record.latest, **_beyond(measured, held_out)}
    if hours:
        final["hours"] = hours
    end: dict[str, object] = {"decision": decision, "final": Final.model_validate(final)}
    if starts is not None:
        end["starts"] = starts
    if words:
        end["words_at_the_end"] = [heeded(word, record) for word in words]
    return record.model_copy(update=end if control is None else {**end, "control": control})


def _beyond(measured: Measured | None, held_out: Validation | None) -> dict[str, object]:
    found: dict[str, object] = measured.beyond.as_dict() if measured is not None else {}
    return found if held_out is None else {**found, "held_out": held_out}
