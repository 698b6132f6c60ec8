"""What a campaign plans, records and decides, in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.job_costs import core_seconds, gpu_seconds
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import under
from aiida_bloomery.data.potential import PotentialData
from bloomery.campaign import measuring, record, recording, stopping
from bloomery.campaign.agreement import Summary
from bloomery.campaign.control import ControlSettings
from bloomery.campaign.measuring import EACH, FINAL, Measured, ValidationSettings
from bloomery.campaign.planning import SelectionSettings, plan, with_expected
from bloomery.campaign.properties import LearntProperty, PropertiesSettings
from bloomery.campaign.stages import StageSettings
from bloomery.campaign.validation import Validation
from bloomery.campaign.words import Word
from bloomery.seeds import derive_seed


@calcfunction
def plan_iteration(
    seed: orm.Int,
    stage: orm.Dict,
    selection: orm.Dict,
    stop: orm.Dict,
    history: orm.Dict | None = None,
    control: orm.Dict | None = None,
    adopted: orm.Dict | None = None,
    before: orm.Dict | None = None,
    starts: orm.Dict | None = None,
    expected: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Return the inputs of an iteration's stages.

    These are ``seed``, ``samplers`` (by key), ``descriptor``, ``selection``, ``observables`` and, where errors are
    known, ``scale``.

    Parameters
    ----------
    stage
        ``{"samplers": [...], "selectors": [...]}``: of the bootstrap, or of the loop.
    selection
        ``{"descriptor": ..., "selectors": [...], "roles": {...}}``.
    stop
        The stop rules; the label budget limits how many frames may be selected.
    history
        What happened so far; none for the bootstrap.
    control
        ``{"arm": [...], "trainings"}``, if there is a control arm.
    adopted
        What became of the labelled frames that the campaign began with, if there were any.
    before
        History of the campaign that the potential is of which drives the bootstrap.
    starts
        Which starts of potentials are compared, if any are.
    expected
        Funnel of the batch of the iteration before, where that is being labelled and not in the history yet.
    """
    known = record.Record.read(content(history)) or record.Record()
    selected = record.Funnel.read(content(expected))
    planned = plan(
        seed.value,
        StageSettings.model_validate(stage.get_dict()),
        SelectionSettings.model_validate(selection.get_dict()),
        stopping.StopRules.model_validate(stop.get_dict()),
        known if selected is None else with_expected(known, selected),
        None if control is None else ControlSettings.model_validate(control.get_dict()),
        record.Adopted.read(content(adopted)),
        record.Record.read(content(before)),
        compares=starts is not None,
    )
    outputs: dict[str, orm.Data] = {
        "seed": orm.Int(planned.seed),
        "descriptor": orm.Dict(planned.descriptor),
        "selection": orm.Dict(planned.selection),
    }
    for name, jobs in (("samplers", planned.samplers), ("observables", planned.observables)):
        outputs |= {f"{name}__{key}": orm.Dict(value) for key, value in jobs.items()}
    if planned.scale is not None:
        outputs["scale"] = orm.Dict(planned.scale.model_dump(exclude_none=True))
    return outputs


@calcfunction
def plan_validation(settings: orm.Dict) -> dict[str, orm.Dict]:
    """Return parameters of observables, by when they are measured and key: ``final__*``, ``each_iteration__*``.

    ``independent__*`` are those of an independent set, ``samplers__*`` make a trajectory of the reference method.
    """
    validated = ValidationSettings.model_validate(settings.get_dict())
    jobs = {when: measuring.observable_jobs(validated, when) for when in (FINAL, EACH)}
    jobs |= {"independent": measuring.independent_jobs(), "samplers": measuring.sampler_jobs(validated)}
    return {f"{when}__{key}": orm.Dict(value) for when, found in jobs.items() for key, value in found.items()}


@calcfunction
def next_seed(seed: orm.Int) -> orm.Int:
    """Return a seed that follows from this one and has nothing in common with it."""
    return orm.Int(derive_seed(seed.value, "next"))


