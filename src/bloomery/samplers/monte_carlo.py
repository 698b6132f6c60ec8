"""Metropolis Monte Carlo: displacements of atoms, and swaps of atoms of different elements.

Metropolis, Rosenbluth, Rosenbluth, Teller and Teller, J. Chem. Phys. 21, 1087 (1953). Swaps reach in one move the
orderings of an alloy that dynamics would need diffusion for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import numpy as np
from ase import units
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits
from bloomery.frames.states import repeated
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential
from bloomery.quantities import Angstrom, Kelvin, Share
from bloomery.samplers.checkpoint import State
from bloomery.samplers.contract import COMPLETED, Repeats, SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import joined, sane_starts
from bloomery.samplers.trust import TrustSettings, require_potential, too_unsure
from bloomery.seeds import derive_seed

MOVES = ("displacement", "swap")
PLAIN = ("energy", "disagreement", "stop_reason", "tried", "accepted", "done")


class MonteCarloSettings(TrustSettings):
    """Settings of the sampler `monte_carlo`."""

    temperatures: list[Annotated[Kelvin, Field(gt=0)]] = Field(default=[300.0], min_length=1)
    """Temperatures in K; every starting structure has a chain at each."""
    steps: int = Field(default=2000, ge=1)
    """Moves that are tried in each chain; each is one evaluation of the potential."""
    interval: int = Field(default=50, ge=1)
    """Moves between frames that are kept."""
    equilibration: int = Field(default=0, ge=0)
    """Moves at the beginning of which no frame is kept."""
    swaps: Share = Field(default=0.5, ge=0, le=1)
    """Share of the moves that swap two atoms of different elements; structures of one element are only displaced."""
    displacement: Angstrom = Field(default=0.1, gt=0)
    """A displaced atom moves at most so far along each direction, in Å."""
    moved: int = Field(default=1, ge=1)
    """How many atoms are displaced in one move, at most all."""
    block_steps: int = Field(default=500, ge=1)
    """Frames within so many moves are correlated and share a block."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """Moves that bring two atoms closer than this are rejected, in Å."""
    min_relative_distance: float = Field(default=0.5, ge=0, le=1)
    """The same, as a multiple of the sum of their covalent radii."""

    @model_validator(mode="after")
    def _something_is_kept(self) -> MonteCarloSettings:
        if self.steps < max(self.interval, self.equilibration):
            raise ValueError("steps must not be fewer than interval and equilibration: no frame would be kept")
        return self

    @property
    def limits(self) -> DistanceLimits:
        """Distances that no move may go below."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)

    def keeps(self, step: int) -> bool:
        """Tell whether the frame after so many moves is kept."""
        return step >= self.equilibration and step % self.interval == 0


@dataclass
class Chain:
    """One Markov chain: where it is, and what came of it. The energy is in eV, the disagreement in eV/Å."""

    start: int
    temperature: float
    frame: Configurations
    generator: np.random.Generator
    energy: float = np.nan
    disagreement: float = -1.0
    stop_reason: str = ""
    kept: list[tuple[int, Configurations, float]] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOVES, 0))
    accepted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOVES, 0))
    done: int = 0

    def state(self) -> State:
        """What a checkpoint keeps of it."""
        return {
            "frame": self.frame,
            "generator": self.generator.bit_generator.state,
            "kept": Configurations.concatenate([frame for _, frame, _ in self.kept]),
            "kept_steps": [step for step, _, _ in self.kept],
            "kept_disagreement": [disagreement for _, _, disagreement in self.kept],
            **{name: getattr(self, name) for name in PLAIN},
        }

    def restore(self, state: State) -> None:
        """Go back to where it was."""
        self.frame = state["frame"]
        self.generator.bit_generator.state = state["generator"]
        self.kept = list(zip(state["kept_steps"], state["kept"], state["kept_disagreement"], strict=True))
        for name in PLAIN:
            setattr(self, name, state[name])

    def summary(self, index: int) -> dict[str, object]:
        """Numbers and texts for the report."""
        return {
            "trajectory": index,
            "start": self.start,
            "temperature": self.temperature,
            "steps": self.done,
            "frames": len(self.kept),
            **_accepted([self]),
            "energy": self.energy,
            "stop_reason": self.stop_reason,
        }


