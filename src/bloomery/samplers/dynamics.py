"""Langevin molecular dynamics that watches itself: what `md` and `reference_md` share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import ase
import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.configurations import Configurations
from bloomery.engines.contract import Progress
from bloomery.errors import InputError
from bloomery.geometry import DistanceLimits, insane, strain_tensor, strained
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Femtoseconds, Kelvin
from bloomery.samplers.contract import SamplerReport
from bloomery.samplers.forces import Driver, Evaluation
from bloomery.samplers.langevin import Langevin
from bloomery.samplers.origin import identities, require_frames, with_origin
from bloomery.samplers.watch import Brake, Watch
from bloomery.seeds import derive_seed

Temperature = Annotated[Kelvin, Field(gt=0)]
Repeat = Annotated[int, Field(ge=1)]
Small = Annotated[float, Field(gt=-0.5, lt=0.5)]
Strain = Small | tuple[Small, Small, Small, Small, Small, Small]

COMPLETED = "completed"
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
    supercell: tuple[Repeat, Repeat, Repeat] = (1, 1, 1)
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
        if self.steps < max(self.interval, self.equilibration):
            raise ValueError("steps must not be fewer than interval and equilibration: no frame would be kept")
        return self

    @property
    def limits(self) -> DistanceLimits:
        """Distances at which a trajectory stops."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)

    def keeps(self, step: int) -> bool:
        """Tell whether the frame after so many steps is kept."""
        return step > 0 and step >= self.equilibration and step % self.interval == 0

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds for so many starting structures. The frame at which a trajectory stops counts."""
        trajectories = n_start * len(self.temperatures) * len(self.strains)
        frames = trajectories * (sum(self.keeps(step) for step in range(self.steps + 1)) + 1)
        return {
            "frames": frames if self.max_frames is None else min(frames, self.max_frames),
            "md_steps": trajectories * self.steps,
        }


@dataclass(frozen=True)
class Kept:
    """One frame of a trajectory: positions in Å, ``(n, 3)``, and labels where the driver is the reference."""

    positions: NDArray[np.float64]
    step: int
    disagreement: float
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trajectory:
    """One trajectory: what it starts from, and what came of it."""

    start: int
    temperature: float
    strain: Any
    seed: int
    frame: Configurations
    kept: list[Kept] = field(default_factory=list)
    done: int = 0
    stop_reason: str = ""
    heat: float = 0.0
    largest_disagreement: float = -1.0

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before its last step."""
        return self.stop_reason != COMPLETED

    def note(self, temperature: float, disagreement: float) -> None:
        """Take a reading of temperature in K and disagreement in eV/Å."""
        self.heat += float(temperature)
        self.largest_disagreement = max(self.largest_disagreement, float(disagreement))

    def keep(self, kept: Kept) -> None:
        """Keep a frame, once."""
        if not self.kept or self.kept[-1].step != kept.step:
            self.kept.append(kept)

    def summary(self, index: int) -> dict[str, Any]:
        """Numbers and texts for the report."""
        return {
            "trajectory": index,
            "start": self.start,
            "temperature": self.temperature,
            "strain": self.strain,
            "steps": self.done,
            "frames": len(self.kept),
            "mean_temperature": float(self.heat / max(1, self.done)),
            "largest_disagreement": self.largest_disagreement,
            "stop_reason": self.stop_reason,
        }


def trajectories(start: Configurations, settings: DynamicsSettings, seed: int, sampler: str) -> list[Trajectory]:
    """Prepare all trajectories, structures first, then strains, then temperatures.

    The seed of each follows from its structure's content, its strain and its temperature.

    Raises
    ------
    InputError
        If a starting structure is absurd, or the time step too long for its lightest element.
    """
    require_frames(start, sampler)
    bare = start.without_labels().to_atoms()
    prepared = []
    for index, (atoms, identity) in enumerate(zip(bare, identities(start), strict=True)):
        reason = insane(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, settings.limits)
        if reason:
            raise InputError(f"{sampler}: starting structure {index} cannot be used: {reason}.")
        _check_timestep(atoms, settings.timestep_fs, sampler)
        for strain in settings.strains:
            cell = atoms.repeat(settings.supercell)
            if cell.pbc.any():
                cell = strained(cell, strain_tensor(strain))
            frame = Configurations.from_atoms([cell], info_keys=[])
            prepared += [
                Trajectory(
                    start=index,
                    temperature=temperature,
                    strain=list(strain) if isinstance(strain, tuple) else strain,
                    seed=derive_seed(seed, identity, strain, temperature),
                    frame=frame,
                )
                for temperature in settings.temperatures
            ]
    return prepared


