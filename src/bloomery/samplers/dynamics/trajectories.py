"""Trajectories of molecular dynamics: what they start from, what is kept of them, and where it says it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import ceil
from typing import Annotated, Any

import ase
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, strain_tensor, strained
from bloomery.frames.states import repeated
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Femtoseconds, Kelvin, Share
from bloomery.reference.calculators import Values, as_labels
from bloomery.samplers.checkpoint import State
from bloomery.samplers.contract import COMPLETED, Repeats
from bloomery.samplers.origin import joined, sane_starts
from bloomery.seeds import derive_seed

Temperature = Annotated[Kelvin, Field(gt=0)]
Small = Annotated[Share, Field(gt=-0.5, lt=0.5)]
Strain = Small | tuple[Small, Small, Small, Small, Small, Small]

PAUSED = "paused"
PROGRESS = ("done", "stop_reason", "heat", "largest_disagreement", "left")
"""What a trajectory has come to, besides its frames."""
LONGEST_STEP = 1.1
"""Longest sane time step in fs for an atom of 1 u; it grows with the square root of the lightest atom's mass."""


class DynamicsSettings(Settings):
    """Settings of molecular dynamics in the canonical ensemble."""

    temperatures: list[Temperature] = Field(default=[300.0], min_length=1)
    """Target temperatures in K; every starting structure runs at each."""
    steps: int = Field(default=1000, ge=1)
    """Time steps of each trajectory."""
    interval: int = Field(default=10, ge=1)
    """Steps between frames that are kept."""
    timestep_fs: Femtoseconds = Field(default=1.0, gt=0)
    """Time step in fs."""
    friction: float = Field(default=0.02, gt=0)
    """Friction of the thermostat in 1/fs."""
    equilibration: int = Field(default=0, ge=0)
    """Steps at the beginning of which no frame is kept, except one at which the trajectory stops."""
    block_steps: int = Field(default=100, ge=1)
    """Frames within so many steps are correlated and share a block."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors."""
    strains: list[Strain] = Field(default=[0.0], min_length=1)
    """Strains of the starting cell; every one is run. A number is isotropic; six are xx, yy, zz, yz, xz, xy."""
    max_frames: int | None = Field(default=None, ge=1)
    """Keep at most so many frames, thinned evenly; the last frames of stopped trajectories come first."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """A trajectory stops when two atoms are closer than this, in Å."""
    min_relative_distance: float = Field(default=0.5, ge=0, le=1)
    """A trajectory stops when two atoms are closer than this multiple of the sum of their covalent radii."""
    max_temperature_factor: float = Field(default=5.0, gt=1)
    """A trajectory stops above this multiple of its target temperature; 1000 K are always allowed."""

    @model_validator(mode="after")
    def _something_is_kept(self) -> DynamicsSettings:
        if self.length < max(self.interval, self.equilibration):
            raise ValueError("steps must not be fewer than interval and equilibration: no frame would be kept")
        return self

    @property
    def length(self) -> int:
        """Time steps of each trajectory."""
        return self.steps

    @property
    def starts_at(self) -> list[float]:
        """Temperatures in K at which trajectories of each structure start."""
        return self.temperatures

    def fixed_in(self, n_atoms: int) -> NDArray[np.bool_]:
        """Tell which atoms of a starting structure do not move."""
        return np.zeros(n_atoms, dtype=bool)

    def objection(self, atoms: ase.Atoms) -> str:  # noqa: ARG002
        """Say why a structure cannot be run so; empty if it can."""
        return ""

    def last(self, begun: int) -> int:  # noqa: ARG002
        """Step up to which a trajectory goes in a run that takes it up after so many steps."""
        return self.length

    @property
    def limits(self) -> DistanceLimits:
        """Distances at which a trajectory stops."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)

    def keeps(self, step: int) -> bool:
        """Tell whether the frame after so many steps is kept."""
        return step > 0 and step >= self.equilibration and step % self.interval == 0

    @property
    def trajectories_each(self) -> int:
        """Trajectories of each starting structure."""
        return len(self.starts_at) * len(self.strains)

    @property
    def frames_each(self) -> int:
        """Frames of each trajectory, at most: the one at which it stops counts."""
        return sum(self.keeps(step) for step in range(self.length + 1)) + 1

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds of one run for so many starting structures."""
        trajectories = n_start * self.trajectories_each
        frames = trajectories * self.frames_each
        return {
            "frames": min(frames, self.max_frames or frames),
            "md_steps": trajectories * self.last(0),
            "blocks": trajectories * ceil(self.last(0) / self.block_steps),
        }


@dataclass(frozen=True)
class Kept:
    """One frame of a trajectory: positions in Å, ``(n, 3)``, and labels where the driver is the reference.

    ``cell`` in Å, ``(3, 3)``, and the target ``temperature`` in K are there where they are not those of the trajectory.
    """

    positions: NDArray[np.float64]
    step: int
    disagreement: float
    values: Values = field(default_factory=dict)
    cell: NDArray[np.float64] | None = None
    temperature: float | None = None


@dataclass(eq=False)
class Trajectory:
    """One trajectory: what it starts from, and what came of it."""

    start: int
    temperature: float
    strain: Any
    seed: int
    frame: Configurations
    fixed: NDArray[np.bool_]
    replica: int = 0
    begun: int = 0
    """Step after which this run takes it up."""
    continued: int = -1
    """Which of the frames that an earlier run left it goes on from; none by default."""
    motion: State | None = None
    """How it moved there."""
    left: State | None = None
    """Where it stands, if a later run is to go on with it."""
    kept: list[Kept] = field(default_factory=list)
    done: int = 0
    stop_reason: str = ""
    heat: float = 0.0
    largest_disagreement: float = -1.0

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before its last step."""
        return self.stop_reason not in {COMPLETED, PAUSED}

    @property
    def goes_on(self) -> bool:
        """Whether it began in an earlier run."""
        return self.continued >= 0

    def note(self, temperature: float, disagreement: float) -> None:
        """Take a reading of temperature in K and disagreement in eV/Å."""
        self.heat += float(temperature)
        self.largest_disagreement = max(self.largest_disagreement, float(disagreement))

    def keep(self, kept: Kept) -> None:
        """Keep a frame, once."""
        if not self.kept or self.kept[-1].step != kept.step:
            self.kept.append(kept)

    def at(self, kept: Kept) -> Configurations:
        """Return a kept frame, bare."""
        cells = self.frame.cells if kept.cell is None else kept.cell[None]
        return replace(self.frame, positions=kept.positions, cells=cells)

    def state(self) -> State:
        """Return what came of it so far, for a checkpoint."""
        return {**{name: getattr(self, name) for name in PROGRESS}, "kept": [dict(vars(kept)) for kept in self.kept]}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        for name in PROGRESS:
            setattr(self, name, state[name])
        self.kept = [Kept(**kept) for kept in state["kept"]]

    def summary(self, index: int) -> dict[str, object]:
        """Numbers and texts for the report."""
        return {
            "trajectory": index,
            "start": self.start,
            "temperature": self.temperature,
            "strain": self.strain,
            "replica": self.replica,
            **({"begun": self.begun} if self.goes_on else {}),
            "steps": self.done - self.begun,
            "frames": len(self.kept),
            "mean_temperature": float(self.heat / max(1, self.done - self.begun)),
            "largest_disagreement": self.largest_disagreement,
            "stop_reason": self.stop_reason,
        }


