"""Checks of a campaign file that need no profile: each raises one sentence with file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase.neighborlist import neighbor_list

from aiida_bloomery.campaign_file.budget import budget_notes
from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.codes import engine_key, entry_of
from aiida_bloomery.campaign_file.cost import NO_LIMIT, plan_stage, sampler_bounds, selectors
from aiida_bloomery.campaign_file.data import check_data, data_notes
from aiida_bloomery.campaign_file.foundations import check_foundations, foundation_notes
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.measuring import check_validation, validation_notes
from aiida_bloomery.campaign_file.model import USE
from aiida_bloomery.campaign_file.potential import check_potential
from aiida_bloomery.campaign_file.properties import check_properties, property_notes
from aiida_bloomery.campaign_file.reader import parse_model
from aiida_bloomery.campaign_file.reference_md import check_driver, checkable
from aiida_bloomery.campaign_file.starts import start_notes
from bloomery.campaign.schedules import SamplerSpec, shares_of
from bloomery.campaign.stopping import StopRules
from bloomery.engines.contract import Engine
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.roles import RoleSettings
from bloomery.jobs.sample import DISAGREEMENT_LIMITS
from bloomery.plugins import Kind, Plugin, PluginSpec, load_plugin
from bloomery.potentials.acceptance import AcceptanceSettings

CLOSEST = 0.5
"""Å. Atoms that are closer are a mistake in the file."""
SMALLEST_CELL, LARGEST_CELL = 1.0, 10_000.0
"""Å^3 per atom of a cell that is periodic in all directions."""


def check_nulls(source: Source) -> None:
    """Refuse null where it would leave the protocol's value in place; ``stop.labels: null`` is no budget."""
    content = source.content
    places: dict[Key, object] = {(): content}
    places |= {(key,): content.get(key) for key in ("bootstrap", "control", "validation", "stop")}
    below: dict[Key, object] = {("stop",): content.get("stop")}
    labelling = content.get("labelling")
    if isinstance(labelling, dict) and USE in labelling:
        # What stands under a name of the file's own is a labeller, which may go without settings.
        below |= {("labelling", name): value for name, value in labelling.items()}
    else:
        below["labelling",] = labelling
    for place, inner in below.items():
        places |= {(*place, name): value for name, value in inner.items()} if isinstance(inner, dict) else {}
    for place, values in places.items():
        for name, value in values.items() if isinstance(values, dict) else ():
            if value is None and (*place, name) != ("stop", "labels"):
                raise source.error((*place, name), "null says nothing here; give a value, or leave the key out.")


def check_file(campaign: Campaign) -> list[str]:
    """Run all checks; raise `InputError` for the first mistake, and return what is allowed and perhaps not meant."""
    for check in (
        _pipeline, _structures, _frames, check_data, check_potential, _duplicate_files, _settings, _plugins,
        check_foundations, check_properties, _labeller, _energy_reference, _pools, _budget, check_validation, _device,
    ):  # fmt: skip
        check(campaign)
    return list(_notes(campaign))


def _pipeline(campaign: Campaign) -> None:
    if campaign.file.pipeline and campaign.control is not None:
        text = "stages of a campaign with a control arm do not overlap; leave one of the two out."
        raise campaign.source.error(("pipeline",), text)


# -- structures -------------------------------------------------------------------------------------------------------


def _structures(campaign: Campaign) -> None:
    for index, (entry, frames) in enumerate(zip(campaign.file.structures, campaign.starts, strict=True)):
        _sane(frames, campaign.source, ("structures", index), entry.file)


def _frames(campaign: Campaign) -> None:
    for label, frames in campaign.frames.items():
        stage, _, index = label.rpartition("_")
        key: Key = ("bootstrap", "samplers") if stage == "bootstrap" else ("sampling",)
        key = (*key, int(index), campaign.samplers(stage)[int(index)][1].name, "file")
        _sane(frames, campaign.source, key, str(label))
        unknown = sorted(set(frames.elements) - set(campaign.structures.elements))
        if unknown:
            raise campaign.source.error(
                key, f"holds {', '.join(unknown)}, which no starting structure does; add a structure with it."
            )


def _sane(frames: Configurations, source: Source, key: Key, name: str) -> None:
    for index, atoms in enumerate(frames.to_atoms()):
        where = f"frame {index} of {name}"
        if not len(atoms):
            raise source.error(key, f"{where} has no atoms; remove it.")
        vectors = atoms.cell.array[atoms.pbc]
        if len(vectors) and np.linalg.matrix_rank(vectors, tol=1e-3) < len(vectors):
            raise source.error(
                key, f"{where} is periodic along a cell vector that is missing or not its own; mend the cell."
            )
        if atoms.pbc.all() and not SMALLEST_CELL <= atoms.cell.volume / len(atoms) <= LARGEST_CELL:
            raise source.error(
                key,
                f"{where} has a cell of {atoms.cell.volume / len(atoms):.3g} Å^3 per atom; mend its vectors (in Å).",
            )
        first, second, distance = neighbor_list("ijd", atoms, CLOSEST)
        if len(first):
            closest = int(np.argmin(distance))
            raise source.error(
                key,
                f"{where} has atoms {first[closest]} and {second[closest]} only {distance[closest]:.2f} Å apart; "
                "remove one, or mend positions and cell (in Å).",
            )