def run_all(
    prepared: list[Trajectory],
    settings: DynamicsSettings,
    driver: Driver,
    *,
    brake: Brake | None,
    labels: bool,
    progress: Progress,
) -> tuple[Configurations, SamplerReport]:
    """Run all trajectories, as many at a time as the driver likes; one that fails does not lose the others."""
    started = time.perf_counter()
    total = len(prepared) * settings.steps
    before = 0
    for group in _groups(prepared, driver.batch_atoms):
        run = Run(group, settings, driver, brake, labels=labels)
        for step in run.steps():
            if step % 10 == 0 or step == settings.steps:
                progress("sample", before + step * len(group), total, {"trajectories": len(run.going)})
        before += settings.steps * len(group)
    progress("sample", total, total, {"trajectories": 0})
    seconds = time.perf_counter() - started
    steps = sum(trajectory.done for trajectory in prepared)
    frames = collect(prepared, settings)
    numbers = {
        "trajectories": float(len(prepared)),
        "stopped": float(sum(trajectory.stopped_early for trajectory in prepared)),
        "md_steps": float(steps),
        "frames": float(len(frames)),
        "seconds": seconds,
        "ms_per_step": 1000 * seconds / max(1, steps),
    }
    return frames, SamplerReport(numbers, [item.summary(index) for index, item in enumerate(prepared)])


class Run:
    """Trajectories that go on side by side until each has ended."""

    def __init__(
        self,
        group: list[Trajectory],
        settings: DynamicsSettings,
        driver: Driver,
        brake: Brake | None,
        *,
        labels: bool,
    ) -> None:
        self.going = list(group)
        self.settings = settings
        self.driver = driver
        self.labels = labels
        self.dynamics = Langevin(
            Configurations.concatenate([trajectory.frame for trajectory in group]),
            [trajectory.temperature for trajectory in group],
            [trajectory.seed for trajectory in group],
            timestep=settings.timestep_fs,
            friction=settings.friction,
        )
        self.watch = Watch(self.dynamics, settings.limits, settings.max_temperature_factor, brake)
        self._sane = (self.dynamics.positions, np.zeros(0))

    def steps(self) -> Iterator[int]:
        """Run, yielding each step that is done."""
        evaluation = self._evaluate(0)
        self._judge(evaluation, 0)
        for step in range(1, self.settings.steps + 1):
            if not self.going:
                return
            self.dynamics.move(evaluation.forces)
            evaluation = self._evaluate(step)
            self.dynamics.settle(evaluation.forces)
            self._judge(evaluation, step)
            yield step
        for trajectory in self.going:
            trajectory.stop_reason = COMPLETED

    def _evaluate(self, step: int) -> Evaluation:
        return self.driver(self.dynamics.frames, labels=self.labels and self.settings.keeps(step))

    def _judge(self, evaluation: Evaluation, step: int) -> None:
        """Keep frames, and end the trajectories that are absurd or unsure; their rows leave the evaluation too."""
        absurd, unsure = self.watch.absurd(evaluation), self.watch.unsure(evaluation)
        keeps = self.settings.keeps(step)
        temperatures = self.dynamics.temperatures
        for place, trajectory in enumerate(self.going):
            trajectory.done = step
            if place in absurd:
                trajectory.stop_reason = f"step {step}: {absurd[place]}"
                if step > 1:
                    trajectory.keep(self._with_labels(trajectory, self._before(place, step - 1)))
                continue
            trajectory.note(temperatures[place] if step else 0.0, evaluation.disagreement[place])
            if place in unsure:
                trajectory.stop_reason = f"step {step}: {unsure[place]}"
            if keeps or (place in unsure and step):
                trajectory.keep(self._here(evaluation, place, step))
        ended = absurd.keys() | unsure.keys()
        if ended:
            going = np.array([place not in ended for place in range(len(self.going))])
            evaluation.take(going, self.dynamics.owner)
            self.going = [trajectory for trajectory, goes in zip(self.going, going, strict=True) if goes]
            self.watch.keep(going)
            self.dynamics.keep(going)
        self._sane = (self.dynamics.positions, evaluation.disagreement)

    def _here(self, evaluation: Evaluation, place: int, step: int) -> Kept:
        return Kept(
            positions=self.dynamics.positions[self.dynamics.atoms_of(place)],
            step=step,
            disagreement=float(evaluation.disagreement[place]),
            values=evaluation.values.get(place, {}),
        )

    def _before(self, place: int, step: int) -> Kept:
        """Return the last sane frame."""
        positions, disagreement = self._sane
        return Kept(positions[self.dynamics.atoms_of(place)], step, float(disagreement[place]))

    def _with_labels(self, trajectory: Trajectory, kept: Kept) -> Kept:
        """Label a frame that was not meant to be kept when it was evaluated."""
        if not self.labels or kept.values:
            return kept
        frame = replace(trajectory.frame, positions=kept.positions)
        return replace(kept, values=self.driver(frame, labels=True).values.get(0, {}))


