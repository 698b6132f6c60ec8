"""What a sampler is: starting configurations, perhaps a potential, and a seed go in; frames with an origin come out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.plugins import Plugin
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress, no_progress
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint

Repeats = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""Repeats of a cell along its vectors."""
ORIGIN_KEYS = ("start", "trajectory", "step", "block", "temperature", "disagreement", "stop_reason")
"""Per-frame arrays that every sampler fills.

``start``: index of the starting configuration (int, -1 if none); ``trajectory`` (int, unique within one run of a
sampler); ``step`` (int); ``block``: frames of one trajectory that are too close in time to count as independent share
a block (int, unique within the run); ``temperature``: the target in K (float, -1 where it has no meaning);
``disagreement``: largest force disagreement of an atom in eV/Å as the driving committee saw it (float, -1 if unknown);
``stop_reason``: why the frame's trajectory ended (text, empty where nothing can stop it).
"""

SELECTION_KEYS = ("role", "rule", "score", "pool", "pool_index", "parent")
"""Per-frame arrays that a selection or labelling fills: those of another campaign say nothing here."""

COMPLETED = "completed"
"""``stop_reason`` of a trajectory that came to its end."""


@dataclass(frozen=True)
class SamplerReport:
    """What a sampler says about its run, besides the frames: counts and texts that go to the user."""

    numbers: dict[str, float] = field(default_factory=dict)
    trajectories: list[dict[str, object]] = field(default_factory=list)
    left: Configurations | None = None
    """Of a sampler that `continues`: where its trajectories stand, for its next run."""
    driver: dict[str, object] = field(default_factory=dict)
    """Of a sampler that a foundation drives: which it was, as plain values."""


class Sampler(Plugin):
    """Make new configurations."""

    driven_by_labeller: ClassVar[bool] = False
    """Whether the reference method drives it. Its settings then hold ``calculator``, a `CalculatorSpec`. In a campaign
    that need not be given: a labeller that has an ASE calculator lends it, and one that drives dynamics with a program
    of its own takes over, with the other settings."""
    driven_by_foundation: ClassVar[bool] = False
    """Whether a foundation drives it. Its settings then hold ``foundation``, a `FoundationSpec`. In a campaign that
    need not be given where the file names one, and its jobs run in the foundation's environment."""
    takes_own_frames: ClassVar[bool] = False
    """Whether it hands on frames of the user's own. Its settings then hold ``file`` and ``frames``, both text or
    ``None``. A campaign reads ``file`` when it is submitted, puts a label under ``frames`` in its place, and those
    frames are what `sample` starts from."""
    needs_potential: bool = False
    """Whether it can do nothing without a potential; may follow from its settings."""
    continues: bool = False
    """Whether a run goes on where the last one stopped: then it reports what it ``left``, and `sample` takes that as
    ``continued`` (`Configurations` or ``None``). Frames then have a further array ``continued``: the frame in it from
    which their trajectory goes on (int, -1 if none)."""

    @abstractmethod
    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,
        seed: int = 0,
        scale: Scale | None = None,
        progress: Progress = no_progress,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> tuple[Configurations, SamplerReport]:
        """Sample frames that carry `ORIGIN_KEYS`.

        Parameters
        ----------
        scale
            What is known of the potential's errors: what relative limits and expected errors refer to.
        checkpoint
            Where a run that takes more than seconds keeps its state, and finds that of a run that was killed: it goes
            on to the same frames, to the last bit.

        Raises
        ------
        InputError
            If the starting configurations cannot be used; the frame is named.
        """

    @abstractmethod
    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds for ``n_start`` starting configurations: ``frames`` and ``md_steps``.

        Also ``blocks``, where several frames may share one; left out, each frame is a block of its own.
        """

    def new_elements(self) -> list[str]:
        """Elements that its settings bring in, whatever the starting structures hold."""
        return []


@dataclass(frozen=True)
class Task:
    """What `Sampler.sample` is given."""

    start: Configurations
    potential: Potential | None
    seed: int
    scale: Scale | None
    progress: Progress
    checkpoint: Checkpoint
    continued: Configurations | None


class TaskSampler(Sampler):
    """A sampler that is handed what a run is given as one task, and implements `run`."""

    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,
        seed: int = 0,
        scale: Scale | None = None,
        progress: Progress = no_progress,
        checkpoint: Checkpoint = NO_CHECKPOINT,
        continued: Configurations | None = None,
    ) -> tuple[Configurations, SamplerReport]:
        """See `Sampler.sample`."""
        return self.run(Task(start, potential, seed, scale, progress, checkpoint, continued))

    @abstractmethod
    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample frames that carry `ORIGIN_KEYS`; see `Sampler.sample`."""