def _duplicate_files(campaign: Campaign) -> None:
    entries = campaign.file.structures
    for index, entry in enumerate(entries):
        if entry in entries[:index]:
            raise campaign.source.error(
                ("structures", index), f"{entry.file} stands in the list already; remove it, or give another index."
            )


# -- plug-ins and settings --------------------------------------------------------------------------------------------


def _plugins(campaign: Campaign) -> None:
    for stage in ("bootstrap", "sampling"):
        for key, spec in campaign.samplers(stage):
            _sampler(campaign, checkable(campaign, spec), key)
            check_driver(campaign, spec, (*key, spec.name))
        _shares(campaign, stage)
        for key, selector in campaign.selectors(stage):
            _plugin(campaign, "selectors", selector, key)
    _control(campaign)
    if campaign.selection.descriptor is not None:
        _plugin(campaign, "descriptors", campaign.selection.descriptor, ("descriptor",))
    _plugin(campaign, "engines", campaign.training.engine, ("training",))
    _committee(campaign)
    for key, spec in campaign.samplers("bootstrap"):
        if spec.schedule:
            raise campaign.source.error(
                (*key, "schedule"), "the bootstrap is one iteration, so nothing can change in it; leave this out."
            )
        if campaign.file.potential is None and checkable(campaign, spec).load("samplers").needs_potential:
            raise campaign.source.error(
                key, f"{spec.name} needs a potential, and the bootstrap has none yet; use rattle_strain or from_file."
            )
    for key, made in selectors(campaign, "bootstrap"):
        if campaign.file.potential is None and (made.needs_disagreement or made.measures):
            raise campaign.source.error(
                key, f"{made.name} asks a potential, and the bootstrap has none yet; use random or farthest_point."
            )


def _committee(campaign: Campaign) -> None:
    """See that a potential of one member is not asked how far its members disagree."""
    engine: Engine = campaign.training.engine.load("engines")
    if engine.disagrees:
        return
    why = f"asks for the disagreement, and {engine.name} fits one member; train a committee, or leave it out."
    for key, spec in (*campaign.selectors("sampling"), *campaign.control_selectors()):
        if spec.load("selectors").needs_disagreement:
            raise campaign.source.error((*key, spec.name), why)
    for key, sampler in campaign.samplers("sampling"):
        for stage in sampler.stages:
            for name in DISAGREEMENT_LIMITS:
                if stage.settings.get(name) is not None:
                    raise campaign.source.error((*key, sampler.name, name), why)


