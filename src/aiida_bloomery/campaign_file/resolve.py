"""Bring a campaign file together with its protocol and the files it names: everything that does not need a profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file.measuring import validation_settings
from aiida_bloomery.campaign_file.model import CampaignFile, Structures
from aiida_bloomery.campaign_file.reader import Key, Source
from aiida_bloomery.campaign_file.reference_md import with_calculator
from bloomery.campaign.control import ControlSettings
from bloomery.campaign.schedules import SamplerSpec
from bloomery.errors import BloomeryError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec, declares

STAGES = ("bootstrap", "sampling", "selection", "training", "energy_reference", "stop")
TARGETS = ("energy", "forces", "relative_forces", "stress")


@dataclass(frozen=True)
class Campaign:
    """A campaign file with all it refers to.

    Parameters
    ----------
    file, source
        The file, as checked and as read.
    structures
        Starting structures.
    frames
        The user's own frames by label, for samplers that take them.
    settings
        The inputs of the campaign's workchain that hold settings (see `STAGES`), protocol and file merged; and
        ``control``, if there is a control arm, and ``validation``, if something is measured.
    validation
        What is measured on, by the name of the workchain's input: ``structures``, ``trajectory``, ``test_set``.
    """

    file: CampaignFile
    source: Source
    structures: Configurations
    frames: dict[str, Configurations]
    settings: dict[str, Any]
    validation: dict[str, Configurations] = field(default_factory=dict)

    def samplers(self, stage: str) -> list[tuple[Key, SamplerSpec]]:
        """Samplers of ``bootstrap`` or ``sampling``, with the key that each stands under in the file."""
        specs = [SamplerSpec.model_validate(value) for value in self.settings[stage]["samplers"]]
        key: Key = ("bootstrap", "samplers") if stage == "bootstrap" else ("sampling",)
        return [((*key, index), spec) for index, spec in enumerate(specs)]

    def selectors(self, stage: str) -> list[tuple[Key, PluginSpec]]:
        """Selectors of ``bootstrap`` or ``sampling``, likewise."""
        own = self.settings["bootstrap"].get("selectors") if stage == "bootstrap" else None
        key: Key = ("bootstrap", "selection") if own else ("selection",)
        values = own or self.settings["selection"]["selectors"]
        return [((*key, index), PluginSpec.model_validate(value)) for index, value in enumerate(values)]

    def control_selectors(self) -> list[tuple[Key, PluginSpec]]:
        """Selectors of the control arm, likewise; none without one."""
        if "control" not in self.settings:
            return []
        specs = ControlSettings.model_validate(self.settings["control"]).selectors(self._loop_selectors())
        return [(self.control_key(index), spec) for index, spec in enumerate(specs)]

    def control_key(self, index: int) -> Key:
        """The key that a selector of the control arm stands under: a single one need not be in a list."""
        given = self.source.content.get("control")
        in_list = isinstance(given, dict) and isinstance(given.get("arm"), list)
        return ("control", "arm", index) if in_list else ("control", "arm")

    def _loop_selectors(self) -> list[PluginSpec]:
        return [spec for _, spec in self.selectors("sampling")]


def resolve(file: CampaignFile, source: Source, *, rehearsal: bool = False) -> Campaign:
    """Read the files that a campaign file names, and fill in what its protocol says.

    Parameters
    ----------
    rehearsal
        Whether a teacher takes the labeller's place.

    Raises
    ------
    InputError
        If a file is missing or cannot be read, or no teacher covers the elements.
    """
    parts = [read_structures(entry, source, ("structures", index)) for index, entry in enumerate(file.structures)]
    structures = Configurations.concatenate(parts)
    if rehearsal:
        labelling = {"calculator": {"calculator": _teacher(structures, source)}}
        file = file.model_copy(update={"name": f"{file.name}-rehearsal", "labelling": labelling})
    frames: dict[str, Configurations] = {}
    settings = settings_of(file, _samplers(file, source, frames))
    if file.validation is not None:
        settings["validation"] = validation_settings(file, source)
    return Campaign(file, source, structures, frames, settings, _validation(file, source))


def _validation(file: CampaignFile, source: Source) -> dict[str, Configurations]:
    """Read what is measured on."""
    given = file.validation
    if given is None:
        return {}
    found: dict[str, Configurations] = {}
    if given.structures:
        key: Key = ("validation", "structures")
        found["structures"] = Configurations.concatenate(
            [read_structures(entry, source, (*key, index)) for index, entry in enumerate(given.structures)]
        )
    for name, file_name in (("trajectory", given.reference_trajectory), ("test_set", given.test_set)):
        if isinstance(file_name, str):
            place = "reference_trajectory" if name == "trajectory" else name
            found[name] = read_file(file_name, source, ("validation", place))
    return found


def read_structures(entry: Structures, source: Source, key: Key) -> Configurations:
    """Read starting structures from one file."""
    found = read_file(entry.file, source, key)
    numbers = [int(part) if part else None for part in entry.index.split(":")]
    try:
        chosen = found[numbers[0]] if len(numbers) == 1 and numbers[0] is not None else found[slice(*numbers)]
    except IndexError as error:
        raise source.error(
            (*key, "index"), f"{entry.index}: {entry.file} holds {len(found)} frames; give a smaller index."
        ) from error
    if not len(chosen):
        raise source.error((*key, "index"), f"{entry.index!r} takes none of the {len(found)} frames; widen the slice.")
    chosen = chosen.without_labels().without_info(*chosen.info)
    if entry.supercell == (1, 1, 1):
        return chosen
    return Configurations.from_atoms([atoms.repeat(entry.supercell) for atoms in chosen.to_atoms()], info_keys=())


def read_file(name: str, source: Source, key: Key) -> Configurations:
    """Read frames from a file that the campaign file names."""
    path = source.folder / Path(name).expanduser()
    try:
        return Configurations.read(path)
    except InputError as error:
        raise source.error(key, str(error)) from error


def settings_of(file: CampaignFile, samplers: dict[str, Any]) -> dict[str, Any]:
    """Settings of all stages: the protocol's, with what the file says instead."""
    from aiida_bloomery.workflows.protocols import protocol_inputs  # noqa: PLC0415

    settings: dict[str, Any] = protocol_inputs("campaign", file.protocol, _overrides(file, samplers))
    rules, bounds = settings["stop"], file.stop.iterations
    if bounds is not None and bounds.min is None and bounds.max is not None:
        rules["min_iterations"] = min(rules.get("min_iterations", 0), bounds.max)
    targets = _targets(file)
    if targets or file.stop.observables:
        # Targets that are given stand alone: those of the protocol are not asked for on top.
        rules["targets"] = targets
    if file.stop.observables:
        rules["observables"] = {key: target.model_dump() for key, target in file.stop.observables.items()}
    if file.control is not None:
        settings["control"] = file.control.model_dump(exclude_none=True)
    return settings


