"""Langevin molecular dynamics that watches itself: what `md` and `reference_md` share.

The integrator is ASE's, after Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import ase
import numpy as np
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom
from ase.data import atomic_masses, chemical_symbols
from ase.md.langevin import Langevin
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.configurations import Configurations
from bloomery.engines.contract import Progress
from bloomery.errors import InputError
from bloomery.geometry import DistanceLimits, insane, strain_tensor, strained
from bloomery.plugins import Settings
from bloomery.reference import reference_values
from bloomery.samplers.contract import SamplerReport
from bloomery.samplers.origin import identities, require_frames, with_origin
from bloomery.seeds import derive_seed

Positive = Annotated[float, Field(gt=0)]
Repeat = Annotated[int, Field(ge=1)]
Small = Annotated[float, Field(gt=-0.5, lt=0.5)]
Strain = Small | tuple[Small, Small, Small, Small, Small, Small]

LONGEST_STEP = 1.1
"""Longest sane time step in fs for an atom of 1 u; it grows with the square root of the lightest atom's mass."""


class DynamicsSettings(Settings):
    """Settings of molecular dynamics in the canonical ensemble."""

    temperatures: list[Positive] = Field(default=[300.0], min_length=1)
    """Target temperatures in K; every starting structure runs at each."""
    steps: int = Field(default=1000, ge=1)
    """Time steps of each trajectory."""
    interval: int = Field(default=10, ge=1)
    """Steps between frames that are kept."""
    timestep_fs: float = Field(default=1.0, gt=0)
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
    min_distance: float = Field(default=0.0, ge=0)
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
class Brake:
    """When disagreement ends a trajectory: above ``limit`` (eV/Å) for ``patience`` steps in a row."""

    limit: float
    patience: int


