"""What an engine is: the contract that every fitting code is put behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

from bloomery.devices import choose_device
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.frames.file_units import FileUnits
from bloomery.plugins import PackagedPlugin
from bloomery.potentials.contract import Potential, load_potential
from bloomery.progress import Progress, no_progress

__all__ = ["Engine", "Potential", "Training", "TrainingData", "TrainingHistory", "load_potential"]


@dataclass(frozen=True)
class TrainingData:
    """What a potential is fitted to and stopped on."""

    train: Configurations
    """Frames to fit; also the only ones from which scalers, offsets and the energy reference may be learnt."""
    early_stopping: Configurations
    """Frames to stop on; may be empty, then training runs its full length."""
    energy_reference: dict[str, float]
    """Energy per atom of each element in eV that is subtracted before fitting and added after predicting."""


@dataclass(frozen=True)
class TrainingHistory:
    """How a training went: one entry per report."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    """Name to values, all of one length: ``epoch``, ``train_loss``, ``early_stopping_loss``, ..."""
    summary: Mapping[str, object] = field(default_factory=dict)
    """Numbers and text about the whole training: epochs, seconds, why it stopped."""
    doubts: list[str] = field(default_factory=list)
    """Sentences about labels that no potential can follow."""


@dataclass(frozen=True)
class Training:
    """How a training is to run, beside the engine's settings and the data."""

    start_from: Potential | None = None
    """A potential of the same engine whose weights are the starting point (warm start)."""
    device: str = "auto"
    """Where to compute: see `Engine.place`."""
    seed: int = 0
    progress: Progress = no_progress
    folder: Path | None = None
    """Where checkpoints may be kept, so that a killed training goes on where it was."""


class Engine(PackagedPlugin):
    """A code that fits potentials. Its class variables say what holds for it, and where the code is that does it."""

    role = "engine"
    fitted_by: ClassVar[str]
    """``module:function`` that fits: it is given the settings, and what `fit` is given, on the device of `place`."""
    potentials: ClassVar[str]
    """``module:class`` of its potentials. Both are imported when they are used, and not before."""
    has_float64: ClassVar[bool] = True
    """Its potentials can be evaluated in float64."""
    resumes: ClassVar[bool] = True
    """A training that is killed and started again ends at the same potential, to the last bit."""
    starts_warm: ClassVar[bool] = True
    """A training can start from an earlier potential; otherwise one that is given has no effect."""
    on_torch: ClassVar[bool] = False
    """Torch says what devices there are; otherwise a device is handed on as it was asked for."""
    imports: ClassVar[dict[str, str]] = {}
    """Files of other programs that can be read as a potential of this engine: name of a format to what it is."""

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
        """Fit a committee; the keywords are those of `Training`.

        Raises
        ------
        InputError
            If the data cannot be fitted (no labels, unknown elements, a start that does not fit).
        DivergedError
            If the loss is not finite.
        """
        self.require()
        return self.fit(data, Training(start_from, device, seed, progress, folder))

    def fit(self, data: TrainingData, training: Training) -> tuple[Potential, TrainingHistory]:
        """Fit a committee by `fitted_by`; see `train`. The engine's package is there."""
        return resolve_name(self.fitted_by)(self.settings, data, replace(training, device=self.place(training.device)))

    def foreseen(self, elements: list[str], frames: int, atoms: float) -> list[str]:  # noqa: ARG002
        """Say what a training on so many frames of so many atoms will cost, and where its potentials can run.

        Nothing is imported or measured for it. Engines that do not know say nothing.
        """
        return []

    @property
    def runs_in(self) -> tuple[str, str] | None:
        """Role and name of the plug-in in whose environment it runs; ``None`` if in bloomery's own."""
        return (self.role, self.name) if self.package else None

    @property
    def baseline(self) -> FoundationSpec | None:
        """A foundation that its potentials are added to, if there is one: its setting ``baseline``."""
        return None

    @property
    def begins_from_foundation(self) -> bool:
        """Whether its potentials begin from a foundation by what its settings say."""
        return self.baseline is not None

    @property
    def disagrees(self) -> bool:
        """Whether its potentials say how far they may be wrong: a committee does, or a variance of their own."""
        return int(getattr(self.settings, "members", 2)) > 1

    @classmethod
    def potential_class(cls) -> type[Any]:
        """Return the class of its potentials."""
        return resolve_name(cls.potentials)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read what `Potential.save` wrote."""
        cls.require()
        return cls.potential_class().load(folder, cls.place(device))

    @classmethod
    def place(cls, device: str) -> str:
        """Return the device to compute on: what ``auto`` is here."""
        return choose_device(device) if cls.on_torch else device

    @classmethod
    def import_files(cls, format: str, path: Path, units: FileUnits | None = None) -> Potential:  # noqa: A002
        """Read files of one of `imports`, by default in the units that they say, else in what is usual.

        Raises
        ------
        InputError
            If they cannot be read; file and line are named.
        """
        raise NotImplementedError(f"{cls.__name__} lists {format!r} in `imports` and does not read it")
