"""Bring a campaign file together with its protocol and the files it names: everything that does not need a profile."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.foundations import with_baseline, with_foundation
from aiida_bloomery.campaign_file.labellers import labeller_entry, labeller_part, labeller_parts, programs_of
from aiida_bloomery.campaign_file.measuring import FILES, KEY, validation_settings
from aiida_bloomery.campaign_file.model import USE, CampaignFile, Codes, Iterations, PartOfFile, Structures
from aiida_bloomery.campaign_file.properties import properties_settings, with_properties, without_properties
from aiida_bloomery.campaign_file.reference_md import with_driver
from aiida_bloomery.campaign_file.starts import starts_settings
from aiida_bloomery.workflows.protocols import protocol_inputs
from bloomery.campaign.schedules import SamplerSpec
from bloomery.campaign.stages import TrainingSettings
from bloomery.errors import BloomeryError, DataWarning
from bloomery.frames.census import are_isolated_atoms
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import repeated
from bloomery.plugins import PluginSpec, declares, registered
from bloomery.reference.teachers import teacher_for

REHEARSAL = "-rehearsal"
"""What the names of rehearsals end in."""
Values = dict[str, object]
"""Plain values by key, as they go into a node."""


def resolve(file: CampaignFile, source: Source, *, rehearsal: bool = False) -> Campaign:
    """Read the files that a campaign file names, and fill in what its protocol says.

    In a rehearsal a teacher takes the labeller's place: the file's foundation, or a quick potential of a library. Raise
    `InputError` if a file is missing or cannot be read, or no teacher covers the elements.
    """
    _check_programs(file, source)
    starts = [read_structures(entry, source, ("structures", index)) for index, entry in enumerate(file.structures)]
    if rehearsal:
        teacher = _teacher(file, starts, source)
        named = {USE: file.labelling[USE], **dict.fromkeys(file.labellings, teacher)} if file.labellings else teacher
        file = file.model_copy(update={"name": f"{file.name}{REHEARSAL}", "labelling": named})
        file = _without_reference_data(_without_data(file, source), source)
        file = without_properties(_without_starts(file, source), source)
    file = with_properties(with_baseline(file, source), source)
    frames: dict[str, Configurations] = {}
    settings = settings_of(file, _samplers(file, source, frames))
    if file.validation is not None:
        settings["validation"] = validation_settings(file, source)
    training, bootstrap = TrainingSettings.model_validate(settings["training"]), settings["bootstrap"]
    compared = starts_settings(file, source, training.engine, has_pools=bool(bootstrap.get("samplers")))
    if compared is not None:
        settings["starts"] = compared
    learned = properties_settings(file)
    if learned is not None:
        settings["properties"] = learned
    return Campaign(file, source, starts, frames, settings, _validation(file, source), _data(file, source))


def _data(file: CampaignFile, source: Source) -> dict[int, Configurations]:
    """Read the labelled frames of files, as they are asked for; isolated atoms are no frames to learn from."""
    found = {}
    for index, entry in enumerate(file.data):
        if entry.file is None:
            continue
        key: Key = ("data", index)
        chosen = part_of(source.read_frames(entry.file, key, **entry.how), entry, entry.file, source, key)
        found[index] = chosen[~are_isolated_atoms(chosen)]
    return found


def _without_data(file: CampaignFile, source: Source) -> CampaignFile:
    """Leave out labelled frames: a teacher's potential does not learn from labels of the reference method."""
    if not file.data:
        return file
    message = "is of the reference method, and left out of the rehearsal, which begins with a bootstrap."
    warnings.warn(str(source.error(("data",), message)), DataWarning, stacklevel=2)
    return file.model_copy(update={"data": []})


def _without_starts(file: CampaignFile, source: Source) -> CampaignFile:
    """Leave out other starts: what a foundation teaches, a potential that starts from it would know."""
    if file.start is None:
        return file
    message = "is left out of the rehearsal, whose labels are the teacher's."
    warnings.warn(str(source.error(("start",), message)), DataWarning, stacklevel=2)
    return file.model_copy(update={"start": None})


def _without_reference_data(file: CampaignFile, source: Source) -> CampaignFile:
    """Leave out what the reference method said: a teacher's potential is not measured on it."""
    given = file.validation
    names = [name for name in FILES.values() if given is not None and isinstance(getattr(given, name), str)]
    if given is None or not names:
        return file
    for name in names:
        message = "is of the reference method, and left out of the rehearsal."
        warnings.warn(str(source.error((KEY, name), message)), DataWarning, stacklevel=2)
    return file.model_copy(update={"validation": given.model_copy(update=dict.fromkeys(names))})


