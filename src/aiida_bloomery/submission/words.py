"""Say words on labels of a campaign, and submit what follows from them: a training after the end, labels once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiida_bloomery import services
from aiida_bloomery.setup.home import Home
from aiida_bloomery.workflows.protocols import merge
from bloomery.campaign.words import Entry, NamedFrame, Verb, Word
from bloomery.errors import InputError


def make_word(campaign: Any, verb: Verb, chosen: Sequence[Entry], why: str, by: str = "") -> Word:
    """Return a word of the profile's user on frames of a campaign, which stands nowhere yet.

    Parameters
    ----------
    campaign
        Its node.
    chosen
        Entries of its ledger.
    by
        How they were found, if they were not named.
    """
    from aiida import orm  # noqa: PLC0415

    frames = [
        NamedFrame(
            batch=str(entry["batch"]),
            frame=int(entry["frame"]),
            hash=str(entry["hash"]),
            job=str(entry["job"]),
            seconds=float(entry["seconds"]),
        )
        for entry in chosen
    ]
    return Word(
        verb=verb,
        campaign=str(campaign.uuid),
        frames=frames,
        who=orm.User.collection.get_default().email,
        when=datetime.now(UTC).isoformat(),
        why=why,
        by=by,
    )


def say_word(campaign: Any, word: Word) -> Any:
    """Say a word, and return its node; it hangs in the graph on ledgers and labels of the batches that it is about."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.calculations.functions.words import LABELLED, LEDGER, say  # noqa: PLC0415
    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415

    ledgers, labelled = campaigns.ledgers(campaign), campaigns.all_labelled(campaign)
    nodes = {}
    for batch in sorted({frame.batch for frame in word.frames}):
        if batch not in ledgers:
            ledgers[batch] = campaign.outputs.ledger
        nodes[f"{LEDGER}{batch}"] = ledgers[batch]
        if batch in labelled:
            nodes[f"{LABELLED}{batch}"] = labelled[batch]
    said = say(orm.Dict(word.as_dict()), **nodes)
    said.label = word.verb
    return said


def retraining_builder(campaign: Any) -> Any:
    """Gather the inputs of a training of a campaign that has ended, on what words have left.

    Raises
    ------
    InputError
        If it still runs, or never trained anything.
    """
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415
    from aiida_bloomery.workflows.retraining import RetrainingWorkChain  # noqa: PLC0415

    name = campaign.label or campaign.pk
    if not campaign.is_terminated:
        raise InputError(f"campaign {name} runs: it heeds the words itself, at its next training.")
    if running := [node.pk for node in campaigns.retrainings(campaign) if not node.is_terminated]:
        raise InputError(f"campaign {name} is being trained already, by process {running[0]}; wait for its end.")
    stages, result = campaigns.stages(campaign), campaigns.result(campaign)
    plans = [stage.process for stage in stages if stage.name == "plan" and stage.process.is_finished_ok]
    if not plans or "history" not in result.outputs:
        raise InputError(f"campaign {name} ended without a potential; there is nothing to train again.")
    inputs, plan = campaign.inputs, plans[-1].outputs
    builder = RetrainingWorkChain.get_builder()
    builder.campaign = orm.Str(campaign.uuid)
    builder.history = result.outputs.history
    builder.batches = campaigns.data_set(campaign)
    builder.labelled = campaigns.all_labelled(campaign)
    builder.ledgers = campaigns.ledgers(campaign)
    builder.codes = {key: inputs.codes[key] for key in inputs.codes}
    builder.seed, builder.probe = plan.seed, plan.observables.probe
    for port in ("device", "options"):
        if port in inputs:
            builder[port] = inputs[port]
    # A potential of another start than scratch has settings of its own.
    made = delivered.creator if (delivered := campaigns.potential(campaign)) is not None else None
    builder.training = inputs.training if made is None else made.inputs.parameters
    atoms = [stage.process.outputs for stage in stages if stage.name == "atoms"]
    if atoms and "energy_reference" in atoms[0]:
        builder.energy_reference = atoms[0].energy_reference
    elif inputs.energy_reference["method"] == "values":
        builder.energy_reference = inputs.energy_reference
    builder.metadata.label = f"{campaign.label} trained again" if campaign.label else ""
    return builder


def retry_builder(campaign: Any, batches: set[str], changes: Mapping[str, object]) -> Any:
    """Gather the inputs of labelling frames of these batches once more; the word is still missing.

    Parameters
    ----------
    changes
        Inputs of the labelling workchain that differ, nested as it has them, such as
        ``{"pw": {"parameters": {"SYSTEM": {"ecutwfc": 40}}}}``.

    Raises
    ------
    InputError
        If there is no such input, or it cannot be changed like this.
    """
    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415
    from aiida_bloomery.workflows.retry import RetryWorkChain  # noqa: PLC0415

    inputs = campaign.inputs
    builder = RetryWorkChain.get_builder()
    builder.labeller = inputs.labeller
    builder.labelling = _changed(inputs.labelling, changes, "")
    selected = {
        campaigns.BATCH.format(stage.iteration): stage.process.inputs.configurations
        for stage in campaigns.stages(campaign)
        if stage.name == "label"
    }
    builder.selected = {batch: selected[batch] for batch in batches}
    builder.known = campaigns.data_set(campaign)
    if "suspects" in inputs:
        builder.suspects = inputs.suspects
    builder.metadata.label = f"labels of {campaign.label} again" if campaign.label else ""
    return builder


def _changed(given: Mapping[str, Any], changes: Mapping[str, object], where: str) -> dict[str, Any]:
    """Return a namespace of inputs with other values in some of its nodes."""
    from aiida import orm  # noqa: PLC0415

    result = {key: _changed(node, {}, "") if isinstance(node, Mapping) else node for key, node in given.items()}
    for key, value in changes.items():
        name = f"{where}{key}"
        if key not in result:
            raise InputError(f"--set {name}: the labeller has no such input; it has {', '.join(sorted(result))}.")
        old = result[key]
        if isinstance(old, dict) and isinstance(value, Mapping):
            result[key] = _changed(given[key], value, f"{name}.")
        elif isinstance(old, orm.Dict) and isinstance(value, Mapping):
            result[key] = orm.Dict(merge(old.get_dict(), value))
        elif isinstance(old, (orm.Str, orm.Int, orm.Float, orm.Bool)) and not isinstance(value, Mapping):
            result[key] = type(old)(value)
        else:
            raise InputError(f"--set {name}: is no setting that a value can be given to.")
    return result


def submit_checked(builder: Any, home: Home) -> tuple[int, list[str]]:
    """Submit a builder to the daemon; return the PK, and what was done on the way.

    Raises
    ------
    InputError
        If an input is refused.
    """
    from aiida.engine import submit  # noqa: PLC0415

    notes = services.ensure(home)
    try:
        return int(submit(builder).pk), notes
    except ValueError as error:  # what AiiDA's ports and validators raise
        raise InputError(f"the inputs are refused: {error}") from error


def check_inputs(builder: Any, without: str) -> None:
    """Ask the validators of a builder, which still lacks one input; raise `InputError` with what they say."""
    spec = builder.process_class.spec().inputs
    given = builder._inputs(prune=True)  # noqa: SLF001
    for name, port in spec.items():
        if name == without or name not in given:
            continue
        if (refused := port.validate(given[name])) is not None:
            raise InputError(f"the inputs are refused: {refused.message}")