class MonteCarlo(TaskSampler):
    """Metropolis sampling of the canonical ensemble with the mean of the committee, chains side by side."""

    name = "monte_carlo"
    references = (Paper("N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953)", "10.1063/1.1699114"),)
    Settings = MonteCarloSettings
    settings: MonteCarloSettings
    needs_potential = True

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; frames carry the disagreement that the committee had on them."""
        driver = require_potential(task.potential, task.start, self.name)
        chains = self._chains(task.start, task.seed)
        limit = self.settings.limit(task.scale)
        state = task.checkpoint.load()
        if state is None:
            prediction = driver.predict(Configurations.concatenate([chain.frame for chain in chains]), stress=False)
            for chain, energy, disagreement in zip(chains, prediction.energy, prediction.disagreement, strict=True):
                chain.energy, chain.disagreement = float(energy), float(disagreement)
        else:
            for chain, saved in zip(chains, state["chains"], strict=True):
                chain.restore(saved)
        for step in range(1 if state is None else state["step"] + 1, self.settings.steps + 1):
            going = [chain for chain in chains if not chain.stop_reason]
            if not going:
                break
            self._move(going, driver)
            for chain in going:
                chain.done, unsure = step, too_unsure(chain.disagreement, limit)
                if unsure:
                    chain.stop_reason = f"step {step}: {unsure}"
                if unsure or self.settings.keeps(step):
                    chain.kept.append((step, chain.frame, chain.disagreement))
            task.checkpoint.offer(partial(_state, step, chains))
            if step % 10 == 0 or step == self.settings.steps:
                task.progress("sample", step, self.settings.steps, {"chains": len(going)})
        for chain in chains:
            chain.stop_reason = chain.stop_reason or COMPLETED
        return self._collected(chains)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; moves count as steps of dynamics. The frame at which a chain stops counts."""
        chains = n_start * len(self.settings.temperatures)
        frames = sum(self.settings.keeps(step) for step in range(1, self.settings.steps + 1)) + 1
        return {"frames": chains * frames, "md_steps": chains * self.settings.steps}

    def _chains(self, start: Configurations, seed: int) -> list[Chain]:
        chains = []
        for index, identity, atoms in sane_starts(start, self.settings.limits, self.name):
            if self.settings.swaps == 1 and len(set(atoms.numbers.tolist())) < 2:
                raise InputError(
                    f"{self.name}: starting structure {index} holds one element alone, so there is nothing to swap; "
                    "set swaps below 1."
                )
            frame = Configurations.from_atoms([repeated(atoms, self.settings.supercell)], info_keys=[])
            for temperature in self.settings.temperatures:
                generator = np.random.default_rng(derive_seed(seed, identity, temperature))
                chains.append(Chain(index, temperature, frame, generator))
        return chains

    def _move(self, chains: list[Chain], potential: Potential) -> None:
        """Try one move in every chain, with one evaluation of those that keep atoms apart."""
        trials = []
        for chain in chains:
            move, frame = self._trial(chain)
            chain.tried[move] += 1
            if not self.settings.limits.broken_by(frame.numbers, frame.positions, frame.cells[0], frame.pbc[0]):
                trials.append((chain, move, frame))
        if not trials:
            return
        prediction = potential.predict(Configurations.concatenate([frame for _, _, frame in trials]), stress=False)
        for (chain, move, frame), energy, disagreement in zip(
            trials, prediction.energy, prediction.disagreement, strict=True
        ):
            # A number that is not finite compares as false: the move is rejected.
            if np.log(chain.generator.uniform()) < (chain.energy - energy) / (units.kB * chain.temperature):
                chain.frame, chain.energy, chain.disagreement = frame, float(energy), float(disagreement)
                chain.accepted[move] += 1

    def _trial(self, chain: Chain) -> tuple[str, Configurations]:
        """Propose a move; going back is as likely as going there."""
        generator, frame, n = chain.generator, chain.frame, chain.frame.n_atoms
        if (frame.numbers != frame.numbers[0]).any() and generator.uniform() < self.settings.swaps:
            first = int(generator.integers(n))
            second = int(generator.choice(np.flatnonzero(frame.numbers != frame.numbers[first])))
            return "swap", frame.exchanged(first, second)
        positions = frame.positions.copy()
        which = generator.choice(n, size=min(self.settings.moved, n), replace=False)
        width = self.settings.displacement
        positions[which] += generator.uniform(-width, width, size=(len(which), 3))
        return "displacement", replace(frame, positions=positions)

    def _collected(self, chains: list[Chain]) -> tuple[Configurations, SamplerReport]:
        origins, frames = [], []
        per_chain = self.settings.steps // self.settings.block_steps + 1
        for index, chain in enumerate(chains):
            for step, frame, disagreement in chain.kept:
                block = index * per_chain + step // self.settings.block_steps
                origins.append((chain.start, index, step, block, chain.temperature, disagreement, chain.stop_reason))
                frames.append(frame)
        made = joined(frames, origins)
        numbers = {
            "chains": float(len(chains)),
            "stopped": float(sum(chain.stop_reason != COMPLETED for chain in chains)),
            "frames": float(len(made)),
            **_accepted(chains),
        }
        return made, SamplerReport(numbers, [chain.summary(index) for index, chain in enumerate(chains)])


def _state(step: int, chains: list[Chain]) -> State:
    return {"step": step, "chains": [chain.state() for chain in chains]}


def _accepted(chains: list[Chain]) -> dict[str, float]:
    """Share of the moves of each kind that were accepted, of those that were tried."""
    tried = {move: sum(chain.tried[move] for chain in chains) for move in MOVES}
    return {f"{move}s_accepted": sum(chain.accepted[move] for chain in chains) / n for move, n in tried.items() if n}