MEASURED = "measured__"


@calcfunction
def record_iteration(
    funnel: orm.Dict | None = None,
    history: orm.Dict | None = None,
    ledger: orm.Dict | None = None,
    batch: ConfigurationsData | None = None,
    potential: PotentialData | None = None,
    training: orm.Dict | None = None,
    validation: orm.Dict | None = None,
    assess_probe: orm.Dict | None = None,
    assess_selected: orm.Dict | None = None,
    **further: orm.Data,
) -> orm.Dict:
    """Return the history, none at the bootstrap, with one more iteration; what a stage did not give is left out.

    Parameters
    ----------
    funnel
        Of the selection; none where nothing was sampled.
    ledger, batch
        What the labelling gave.
    potential, training, validation
        The new potential, how its training went, and its errors on the whole probe.
    assess_probe, assess_selected
        Errors of the potential before on the newly labelled frames.
    further
        ``measured__*``: what else was measured, see `measured_from`. Of the control arm ``control_ledger``,
        ``control_batch``, ``control_potential``, ``control_training``, ``control_validation``,
        ``control_measured__*``, and ``comparison`` of both arms. ``word_*``: words on labels that the training was the
        first to heed. ``adopted``: labelled frames that the campaign began with; ``held_out``: errors on those of them
        that are held out. ``starts``: which start the potential is of, where several were compared. ``driver``: the
        potential that drove the pool, where that need not be the one before. ``jobs``: UUIDs of the jobs whose hours
        are this iteration's, by stage. ``properties``: those that the campaign learns; ``learnt__*`` is what the job
        of each reports, and ``model__*`` its model.
    """
    selected = record.Funnel.read(content(funnel)) or record.Funnel()
    own = {"ledger": ledger, "batch": batch, "potential": potential, "training": training, "validation": validation}
    assess = {"probe": content(assess_probe), "selected": content(assess_selected)}
    errors = {frames: summary for frames, summary in assess.items() if summary is not None}
    continued = recording.with_iteration(
        record.Record.read(content(history)) or record.Record(),
        _arm(selected, {**further, **own}),
        assess=record.Assessment.model_validate(errors) if errors else None,
        control=_arm(selected.control, under("control_", further)) if selected.control is not None else None,
        comparison=record.Comparison.read(content(further.get("comparison"))),
        words=_words(further),
        adopted=record.Adopted.read(content(further.get("adopted"))),
        driver=str(further["driver"].uuid) if "driver" in further else "",
        starts=record.StartsCompared.read(content(further.get("starts"))),
        hours=hours_of(further.get("jobs")),
        properties=_properties(further),
    )
    return orm.Dict(continued.as_dict())


def hours_of(jobs: orm.Dict | None) -> dict[str, record.Hours]:
    """Return what jobs took, which are given by UUID and stage."""
    found = {
        stage: [orm.load_node(uuid=uuid) for uuid in uuids]
        for stage, uuids in (jobs.get_dict() if jobs is not None else {}).items()
    }
    return {
        stage: record.Hours(
            core_hours=round(sum(map(core_seconds, nodes)) / 3600, 9),
            gpu_hours=round(sum(map(gpu_seconds, nodes)) / 3600, 9),
            jobs=len(nodes),
        )
        for stage, nodes in found.items()
    }


def _properties(nodes: Mapping[str, Any]) -> dict[str, LearntProperty]:
    """How well each property is known that the campaign learns."""
    if "properties" not in nodes:
        return {}
    wanted = PropertiesSettings.model_validate(nodes["properties"].get_dict()).learned
    reports, models = under("learnt__", nodes), under("model__", nodes)
    return {
        name: LearntProperty.of(reports[name].get_dict(), str(models[name].uuid))
        if name in models
        else LearntProperty()
        for name in wanted
    }


def _words(nodes: Mapping[str, Any]) -> list[Word]:
    return [Word.model_validate(node.get_dict()) for _, node in sorted(under("word_", nodes).items())]


