"""A campaign file as it was read, and the campaign that it describes, with the files that it names."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file.model import CampaignFile
from bloomery.campaign.control import ControlSettings
from bloomery.campaign.measuring import ValidationSettings
from bloomery.campaign.schedules import SamplerSpec
from bloomery.campaign.stages import SelectionSettings, StageSettings, TrainingSettings
from bloomery.campaign.stopping import StopRules
from bloomery.errors import BloomeryError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec

Key = tuple[Hashable, ...]
"""Place of a value in the file: keys and indices, from the top."""


@dataclass(frozen=True)
class Source:
    """A file as it was read: plain values, and the line number of every key by its place."""

    path: Path
    content: Mapping[str, object]
    lines: Mapping[Key, int]
    _frames: dict[tuple[Path, str], Configurations] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return self.path.resolve().parent

    def error(self, key: Key | str, message: str) -> InputError:
        """Make the error for a key: file, line and dotted key come first."""
        parts: Key = tuple(key.split(".")) if isinstance(key, str) else key
        line = self.line_of(parts)
        dotted = ".".join(str(part) for part in parts)
        where = f"{self.path}, line {line}" if line else str(self.path)
        return InputError(f"{where}: {dotted}: {message}" if dotted else f"{where}: {message}")

    @contextmanager
    def at(self, key: Key | str) -> Iterator[None]:
        """Say of what goes wrong inside that it is about a key."""
        try:
            yield
        except BloomeryError as error:
            raise self.error(key, str(error)) from error

    def line_of(self, key: Key) -> int | None:
        """Line of a key, or of the nearest key above it that stands in the file."""
        key = tuple(int(part) if isinstance(part, str) and part.isdigit() else part for part in key)
        above = (key[:length] for length in range(len(key), 0, -1))
        return next((self.lines[part] for part in above if part in self.lines), None)

    def path_of(self, name: str) -> Path:
        """Where a file lies that is named in this one."""
        return self.folder / Path(name).expanduser()

    def read_frames(self, name: str, key: Key, **how: Any) -> Configurations:
        """Frames of a file that stands under a key, which is read once; `InputError` if it cannot be.

        ``how`` it is read is told as to `Configurations.read`.
        """
        path = self.path_of(name)
        asked = (path, str(sorted(how.items())))
        if asked not in self._frames:
            with self.at(key):
                self._frames[asked] = Configurations.read(path, **how)
        return self._frames[asked]


@dataclass(frozen=True)
class Campaign:
    """A campaign file, as checked and as read, with all it refers to."""

    file: CampaignFile
    source: Source
    starts: list[Configurations]
    """Starting structures, by entry of the file."""
    frames: dict[str, Configurations]
    """The user's own frames by label, for samplers that take them."""
    settings: dict[str, Mapping[str, object]]
    """Inputs of the campaign's workchain that hold settings, by name, protocol and file merged: ``bootstrap``,
    ``sampling``, ``selection``, ``training``, ``energy_reference`` and ``stop``; ``control``, if there is a control
    arm, ``validation``, if something is measured, ``suspects``, if the file says when labels are, ``starts``, if
    several are compared, and ``properties``, if any are learnt."""
    validation: dict[str, Configurations]
    """What is measured on, by the name of the workchain's input: ``structures``, ``trajectory``, ``test_set``."""
    data: dict[int, Configurations] = field(default_factory=dict)
    """Labelled frames of files that the campaign begins with, by their place in the file's list."""

    @cached_property
    def structures(self) -> Configurations:
        """All starting structures."""
        return Configurations.concatenate(self.starts)

    @property
    def named_frames(self) -> list[tuple[str, Configurations]]:
        """Everything that may be labelled or sampled from, with the name of where it comes from."""
        data = [
            (f"data.{index}", frames)
            for index, frames in self.data.items()
            if self.file.check_labels or self.file.data[index].relabel
        ]
        return [("structures", self.structures), *self.frames.items(), *data]

    @property
    def measured_structures(self) -> Configurations:
        """Structures that observables are measured on."""
        return self.validation.get("structures", self.structures)

    @cached_property
    def selection(self) -> SelectionSettings:
        """How the loop selects."""
        return SelectionSettings.model_validate(self.settings["selection"])

    @cached_property
    def training(self) -> TrainingSettings:
        """What is trained."""
        return TrainingSettings.model_validate(self.settings["training"])

    @cached_property
    def stop(self) -> StopRules:
        """When the campaign ends."""
        return StopRules.model_validate(self.settings["stop"])

    @cached_property
    def control(self) -> ControlSettings | None:
        """The control arm, if there is one."""
        return ControlSettings.model_validate(self.settings["control"]) if "control" in self.settings else None

    @cached_property
    def measured(self) -> ValidationSettings:
        """Which observables are measured, and when."""
        return ValidationSettings.model_validate(self.settings.get("validation", {}))

    def stage(self, name: str) -> StageSettings:
        """Settings of ``bootstrap`` or ``sampling``."""
        return StageSettings.model_validate(self.settings[name])

    def samplers(self, stage: str) -> list[tuple[Key, SamplerSpec]]:
        """Samplers of ``bootstrap`` or ``sampling``, with the key that each stands under in the file."""
        key: Key = ("bootstrap", "samplers") if stage == "bootstrap" else ("sampling",)
        return [((*key, index), spec) for index, spec in enumerate(self.stage(stage).samplers)]

    def selectors(self, stage: str) -> list[tuple[Key, PluginSpec]]:
        """Selectors of ``bootstrap`` or ``sampling``, likewise."""
        own = self.stage("bootstrap").selectors if stage == "bootstrap" else []
        key: Key = ("bootstrap", "selection") if own else ("selection",)
        return [((*key, index), spec) for index, spec in enumerate(own or self.selection.selectors)]

    def control_selectors(self) -> list[tuple[Key, PluginSpec]]:
        """Selectors of the control arm, likewise; none without one."""
        if self.control is None:
            return []
        specs = self.control.selectors([spec for _, spec in self.selectors("sampling")])
        return [(self.control_key(index), spec) for index, spec in enumerate(specs)]

    def control_key(self, index: int) -> Key:
        """The key that a selector of the control arm stands under: a single one need not be in a list."""
        given = self.source.content.get("control")
        in_list = isinstance(given, dict) and isinstance(given.get("arm"), list)
        return ("control", "arm", index) if in_list else ("control", "arm")

    def labeller_key(self, *parts: Hashable) -> Key:
        """The key of the labeller, or of one of its settings."""
        return (*self.file.labeller_place, *parts)

    @property
    def labeller_words(self) -> str:
        """Where the labeller stands as notes name it: ``labelling.cp2k``."""
        return ".".join(self.file.labeller_place)

    def labelled_by(self, name: str | None) -> Campaign:
        """Return the same campaign where another of the labellers that the file names labels; itself without a name.

        Raise `InputError` if there is none of that name.
        """
        if name is None:
            return self
        with self.source.at(("labelling",)):
            return replace(self, file=self.file.labelled_by(name))

    @cached_property
    def drivers(self) -> dict[str, Campaign]:
        """By name the labellers that drive samplers by programs of theirs and do not label: the campaign with each."""
        specs = [spec for stage in ("bootstrap", "sampling") for spec in self.stage(stage).samplers]
        return {name: self.labelled_by(name) for name in dict.fromkeys(spec.labelling for spec in specs) if name}