def _check_programs(file: CampaignFile, source: Source) -> None:
    """See that every key under ``codes`` is a job of `bloomery`, an engine, a foundation, or a labeller's program."""
    plugins = dict.fromkeys([*registered("engines"), *registered("foundations")])
    unknown = [key for key in file.codes.model_extra or {} if key not in plugins]
    if not unknown:
        return
    programs = [program.key for _, part in labeller_parts() for program in programs_of(part)]
    for key in unknown:
        if key not in programs:
            known = ", ".join([*Codes.model_fields, *programs, *plugins])
            raise source.error(("codes",), f"there is no program {key!r}; the keys are {known}.")


def _validation(file: CampaignFile, source: Source) -> dict[str, Configurations]:
    """Read what is measured on."""
    given = file.validation
    if given is None:
        return {}
    found: dict[str, Configurations] = {}
    if given.structures:
        found["structures"] = Configurations.concatenate(
            [read_structures(entry, source, (KEY, "structures", index)) for index, entry in enumerate(given.structures)]
        )
    for name in ("trajectory", "test_set"):
        file_name = getattr(given, FILES[name])
        if isinstance(file_name, str):
            found[name] = source.read_frames(file_name, (KEY, FILES[name]))
    return found


def read_structures(entry: Structures, source: Source, key: Key) -> Configurations:
    """Read starting structures from one file, in the states that it says."""
    chosen = part_of(source.read_frames(entry.file, key), entry, entry.file, source, key)
    chosen = chosen.without_labels().without_info(*chosen.info)
    if entry.supercell == (1, 1, 1):
        return chosen
    return Configurations.from_atoms([repeated(atoms, entry.supercell) for atoms in chosen.to_atoms()], info_keys=())


def part_of(found: Configurations, entry: PartOfFile, name: str, source: Source, key: Key) -> Configurations:
    """Take the frames of a file of this name that an entry's index names; `InputError` if there are none."""
    numbers = [int(part) if part else None for part in entry.index.split(":")]
    try:
        chosen = found[numbers[0]] if len(numbers) == 1 and numbers[0] is not None else found[slice(*numbers)]
    except IndexError as error:
        raise source.error(
            (*key, "index"), f"{entry.index}: {name} holds {len(found)} frames; give a smaller index."
        ) from error
    if not len(chosen):
        raise source.error((*key, "index"), f"{entry.index!r} takes none of the {len(found)} frames; widen the slice.")
    return chosen


def settings_of(file: CampaignFile, samplers: Mapping[str, list[Values] | None]) -> dict[str, Mapping[str, object]]:
    """Settings of all stages: the protocol's, with what the file says instead."""
    settings = protocol_inputs("campaign", file.protocol, _overrides(file, samplers))
    if file.potential is not None and samplers["bootstrap"] is None:
        settings["bootstrap"] = _driven(settings, data=bool(file.data))
    rules, bounds = settings["stop"], file.stop.iterations
    if bounds is not None and bounds.min is None and bounds.max is not None:
        rules["min_iterations"] = min(rules.get("min_iterations", 0), bounds.max)
    if "labels" in file.stop.model_fields_set:
        rules["max_labels"] = file.stop.labels  # null is no budget
    if file.stop.given or file.stop.observables or file.stop.properties:
        # Targets that are given stand alone: those of the protocol are not asked for on top.
        rules["targets"] = file.stop.given
    if file.stop.observables:
        rules["observables"] = {key: target.model_dump() for key, target in file.stop.observables.items()}
    if file.stop.properties:
        rules["properties"] = {name: target.model_dump() for name, target in file.stop.properties.items()}
    if file.control is not None:
        settings["control"] = file.control.model_dump(exclude_none=True)
    if file.suspects is not None:
        settings["suspects"] = file.suspects.model_dump()
    return settings


def _driven(settings: Mapping[str, Any], *, data: bool) -> Values:
    """The bootstrap that a potential drives: with the samplers of the loop, and where there are data its selectors."""
    samplers = [{key: value for key, value in spec.items() if key != "schedule"} for spec in _specs(settings)]
    return {**settings["bootstrap"], "samplers": samplers, **({"selectors": []} if data else {})}