def _arm(funnel: record.Funnel, nodes: Mapping[str, Any]) -> record.ArmIteration:
    """What the stages of an arm gave."""
    ledger, batch, potential, training = (nodes.get(name) for name in ("ledger", "batch", "potential", "training"))
    return recording.arm_iteration(
        funnel,
        [record.LabelOutcome.model_validate(entry) for entry in ledger["entries"]] if ledger is not None else (),
        batch.configurations.info["role"].tolist() if batch is not None else (),
        validation=Validation.read(content(nodes.get("validation"))),
        training=record.Training.read(training.get_dict().get("summary")) if training is not None else None,
        potential=str(potential.uuid) if potential is not None else "",
        batch=str(batch.uuid) if batch is not None else "",
        measured=measured_from(under(MEASURED, nodes), EACH),
        held_out=Validation.read(content(nodes.get("held_out"))),
    )


@calcfunction
def decide(history: orm.Dict, stop: orm.Dict) -> orm.Dict:
    """Return ``{"done", "rule", "reason", "success"}``."""
    rules = stopping.StopRules.model_validate(stop.get_dict())
    return orm.Dict(stopping.decide(record.Record.model_validate(history.get_dict()), rules).as_dict())


@calcfunction
def conclude(
    history: orm.Dict,
    decision: orm.Dict | None = None,
    potential: PotentialData | None = None,
    validation: orm.Dict | None = None,
    control: orm.Dict | None = None,
    held_out: orm.Dict | None = None,
    starts: orm.Dict | None = None,
    jobs: orm.Dict | None = None,
    **measured: orm.Data,
) -> orm.Dict:
    """Return the history with the decision that ended it, the delivered errors, and the control's verdict.

    ``held_out`` are errors of the delivered potential on frames held out of what the campaign began with; ``starts``
    says what other starts of the potentials were worth; ``jobs`` are UUIDs of those since the last iteration, by stage.

    What else was measured of the delivered potential is told as to `measured_from`; ``word_*`` are words on labels that
    the final training was the first to heed.
    """
    concluded = recording.conclude(
        record.Record.model_validate(history.get_dict()),
        record.Decision.read(content(decision)),
        str(potential.uuid) if potential is not None else "",
        Validation.read(content(validation)),
        record.ControlVerdict.read(content(control)),
        measured_from(measured, FINAL),
        _words(measured),
        Validation.read(content(held_out)),
        record.StartsCompared.read(content(starts)),
        hours_of(jobs),
    )
    return orm.Dict(concluded.as_dict())


SETTINGS, LEDGER, OBSERVABLE, TEST_SET = "settings", "ledger", "observable__", "test_set__"


def measured_from(nodes: Mapping[str, Any], when: str) -> Measured | None:
    """Return what was measured; nothing where nothing was to be.

    Parameters
    ----------
    nodes
        ``settings``: which observables there are; ``observable__*``: their observations; ``ledger``: of the frames that
        the reference was asked about; ``test_set__*``: errors and leakage of an independent set.
    when
        ``final`` or ``each_iteration``.
    """
    if SETTINGS not in nodes:
        return None
    specs = ValidationSettings.model_validate(nodes[SETTINGS].get_dict()).observables(when)
    entries = nodes[LEDGER]["entries"] if LEDGER in nodes else ()
    return Measured(
        specs=specs,
        observables=_plain(nodes, OBSERVABLE),
        entries=[record.LabelOutcome.model_validate(entry) for entry in entries],
        test_set=_plain(nodes, TEST_SET),
    )


def _plain(nodes: Mapping[str, orm.Dict], prefix: str) -> dict[str, Summary]:
    return {key: node.get_dict() for key, node in under(prefix, nodes).items()}


def content(node: orm.Dict | None) -> Mapping[str, object] | None:
    """Return what a node holds, if there is one."""
    return None if node is None else node.get_dict()
