"""What an engine and a potential are: the contract that every fitting code is put behind."""

from __future__ import annotations

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import LABELS, Configurations
from bloomery.frames.file_units import FileUnits
from bloomery.plugins import Plugin, load_plugin
from bloomery.prediction import Prediction

POTENTIAL_FILE = "potential.json"
"""Every potential is a folder; this file in it says which engine reads the rest."""

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as ``progress(stage, step, total, numbers)``; jobs turn it into a progress file."""


def no_progress(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class TrainingData:
    """What a potential is fitted to and stopped on.

    Parameters
    ----------
    train
        Frames to fit; also the only ones from which scalers, offsets and the energy reference may be learnt.
    early_stopping
        Frames to stop on; may be empty, then training runs its full length.
    energy_reference
        Energy per atom of each element in eV that is subtracted before fitting and added after predicting.
    """

    train: Configurations
    early_stopping: Configurations
    energy_reference: dict[str, float]

    @property
    def elements(self) -> list[str]:
        """Elements of the training frames."""
        return self.train.elements


@dataclass(frozen=True)
class TrainingHistory:
    """How a training went: one entry per report.

    Parameters
    ----------
    columns
        Name to values, all of one length: ``epoch``, ``train_loss``, ``early_stopping_loss``, ...
    summary
        Numbers and text about the whole training: epochs, seconds, why it stopped.
    """

    columns: dict[str, list[float]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


class Potential(ABC):
    """A fitted potential: a committee of ``M`` members behind one interface."""

    elements: list[str]
    energy_reference: dict[str, float]
    members: int
    dtype: str
    engine: str
    versions: dict[str, str]
    cutoff: float
    details: dict[str, Any]
    """What else `POTENTIAL_FILE` says: ``settings``, ``seed``, and ``trained_on`` with ``digest`` and ``frames``."""
    learns_rotations: bool = False
    """Energies change a little under rotation: the potential has learnt that they should not, and was not built so."""
    formats: ClassVar[dict[str, str]] = {}
    """What it can be exported as: name of a format to what it is."""

    @abstractmethod
    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members for all frames.

        Raises
        ------
        InputError
            If a frame has an element that the potential does not know; the frame is named.
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the potential's files, `POTENTIAL_FILE` among them, into a folder, which is made if missing."""

    def calculator(self) -> Calculator:
        """Return an ASE calculator: energy, forces, stress, and ``disagreement`` per atom in its results."""
        from bloomery.engines.calculator import CommitteeCalculator  # noqa: PLC0415

        return CommitteeCalculator(self)

    def feature_name(self, element: str, feature: int) -> str:  # noqa: ARG002
        """Say what a feature of an atom is, for `Prediction.extrapolating_feature`."""
        return f"feature {feature}"

    def as_float64(self) -> Potential | None:
        """Return the same weights evaluated in float64; ``None`` for an engine that has no float64."""
        return None

    def export(self, format: str, folder: str | Path) -> list[Path]:  # noqa: A002
        """Write the potential for deployment, with its model card.

        Returns
        -------
        list
            The files written.

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
        from bloomery.engines.model_card import write_model_card  # noqa: PLC0415

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self.write_export(format, folder)
        return [*files, *write_model_card(self, format, files, folder)]

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
        from ase.data import chemical_symbols  # noqa: PLC0415

        if set(configurations.elements) <= set(self.elements):
            return None
        known = np.isin(configurations.numbers, [chemical_symbols.index(element) for element in self.elements])
        atom = int(np.flatnonzero(~known)[0])
        return (
            f"frame {configurations.frame_of_atom[atom]} holds {chemical_symbols[configurations.numbers[atom]]}, which "
            f"the potential does not know (it knows {', '.join(self.elements)}); train on frames with that element."
        )


class Engine(Plugin):
    """A code that fits potentials. Its class variables say what holds for it."""

    has_float64: ClassVar[bool] = True
    """Its potentials can be evaluated in float64."""
    resumes: ClassVar[bool] = True
    """A training that is killed and started again ends at the same potential, to the last bit."""
    starts_warm: ClassVar[bool] = True
    """A training can start from an earlier potential; otherwise one that is given has no effect."""
    package: ClassVar[str] = ""
    """The distribution that it needs, in an environment of its own; empty for an engine that needs none."""
    module: ClassVar[str] = ""
    """What that distribution is imported as."""
    imports: ClassVar[dict[str, str]] = {}
    """Files of other programs that can be read as a potential of this engine: name of a format to what it is."""

    @abstractmethod
    def train(
        self,
        data: TrainingData,
        *,
        start_from: Potential | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: Progress = no_progress,
        folder: Path | None = None,
    ) -> tuple[Potential, TrainingHistory]:
        """Fit a committee.

        Parameters
        ----------
        start_from
            A potential of the same engine whose weights are the starting point (warm start).
        folder
            Where checkpoints may be kept, so that a killed training goes on where it was.

        Raises
        ------
        InputError
            If the data cannot be fitted (no labels, unknown elements, a start that does not fit).
        DivergedError
            If the loss is not finite.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read what `Potential.save` wrote."""

    @classmethod
    def import_files(cls, format: str, path: Path, units: FileUnits | None = None) -> Potential:  # noqa: A002
        """Read files of one of `imports`.

        Parameters
        ----------
        units
            Those of the files; by default what the files say, else what is usual.

        Raises
        ------
        InputError
            If they cannot be read; file and line are named.
        """
        raise NotImplementedError(f"{cls.__name__} lists {format!r} in `imports` and does not read it")

    @classmethod
    def missing(cls) -> str | None:
        """Return one sentence if the engine's package cannot be imported here, or ``None``. Imports nothing."""
        if not cls.module or importlib.util.find_spec(cls.module) is not None:
            return None
        return (
            f"engine {cls.name!r} needs the package {cls.package}: run `aiida-bloomery setup --engine {cls.name}`, and "
            "use the `bloomery` of its environment."
        )

    @classmethod
    def require(cls) -> None:
        """See that the engine's package is there.

        Raises
        ------
        InputError
            One sentence that says how to get it.
        """
        sentence = cls.missing()
        if sentence is not None:
            raise InputError(sentence)


