"""What a potential is: the contract between those that fit potentials and those that use them."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NotRequired, Self, TypedDict, Unpack, cast
from zipfile import BadZipFile

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin
from bloomery.potentials.calculator import CommitteeCalculator
from bloomery.potentials.model_card import UNITS as CARD_UNITS
from bloomery.potentials.model_card import ModelCard
from bloomery.potentials.prediction import Prediction

POTENTIAL_FILE = "potential.json"
"""Every potential is a folder; this file in it says which engine reads the rest."""

UNITS = {"length": "Å", "energy": "eV"}


class TrainedOn(TypedDict):
    """The frames that a potential was fitted to: digest of all that were given, and how many were of use."""

    digest: str
    frames: int
    early_stopping: int


class Details(TypedDict, total=False):
    """Where a potential comes from, as `POTENTIAL_FILE` tells beside what every potential has."""

    settings: Mapping[str, Any]
    seed: int
    membership_seed: int
    """Seed of the draw of which member sees which frame."""
    trained_on: TrainedOn
    measurements: Mapping[str, object]
    read_from: str
    """Format of the files of another program that it was read from."""
    units_read: str


class Common(TypedDict):
    """What every potential is made with, by the names that constructors take."""

    elements: list[str]
    energy_reference: dict[str, float]
    device: NotRequired[str]
    versions: NotRequired[dict[str, str]]
    details: NotRequired[Details]


FIRST = ("engine", "format_version", "elements", "energy_reference", "members", "dtype", "cutoff")
"""Variables of a potential that `POTENTIAL_FILE` begins with."""
STANDARD = (*FIRST, "units", "versions")
"""Keys of `POTENTIAL_FILE` that are no details."""


UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError, RecursionError, BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading files that are damaged or foreign raises."""