def _specs(settings: Mapping[str, Any]) -> list[Values]:
    """Samplers of the loop as the file or the protocol has them, in full."""
    return [SamplerSpec.model_validate(spec).model_dump() for spec in settings["sampling"]["samplers"]]


def _overrides(file: CampaignFile, samplers: Mapping[str, list[Values] | None]) -> dict[str, Values]:
    iterations = file.stop.iterations or Iterations()
    # With data that exist nothing need be sampled for a first potential.
    sampled = file.data and file.potential is None and samplers["bootstrap"] is None
    bootstrap = [] if sampled else samplers["bootstrap"]
    stages: dict[str, Mapping[str, object]] = {
        "bootstrap": {
            "samplers": bootstrap,
            "selectors": _dump(file.bootstrap.selection) if file.bootstrap else None,
        },
        "sampling": {"samplers": samplers["sampling"]},
        "selection": {
            "selectors": _dump(file.selection),
            "descriptor": file.descriptor and file.descriptor.model_dump(),
            "roles": file.roles or None,
        },
        "training": {
            "engine": file.training and file.training.model_dump(),
            "acceptance": file.acceptance or None,
            "warm_start": file.warm_start,
        },
        "energy_reference": file.energy_reference.model_dump() if file.energy_reference else {},
        "stop": {
            "min_iterations": iterations.min,
            "max_iterations": iterations.max,
            "consecutive": file.stop.consecutive,
            "min_probe_frames": file.stop.probe_frames,
            "core_hours": file.stop.core_hours,
            "gpu_hours": file.stop.gpu_hours,
            "plateau": _plateau(file),
        },
    }
    given = {
        stage: {key: value for key, value in values.items() if value is not None} for stage, values in stages.items()
    }
    return {stage: values for stage, values in given.items() if values}


def _plateau(file: CampaignFile) -> Values | None:
    """The limits of a plateau; cores of a label are those of the labeller's program, unless it is said."""
    rules = file.stop.plateau
    if rules is None:
        return None
    given: Values = rules.model_dump(exclude_unset=True)
    if rules.per_core_hour is None or "cores" in given:
        return given
    try:
        entry = labeller_entry(file, labeller_part(file.labeller))
    except (LookupError, BloomeryError):  # said by the checks, with its place
        return given
    return {**given, "cores": entry.cores}


def _dump(specs: list[PluginSpec] | None) -> list[Values] | None:
    return None if specs is None else [spec.model_dump() for spec in specs]


def _samplers(file: CampaignFile, source: Source, frames: dict[str, Configurations]) -> dict[str, list[Values] | None]:
    """Samplers of both stages, as plain values; files of the user's own frames are read, and named by a label."""
    stages: dict[str, tuple[Key, list[SamplerSpec] | None]] = {
        "bootstrap": (("bootstrap", "samplers"), file.bootstrap.samplers if file.bootstrap else None),
        "sampling": (("sampling",), file.sampling),
    }
    result: dict[str, list[Values] | None] = {}
    for stage, (key, specs) in stages.items():
        taken: list[Values] = []
        for index, given in enumerate(specs or []):
            spec = with_driver(given, file, source, (*key, index))
            spec = with_foundation(spec, file, source, (*key, index))
            settings = dict(spec.settings)
            name = settings.get("file")
            if isinstance(name, str) and declares("samplers", spec.name, "takes_own_frames"):
                label = f"{stage}_{index}"
                frames[label] = source.read_frames(name, (*key, index, spec.name, "file"))
                del settings["file"]
                settings["frames"] = label
            beside = spec.model_dump(exclude={"name", "settings"}, exclude_defaults=True)
            taken.append({"name": spec.name, "settings": settings, **beside})
        result[stage] = taken if specs is not None else None
    return result


def _teacher(file: CampaignFile, starts: list[Configurations], source: Source) -> dict[str, dict[str, object]]:
    """The labeller of a rehearsal, with its settings."""
    if file.foundation is not None:
        return {"foundation": {}}
    try:
        found = teacher_for(Configurations.concatenate(starts).elements).model_dump(exclude={"state"})
    except BloomeryError as error:
        raise source.error(
            ("structures",),
            f"this campaign cannot be rehearsed: {error} A foundation covers most: foundation: sevennet.",
        ) from error
    return {"calculator": {"calculator": found}}