def load_potential(folder: str | Path, device: str = "auto") -> Potential:
    """Read a potential of any engine from its folder.

    Raises
    ------
    InputError
        If the folder holds no potential, or its engine is not installed.
    """
    file = Path(folder) / POTENTIAL_FILE
    if not file.is_file():
        raise InputError(
            f"{folder}: holds no {POTENTIAL_FILE}, so it is not a potential; give the folder that an engine wrote."
        )
    try:
        engine = json.loads(file.read_text(encoding="utf-8"))["engine"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: does not say which engine wrote it ({error}).") from error
    potential: Potential = load_plugin("engines", engine).load(folder, device)
    return potential


def bad_label(configurations: Configurations) -> tuple[int, str] | None:
    """Return the first frame with a label that is not finite, and which label; ``None`` if all are."""
    for name, values in configurations.labels.items():
        frames = configurations.frame_of_atom if LABELS[name].per == "atom" else np.arange(len(configurations))
        odd = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        wrong = frames[odd & configurations.masks[name][frames]]
        if len(wrong):
            return int(wrong[0]), name
    return None


def reference_energies(configurations: Configurations, reference: dict[str, float]) -> NDArray[np.float64]:
    """Sum of the atoms' reference energies of each frame in eV, ``(N,)``."""
    from ase.data import chemical_symbols  # noqa: PLC0415

    per_number = np.zeros(len(chemical_symbols))
    for element, energy in reference.items():
        per_number[chemical_symbols.index(element)] = energy
    result = np.zeros(len(configurations))
    np.add.at(result, configurations.frame_of_atom, per_number[configurations.numbers])
    return result