class Potential:
    """A fitted potential: a committee of ``M`` members behind one interface.

    It says how frames are evaluated (`evaluate`), and its files written and read (`write_files`, `read_files`).
    """

    elements: list[str]
    energy_reference: dict[str, float]
    members: int
    device: Any
    """Where it is evaluated: the name of a device, or what its engine makes of that."""
    dtype: str
    engine: str
    versions: dict[str, str]
    cutoff: float
    details: Details
    learns_rotations: bool = False
    """Energies change a little under rotation: the potential has learnt that they should not, and was not built so."""
    formats: ClassVar[dict[str, str]] = {}
    """What it can be exported as: name of a format to what it is."""
    chunk_atoms: int = 2048
    """Frames are evaluated together up to this many atoms."""
    above_reference: ClassVar[bool] = True
    """`evaluate` gives energies above the energy reference, which `predict` adds."""
    takes_empty_frames: ClassVar[bool] = False
    """`evaluate` takes frames without atoms, and no frame at all."""
    format_version: ClassVar[int] = 1
    """Of the files; later ones than this are not read."""
    own_entries: ClassVar[tuple[str, ...]] = ()
    """Keys of `POTENTIAL_FILE` that are the engine's own."""

    def __init__(self, **common: Unpack[Common]) -> None:
        for name, value in {"device": "cpu", "versions": {}, "details": {}, **common}.items():
            setattr(self, name, value)

    @property
    def common(self) -> Common:
        """What another potential like this one is made with."""
        return {
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "device": str(self.device),
            "versions": self.versions,
            "details": self.details,
        }

    # -- evaluation -----------------------------------------------------------------------------------------------

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members for all frames.

        Raises
        ------
        InputError
            If a frame has an element that the potential does not know; the frame is named.
        """
        return self._predicted(self.evaluate, configurations, stress)

    def predict_mean(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Return what `predict` returns, or a `MeanPrediction` if the engine can do that for less."""
        return self._predicted(self.evaluate_mean, configurations, stress)

    def _predicted(
        self, evaluate: Callable[..., Prediction], configurations: Configurations, stress: bool
    ) -> Prediction:
        if unknown := self.unknown_element(configurations):
            raise InputError(unknown)
        counts = configurations.counts
        frames = np.arange(len(counts)) if self.takes_empty_frames else np.flatnonzero(counts)
        kept = configurations if len(frames) == len(counts) else configurations[frames]
        bounds = chunks(kept.counts, self.chunk_atoms)
        if not bounds and self.takes_empty_frames:
            bounds = [(0, 0)]
        parts = [
            evaluate(kept if end - start == len(kept) else kept[start:end], stress=stress) for start, end in bounds
        ]
        found = type(parts[0]).concatenate(parts) if parts else Prediction.of_nothing(self.members)
        if kept is not configurations:
            found = found.among(counts, frames)
        energies, stresses = found.energies, found.stresses if stress else None
        if self.above_reference:
            energies = energies + reference_energies(configurations, self.energy_reference)
        if stresses is not None:
            full = configurations.pbc.all(axis=1) & (configurations.volumes > 0)
            stresses = np.where(full[:, None], stresses, 0.0)
        return replace(found, energies=energies, stresses=stresses)

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses of all members for frames that are evaluated together.

        Every frame has atoms, and elements that the potential knows. Stresses may be left out unless they are asked
        for; what is said of those of frames without a full cell is not looked at.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how frames are evaluated")

    def evaluate_mean(self, part: Configurations, *, stress: bool) -> Prediction:
        """Return what `evaluate` returns, or a `MeanPrediction` of it for less."""
        return self.evaluate(part, stress=stress)

    def calculator(self) -> Calculator:
        """Return an ASE calculator: energy, forces, stress, and ``disagreement`` per atom in its results."""
        return CommitteeCalculator(self)

    def feature_name(self, element: str, feature: int) -> str:  # noqa: ARG002
        """Say what a feature of an atom is, for `Prediction.extrapolating_feature`."""
        return f"feature {feature}"

    def as_float64(self) -> Potential | None:
        """Return the same weights evaluated in float64; ``None`` for an engine that has no float64."""
        return None

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the potential's files, `POTENTIAL_FILE` among them, into a folder, which is made if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            **{name: getattr(self, name) for name in FIRST},
            **self.write_files(folder),
            "units": UNITS,
            "versions": self.versions,
            **self.details,
        }
        (folder / POTENTIAL_FILE).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write what the potential consists of beside `POTENTIAL_FILE`; return the `own_entries` of that."""
        raise NotImplementedError(f"potentials of {self.engine!r} are not written; {folder} stays as it is")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or broken, or written by a later format.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / POTENTIAL_FILE).read_text(encoding="utf-8"))
            if content["format_version"] > cls.format_version:
                raise InputError(f"{folder}: was written by a later version of bloomery; update this one.")
            if wrong := _what_is_wrong(content):
                raise InputError(f"{folder / POTENTIAL_FILE}: {wrong}; copy the folder again, or train anew.")
            common = Common(
                elements=content["elements"],
                energy_reference=content["energy_reference"],
                device=device,
                versions=content["versions"],
                details=cast("Details", {k: v for k, v in content.items() if k not in (*STANDARD, *cls.own_entries)}),
            )
            return cls.read_files(folder, content, common)
        except UNREADABLE as error:
            raise InputError(f"{folder}: is not a potential of the engine {cls.engine!r} ({error}).") from error

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Make the potential of what `write_files` wrote, and of the content of `POTENTIAL_FILE`."""
        raise NotImplementedError(f"{cls.__name__} does not say how it is read")

    def export(self, format: str, folder: str | Path) -> list[Path]:  # noqa: A002
        """Write the potential for deployment, with its model card; return the files written.

        Raises
        ------
        InputError
            If the engine cannot write that format, or the format cannot express this potential.
        """
        if format not in self.formats:
            known = ", ".join(self.formats) or "none yet"
            raise InputError(
                f"potentials of the engine {self.engine!r} cannot be exported as {format!r}; formats: {known}."
            )
        obstacle = self.obstacle(format)
        if obstacle:
            raise InputError(f"this potential cannot be exported as {format!r}: {obstacle}.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self.write_export(format, folder)
        return [*files, *self.card(format, files).save(folder)]

    def card(self, format: str, files: Sequence[Path] = ()) -> ModelCard:  # noqa: A002
        """Return what is known of the potential, written as one of `formats`."""
        details = self.details
        told = ("settings", "seed", "trained_on", "measurements")
        return ModelCard(
            **{name: getattr(self, name) for name in FIRST if name != "format_version"},
            format=format,
            about=self.formats.get(format, ""),
            files=sorted(path.name for path in files),
            units=CARD_UNITS,
            trained_on=details.get("trained_on", {}),
            settings=details.get("settings", {}),
            seed=details.get("seed"),
            measurements=details.get("measurements", {}),
            versions=self.versions,
            more={key: value for key, value in details.items() if key not in told},
        )

    def obstacle(self, format: str) -> str:  # noqa: A002, ARG002
        """Say why this potential cannot be written in one of its engine's `formats`; empty if it can."""
        return ""

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write the files of one of `formats` into a folder; return their paths."""
        raise NotImplementedError(f"{type(self).__name__} lists {format!r} in `formats` and does not write it")

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator | None:  # noqa: A002, ARG003
        """Return the ASE calculator that users of `write_export`'s files would make; ``None`` if there is none."""
        return None

    def unknown_element(self, configurations: Configurations) -> str | None:
        """Return a sentence about the first frame with an element that the potential does not know, or ``None``."""
        if set(configurations.elements) <= set(self.elements):
            return None
        known = np.isin(configurations.numbers, [chemical_symbols.index(element) for element in self.elements])
        atom = int(np.flatnonzero(~known)[0])
        return (
            f"frame {configurations.frame_of_atom[atom]} holds {chemical_symbols[configurations.numbers[atom]]}, which "
            f"the potential does not know (it knows {', '.join(self.elements)}); train on frames with that element."
        )


def _what_is_wrong(content: Mapping[str, Any]) -> str:
    """Say which of the variables that every potential has does not fit, or nothing."""
    elements, reference = content["elements"], content["energy_reference"]
    kinds = {**dict.fromkeys(("versions", "settings", "trained_on", "measurements"), dict), "membership_seed": int}
    for name, kind in kinds.items():
        if not isinstance(content.get(name, kind()), kind):
            return f"{name} is {content[name]!r}, and must be {'a mapping' if kind is dict else 'a number'}"
    if not isinstance(elements, list) or not elements or not {*elements} <= {*chemical_symbols[1:]}:
        return f"elements is {elements!r}, and must be a list of elements"
    if set(reference) != set(elements):
        return f"energy_reference is of {', '.join(reference) or 'nothing'}, and elements of {', '.join(elements)}"
    numbers = {f"energy_reference of {element}": value for element, value in reference.items()}
    for name, value in {**numbers, "cutoff": content["cutoff"]}.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            return f"{name} is {value!r}, and must be a number"
    if not isinstance(content["members"], int) or content["members"] < 1:
        return f"members is {content['members']!r}, and must be 1 or more"
    fits = content["dtype"] in ("float32", "float64")
    return "" if fits else f"dtype is {content['dtype']!r}, and must be float32 or float64"


def load_potential(folder: str | Path, device: str = "auto") -> Potential:
    """Read a potential of any engine; `InputError` if the folder holds none, or its engine is not installed."""
    file = Path(folder) / POTENTIAL_FILE
    if not file.is_file():
        raise InputError(
            f"{folder}: holds no {POTENTIAL_FILE}, so it is not a potential; give the folder that an engine wrote."
        )
    try:
        engine = str(json.loads(file.read_text(encoding="utf-8"))["engine"])
    except UNREADABLE as error:
        raise InputError(f"{file}: does not say which engine wrote it ({error}).") from error
    return load_plugin("engines", engine).load(folder, device)


def reference_energies(configurations: Configurations, reference: dict[str, float]) -> NDArray[np.float64]:
    """Sum of the atoms' reference energies of each frame in eV, ``(N,)``."""
    per_number = np.zeros(len(chemical_symbols))
    for element, energy in reference.items():
        per_number[chemical_symbols.index(element)] = energy
    result = np.zeros(len(configurations))
    np.add.at(result, configurations.frame_of_atom, per_number[configurations.numbers])
    return result