def _groups(prepared: list[Trajectory], batch_atoms: int) -> Iterator[list[Trajectory]]:
    """Cut the list into groups of about so many atoms."""
    group: list[Trajectory] = []
    atoms = 0
    for trajectory in prepared:
        if group and atoms + trajectory.frame.n_atoms > batch_atoms:
            yield group
            group, atoms = [], 0
        group.append(trajectory)
        atoms += trajectory.frame.n_atoms
    if group:
        yield group


def _check_timestep(atoms: ase.Atoms, timestep_fs: float, sampler: str) -> None:
    lightest = int(atoms.numbers[np.argmin(atomic_masses[atoms.numbers])])
    longest = LONGEST_STEP * float(np.sqrt(atomic_masses[lightest]))
    if timestep_fs > longest:
        raise InputError(
            f"{sampler}.timestep_fs: {timestep_fs:g} fs is too long for {chemical_symbols[lightest]}; "
            f"take at most {longest:.1f} fs."
        )


def collect(prepared: list[Trajectory], settings: DynamicsSettings) -> Configurations:
    """Join the frames of all trajectories, in order, with their origin."""
    rows = [
        (index, position, item.stopped_early and position == len(item.kept) - 1)
        for index, item in enumerate(prepared)
        for position in range(len(item.kept))
    ]
    chosen = [
        (index, prepared[index], prepared[index].kept[position]) for index, position, _ in _thinned(rows, settings)
    ]
    blocks: dict[tuple[int, int], int] = {}
    for index, _, kept in chosen:
        blocks.setdefault((index, (kept.step - 1) // settings.block_steps), len(blocks))
    return with_origin(
        Configurations.concatenate([_frame(item, kept) for _, item, kept in chosen]),
        start=[item.start for _, item, _ in chosen],
        trajectory=[index for index, _, _ in chosen],
        step=[kept.step for _, _, kept in chosen],
        block=[blocks[index, (kept.step - 1) // settings.block_steps] for index, _, kept in chosen],
        temperature=[item.temperature for _, item, _ in chosen],
        disagreement=[kept.disagreement for _, _, kept in chosen],
        stop_reason=[item.stop_reason for _, item, _ in chosen],
    )


def _frame(trajectory: Trajectory, kept: Kept) -> Configurations:
    """One frame, with its labels where it has them."""
    frame = replace(trajectory.frame, positions=kept.positions)
    labels = {key: value if key == "forces" else np.asarray(value)[None] for key, value in kept.values.items()}
    return frame.with_labels(masks=None, **labels)


def _thinned(rows: list[tuple[int, int, bool]], settings: DynamicsSettings) -> list[tuple[int, int, bool]]:
    """Take evenly spaced rows, those at which a trajectory stopped first."""
    limit = settings.max_frames
    if limit is None or len(rows) <= limit:
        return rows
    last = [row for row in rows if row[2]][:limit]
    others = [row for row in rows if not row[2]]
    wanted = limit - len(last)
    picked = [others[int((k + 0.5) * len(others) / wanted)] for k in range(wanted)]
    return sorted(last + picked)