def trajectories(
    start: Configurations, settings: DynamicsSettings, seed: int, sampler: str, *, replicas: int = 1
) -> list[Trajectory]:
    """Prepare all trajectories, structures first, then strains, temperatures and replicas.

    The seed of each follows from its structure's content, its strain, its temperature and its number among the
    replicas, of which the first has the seed that it has alone. `InputError` says if a starting structure is absurd, or
    the time step too long for its lightest element.
    """
    prepared = []
    for index, identity, atoms in sane_starts(start, settings.limits, sampler):
        objection = settings.objection(atoms)
        if objection:
            raise InputError(f"{sampler}.{objection.format(index)}")
        fixed = np.tile(settings.fixed_in(len(atoms)), int(np.prod(settings.supercell)))
        masses = atoms.get_masses()
        lightest = int(atoms.numbers[np.argmin(masses)])
        longest = LONGEST_STEP * float(np.sqrt(masses.min()))
        if settings.timestep_fs > longest:
            raise InputError(
                f"{sampler}.timestep_fs: {settings.timestep_fs:g} fs is too long for {chemical_symbols[lightest]}; "
                f"take at most {longest:.1f} fs."
            )
        for strain in settings.strains:
            cell = repeated(atoms, settings.supercell)
            if cell.pbc.any():
                cell = strained(cell, strain_tensor(strain))
            frame = Configurations.from_atoms([cell], info_keys=[])
            prepared += [
                Trajectory(
                    start=index,
                    temperature=temperature,
                    strain=list(strain) if isinstance(strain, tuple) else strain,
                    seed=derive_seed(seed, identity, strain, temperature, *([replica] if replica else [])),
                    frame=frame,
                    fixed=fixed,
                    replica=replica,
                )
                for temperature in settings.starts_at
                for replica in range(replicas)
            ]
    return prepared


def collect(prepared: list[Trajectory], settings: DynamicsSettings) -> Configurations:
    """Join the frames of all trajectories, in order, with their origin."""
    rows = [
        (index, position, item.stopped_early and position == len(item.kept) - 1)
        for index, item in enumerate(prepared)
        for position in range(len(item.kept))
    ]
    blocks: dict[tuple[int, int], int] = {}
    frames, origins = [], []
    for index, position, _ in _thinned(rows, settings.max_frames):
        item, kept = prepared[index], prepared[index].kept[position]
        own_block = max(0, kept.step - item.begun - 1) // settings.block_steps  # the frame gone on from is in the first
        block = blocks.setdefault((index, own_block), len(blocks))
        temperature = item.temperature if kept.temperature is None else kept.temperature
        frames.append(item.at(kept).with_labels(masks=None, **as_labels(kept.values)))
        origins.append((item.start, index, kept.step, block, temperature, kept.disagreement, item.stop_reason))
    return joined(frames, origins)


def _thinned(rows: list[tuple[int, int, bool]], limit: int | None) -> list[tuple[int, int, bool]]:
    """Take evenly spaced rows, those at which a trajectory stopped first."""
    if limit is None or len(rows) <= limit:
        return rows
    last = [row for row in rows if row[2]][:limit]
    others = [row for row in rows if not row[2]]
    wanted = limit - len(last)
    picked = [others[int((k + 0.5) * len(others) / wanted)] for k in range(wanted)]
    return sorted(last + picked)