@dataclass
class Trajectory:
    """One trajectory: what it starts from, and what came of it."""

    start: int
    temperature: float
    strain: Any
    seed: int
    atoms: ase.Atoms
    frames: list[ase.Atoms] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    disagreements: list[float] = field(default_factory=list)
    done: int = 0
    stop_reason: str = ""
    stopped_early: bool = False
    heat: float = 0.0
    largest_disagreement: float = -1.0

    def keep(self, frame: ase.Atoms, step: int, disagreement: float) -> None:
        """Keep a frame, once."""
        if not self.steps or self.steps[-1] != step:
            self.frames.append(frame)
            self.steps.append(step)
            self.disagreements.append(disagreement)

    def summary(self, index: int) -> dict[str, Any]:
        """Numbers and texts for the report."""
        return {
            "trajectory": index,
            "start": self.start,
            "temperature": self.temperature,
            "strain": self.strain,
            "steps": self.done,
            "frames": len(self.frames),
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
        reason = insane(start, index, settings.limits)
        if reason:
            raise InputError(f"{sampler}: starting structure {index} cannot be used: {reason}.")
        _check_timestep(atoms, settings.timestep_fs, sampler)
        for strain in settings.strains:
            cell = atoms.repeat(settings.supercell)
            if cell.pbc.any():
                cell = strained(cell, strain_tensor(strain))
            cell.info = {}
            prepared += [
                Trajectory(
                    start=index,
                    temperature=temperature,
                    strain=list(strain) if isinstance(strain, tuple) else strain,
                    seed=derive_seed(seed, identity, strain, temperature),
                    atoms=cell.copy(),
                )
                for temperature in settings.temperatures
            ]
    return prepared


def run_all(
    prepared: list[Trajectory],
    settings: DynamicsSettings,
    calculator: Any,
    *,
    brake: Brake | None,
    labels: bool,
    progress: Progress,
) -> tuple[Configurations, SamplerReport]:
    """Run trajectories one after the other; one that fails says so and does not lose the others."""
    started = time.perf_counter()
    total = len(prepared) * settings.steps
    for index, trajectory in enumerate(prepared):
        done = index * settings.steps
        for step in _run(trajectory, settings, calculator, brake, labels=labels):
            if step % 10 == 0 or step == settings.steps:
                progress("sample", done + step, total, {"trajectory": index, "temperature": trajectory.temperature})
    seconds = time.perf_counter() - started
    steps = sum(trajectory.done for trajectory in prepared)
    frames = _collect(prepared, settings)
    numbers = {
        "trajectories": float(len(prepared)),
        "stopped": float(sum(trajectory.stopped_early for trajectory in prepared)),
        "md_steps": float(steps),
        "frames": float(len(frames)),
        "seconds": seconds,
        "ms_per_step": 1000 * seconds / max(1, steps),
    }
    return frames, SamplerReport(numbers, [item.summary(index) for index, item in enumerate(prepared)])


def _run(
    trajectory: Trajectory, settings: DynamicsSettings, calculator: Any, brake: Brake | None, *, labels: bool
) -> Iterator[int]:
    """Run one trajectory, yielding each step that is done."""
    atoms = trajectory.atoms
    atoms.calc = calculator
    try:
        dynamics = _prepare_dynamics(atoms, trajectory, settings)
        watch = _Watch(trajectory, settings, brake)
        forces = atoms.get_forces(md=True)
        for step in range(settings.steps + 1):
            if step:
                forces = dynamics.step(forces)
                trajectory.done = step
            disagreement = _disagreement(calculator)
            if watch.absurd(atoms, forces, step):
                _keep_last_sane(trajectory, watch, labels=labels)
                return
            wants_stop = watch.unsure(disagreement, step)
            if settings.keeps(step) or wants_stop:
                trajectory.keep(_snapshot(atoms, labels=labels), step, disagreement)
            if wants_stop:
                return
            watch.last_sane = (atoms.get_positions(), step, disagreement)
            yield step
        trajectory.stop_reason = "completed"
    except Exception as error:  # noqa: BLE001  the other trajectories are not to be lost
        trajectory.stop_reason = f"failed after {trajectory.done} steps: {type(error).__name__}: {error}"
        trajectory.stopped_early = True
    finally:
        atoms.calc = None


def _prepare_dynamics(atoms: ase.Atoms, trajectory: Trajectory, settings: DynamicsSettings) -> Langevin:
    generator = np.random.default_rng(trajectory.seed)
    masses = atoms.get_masses()[:, None]
    momenta = generator.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * trajectory.temperature)
    if len(atoms) > 1:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()
        atoms.set_constraint(FixCom())
    atoms.set_momenta(momenta)
    return Langevin(
        atoms,
        timestep=settings.timestep_fs * units.fs,
        temperature_K=trajectory.temperature,
        friction=settings.friction / units.fs,
        fixcm=False,  # FixCom does it, and samples the ensemble rightly
        rng=generator,
    )


class _Watch:
    """Looks at every step of one trajectory and ends it, with the reason."""

    def __init__(self, trajectory: Trajectory, settings: DynamicsSettings, brake: Brake | None) -> None:
        self.trajectory = trajectory
        self.limits = settings.limits
        self.brake = brake
        self.hottest = max(1000.0, settings.max_temperature_factor * trajectory.temperature)
        self.last_sane: tuple[NDArray[np.float64], int, float] | None = None
        self.unsure_for = 0

    def absurd(self, atoms: ase.Atoms, forces: NDArray[np.float64], step: int) -> bool:
        """Tell whether the frame is beyond physics."""
        reason = self._absurdity(atoms, forces)
        if reason:
            self._stop(f"step {step}: {reason}")
        return bool(reason)

    def _absurdity(self, atoms: ase.Atoms, forces: NDArray[np.float64]) -> str:
        if not (np.isfinite(forces).all() and np.isfinite(atoms.positions).all()):
            return "a force or position is not finite"
        temperature = atoms.get_temperature() if len(atoms) > 1 else 0.0
        if not temperature < self.hottest:
            return f"the temperature of {temperature:.0f} K is above {self.hottest:.0f} K"
        self.trajectory.heat += temperature if self.trajectory.done else 0.0
        return self.limits.broken_by(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)

    def unsure(self, disagreement: float, step: int) -> bool:
        """Tell whether the committee has disagreed too much for too long."""
        self.trajectory.largest_disagreement = max(self.trajectory.largest_disagreement, disagreement)
        if self.brake is None:
            return False
        self.unsure_for = self.unsure_for + 1 if disagreement > self.brake.limit else 0
        if self.unsure_for < self.brake.patience:
            return False
        self._stop(
            f"step {step}: disagreement of {disagreement:.3f} eV/Å, above {self.brake.limit:.3f} eV/Å "
            f"for {self.unsure_for} steps"
        )
        return True

    def _stop(self, reason: str) -> None:
        self.trajectory.stop_reason = reason
        self.trajectory.stopped_early = True