def _overrides(file: CampaignFile, samplers: dict[str, Any]) -> dict[str, Any]:
    bootstrap = {
        "samplers": samplers["bootstrap"],
        "selectors": _dump(file.bootstrap.selection) if file.bootstrap else None,
    }
    selection = {
        "selectors": _dump(file.selection),
        "descriptor": file.descriptor and file.descriptor.model_dump(),
        "roles": file.roles or None,
    }
    training = {
        "engine": file.training and file.training.model_dump(),
        "acceptance": file.acceptance or None,
        "warm_start": file.warm_start,
    }
    iterations = file.stop.iterations
    stop = {
        "min_iterations": iterations and iterations.min,
        "max_iterations": iterations and iterations.max,
        "max_labels": file.stop.labels,
        "consecutive": file.stop.consecutive,
        "min_probe_frames": file.stop.probe_frames,
        "plateau": _plateau(file),
    }
    stages: dict[str, dict[str, Any]] = {
        "bootstrap": bootstrap,
        "sampling": {"samplers": samplers["sampling"]},
        "selection": selection,
        "training": training,
        "energy_reference": file.energy_reference.model_dump() if file.energy_reference else {},
        "stop": stop,
    }
    given = {
        stage: {key: value for key, value in values.items() if value is not None} for stage, values in stages.items()
    }
    return {stage: values for stage, values in given.items() if values}


def _plateau(file: CampaignFile) -> dict[str, Any] | None:
    """The limits of a plateau; cores of a label are those of the labeller's program, unless it is said."""
    from aiida_bloomery.campaign_file.labellers import labeller_part  # noqa: PLC0415

    rules = file.stop.plateau
    if rules is None:
        return None
    given = rules.model_dump(exclude_unset=True)
    if rules.per_core_hour is None or "cores" in given:
        return given
    try:
        entry = getattr(file.codes, labeller_part(file.labeller).code_key, None) or file.codes.bloomery
    except LookupError:  # said by the checks, with its place
        return given
    return {**given, "cores": entry.cores}


def _targets(file: CampaignFile) -> dict[str, float]:
    return {name: value for name in TARGETS if (value := getattr(file.stop, name)) is not None}


def _dump(specs: list[PluginSpec] | None) -> list[dict[str, Any]] | None:
    return None if specs is None else [spec.model_dump() for spec in specs]


def _samplers(
    file: CampaignFile, source: Source, frames: dict[str, Configurations]
) -> dict[str, list[dict[str, Any]] | None]:
    """Samplers of both stages, as plain values; files of the user's own frames are read, and named by a label."""
    stages: dict[str, tuple[Key, list[SamplerSpec] | None]] = {
        "bootstrap": (("bootstrap", "samplers"), file.bootstrap.samplers if file.bootstrap else None),
        "sampling": (("sampling",), file.sampling),
    }
    result: dict[str, list[dict[str, Any]] | None] = {}
    for stage, (key, specs) in stages.items():
        taken = []
        for index, spec in enumerate(specs or []):
            settings = with_calculator(spec, file)
            name = settings.get("file")
            if isinstance(name, str) and declares("samplers", spec.name, "takes_own_frames"):
                label = f"{stage}_{index}"
                frames[label] = read_file(name, source, (*key, index, spec.name, "file"))
                del settings["file"]
                settings["frames"] = label
            beside = spec.model_dump(exclude={"name", "settings"}, exclude_defaults=True)
            taken.append({"name": spec.name, "settings": settings, **beside})
        result[stage] = taken if specs is not None else None
    return result


def _teacher(structures: Configurations, source: Source) -> dict[str, Any]:
    from bloomery.reference.teachers import teacher_for  # noqa: PLC0415

    try:
        return teacher_for(structures.elements).model_dump()
    except BloomeryError as error:
        raise source.error(("structures",), f"this campaign cannot be rehearsed: {error}") from error