def _sampler(campaign: Campaign, spec: SamplerSpec, key: Key) -> None:
    """A sampler, with all settings that its schedule leads to."""
    _plugin(campaign, "samplers", spec, key)
    model = load_plugin("samplers", spec.name).Settings
    for number, stage in enumerate(spec.stages[1:]):
        parse_model(model, stage.settings, campaign.source, (*key, "schedule", number // 2, "settings"))
    brought = {element for stage in spec.stages for element in stage.load("samplers").new_elements()}
    unknown = sorted(brought - set(campaign.structures.elements))
    if unknown:
        raise campaign.source.error(
            (*key, spec.name),
            f"makes frames with {', '.join(unknown)}, which no starting structure holds; add a structure with it.",
        )


def _shares(campaign: Campaign, stage: str) -> None:
    samplers = campaign.samplers(stage)
    key = next((key for key, spec in samplers if spec.share), ())
    with campaign.source.at((*key, "share")):
        shares_of([spec for _, spec in samplers])


def _control(campaign: Campaign) -> None:
    given = campaign.file.control
    for index, spec in enumerate(given.arm or [] if given else []):
        _load(campaign, "selectors", spec, campaign.control_key(index))
    for key, spec in campaign.control_selectors():
        _plugin(campaign, "selectors", spec, key)


def _plugin(campaign: Campaign, kind: Kind, spec: PluginSpec, key: Key) -> None:
    plugin = _load(campaign, kind, spec, key)
    parse_model(plugin.Settings, spec.settings, campaign.source, (*key, spec.name))


def _load(campaign: Campaign, kind: Kind, spec: PluginSpec, key: Key) -> type[Plugin]:
    with campaign.source.at(key):
        return load_plugin(kind, spec.name)


def _settings(campaign: Campaign) -> None:
    parse_model(RoleSettings, campaign.file.roles, campaign.source, ("roles",))
    parse_model(AcceptanceSettings, campaign.file.acceptance, campaign.source, ("acceptance",))
    parse_model(StopRules, campaign.settings["stop"], campaign.source, ("stop",))


def _labeller(campaign: Campaign) -> None:
    """See that what labels, and what drives samplers, can take the frames; the settings of others are read only."""
    asked = _asked(campaign)
    for name in campaign.file.labellings or [None]:
        view = campaign.labelled_by(name)
        part = labeller(view)
        if name in asked:
            part.check(view)


def _asked(campaign: Campaign) -> dict[str | None, Campaign]:
    """By name the campaign with each labeller that labels or drives samplers; one alone has no name."""
    file = campaign.file
    if not file.labellings:
        return {None: campaign}
    samplers = [*((file.bootstrap and file.bootstrap.samplers) or []), *(file.sampling or [])]
    names = dict.fromkeys([str(file.labelling[USE]), *(spec.labelling for spec in samplers if spec.labelling)])
    return {name: campaign.labelled_by(name) for name in names}


def _energy_reference(campaign: Campaign) -> None:
    reference = campaign.file.energy_reference
    if reference is None or reference.method != "values":
        return
    for element in reference.values:
        with campaign.source.at(("energy_reference", element)):
            symbols_to_numbers([element])
    for element in campaign.structures.elements:
        if element not in reference.values:
            raise campaign.source.error(("energy_reference",), f"has no energy for {element}; add one, in eV.")


# -- numbers that must fit together -----------------------------------------------------------------------------------


def _pools(campaign: Campaign) -> None:
    for stage in ("bootstrap", "sampling"):
        if not campaign.samplers(stage):
            continue
        pool = sum(sampler_bounds(campaign, spec)["frames"] for _, spec in campaign.samplers(stage))
        for key, selector in selectors(campaign, stage):
            wanted = selector.at_most(NO_LIMIT)
            if pool < wanted < NO_LIMIT:
                raise campaign.source.error(
                    (*key, selector.name),
                    f"takes {wanted} frames, but the samplers give {pool} at most; sample more frames or take fewer.",
                )


def _budget(campaign: Campaign) -> None:
    limit = campaign.stop.max_labels
    if limit is None:
        return
    wanted = plan_stage(campaign, "bootstrap", limit=None).labels
    if limit < wanted:
        raise campaign.source.error(
            ("stop", "labels"),
            f"{limit} labels are fewer than the {wanted} that the bootstrap takes, probe included; allow more, or take "
            "fewer.",
        )


def _device(campaign: Campaign) -> None:
    if campaign.file.device != "cuda" or _elsewhere(campaign):
        return
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        raise campaign.source.error(
            ("device",), "cuda is asked for and this machine has no CUDA device; write auto, or name a code elsewhere."
        )


def _elsewhere(campaign: Campaign) -> bool:
    codes = campaign.file.codes
    engine = engine_key(campaign)
    entries = (codes.bloomery, codes.train or codes.bloomery, entry_of(campaign, engine) if engine else codes.bloomery)
    return all(entry.code is not None and not entry.code.endswith("@localhost") for entry in entries)


def _notes(campaign: Campaign) -> Iterator[str]:
    stop = campaign.stop
    targets = stop.targets.given
    if not (stop.ask or stop.plateau):
        yield "stop: there is no target, so the campaign ends when its labels or iterations are spent."
    needed = stop.min_probe_frames
    if stop.max_labels is not None and stop.max_iterations:
        taken = plan_stage(campaign, "bootstrap", limit=None).labels
        if taken >= stop.max_labels:
            yield f"stop.labels: the bootstrap takes all {taken} labels, so that no iteration follows; allow more."
    yield from budget_notes(campaign)
    bootstrap, loop = (plan_stage(campaign, stage, stop.max_labels) for stage in ("bootstrap", "sampling"))
    probe = bootstrap.probe + stop.max_iterations * loop.probe
    blocks = sum(sampler_bounds(campaign, spec)["blocks"] for _, spec in campaign.samplers("bootstrap"))
    if bootstrap.probe and blocks < 2:
        yield (
            "bootstrap: all its frames are of one block, correlated in time, so none can be the probe and the first "
            "errors are unknown; sample several trajectories, or make blocks shorter."
        )
    if campaign.file.control is not None and not stop.max_iterations:
        yield "control: the control arm begins after the bootstrap, and there is no iteration; it does nothing."
    if targets and probe < needed:
        yield f"stop: targets wait for {needed} probe frames; the campaign draws {probe} at most, so none is reached."
    asked = _asked(campaign)
    for view in asked.values():
        yield from labeller(view).notes(view)
    for name in campaign.file.labellings:
        if name not in asked:
            yield f"labelling.{name}: neither labels nor drives a sampler; name it beside one: labelling: {name}."
    yield from foundation_notes(campaign, labeller(campaign).theory(campaign))
    yield from start_notes(campaign)
    yield from data_notes(campaign)
    yield from validation_notes(campaign)
    yield from property_notes(campaign)