def _keep_last_sane(trajectory: Trajectory, watch: _Watch, *, labels: bool) -> None:
    """Keep the frame before an absurd one, unless it is the start itself."""
    if watch.last_sane is None or watch.last_sane[1] == 0:
        return
    positions, step, disagreement = watch.last_sane
    trajectory.atoms.set_positions(positions, apply_constraint=False)
    trajectory.keep(_snapshot(trajectory.atoms, labels=labels), step, disagreement)


def _snapshot(atoms: ase.Atoms, *, labels: bool) -> ase.Atoms:
    frame = ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if labels:
        frame.calc = SinglePointCalculator(frame, **reference_values(atoms))
    return frame


def _disagreement(calculator: Any) -> float:
    values = calculator.results.get("disagreement")
    return -1.0 if values is None else float(np.max(values))


def _check_timestep(atoms: ase.Atoms, timestep_fs: float, sampler: str) -> None:
    lightest = int(atoms.numbers[np.argmin(atomic_masses[atoms.numbers])])
    longest = LONGEST_STEP * float(np.sqrt(atomic_masses[lightest]))
    if timestep_fs > longest:
        raise InputError(
            f"{sampler}.timestep_fs: {timestep_fs:g} fs is too long for {chemical_symbols[lightest]}; "
            f"take at most {longest:.1f} fs."
        )


def _collect(prepared: list[Trajectory], settings: DynamicsSettings) -> Configurations:
    """Join the frames of all trajectories, in order, with their origin."""
    rows = [
        (index, position, item.stopped_early and position == len(item.frames) - 1)
        for index, item in enumerate(prepared)
        for position in range(len(item.frames))
    ]
    rows = _thinned(rows, settings.max_frames)
    blocks: dict[tuple[int, int], int] = {}
    for index, position, _ in rows:
        blocks.setdefault((index, (prepared[index].steps[position] - 1) // settings.block_steps), len(blocks))
    return with_origin(
        Configurations.from_atoms([prepared[index].frames[position] for index, position, _ in rows], info_keys=[]),
        start=[prepared[index].start for index, _, _ in rows],
        trajectory=[index for index, _, _ in rows],
        step=[prepared[index].steps[position] for index, position, _ in rows],
        block=[
            blocks[index, (prepared[index].steps[position] - 1) // settings.block_steps] for index, position, _ in rows
        ],
        temperature=[prepared[index].temperature for index, _, _ in rows],
        disagreement=[prepared[index].disagreements[position] for index, position, _ in rows],
        stop_reason=[prepared[index].stop_reason for index, _, _ in rows],
    )


def _thinned(rows: list[tuple[int, int, bool]], limit: int | None) -> list[tuple[int, int, bool]]:
    """Take evenly spaced rows, those at which a trajectory stopped first."""
    if limit is None or len(rows) <= limit:
        return rows
    last = [row for row in rows if row[2]][:limit]
    others = [row for row in rows if not row[2]]
    wanted = limit - len(last)
    picked = [others[int((k + 0.5) * len(others) / wanted)] for k in range(wanted)]
    return sorted(last + picked)
