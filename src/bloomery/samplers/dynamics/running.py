"""Running trajectories side by side, watching each, and going on after a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.progress import Progress, no_progress
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint, State
from bloomery.samplers.contract import COMPLETED, SamplerReport
from bloomery.samplers.dynamics.bias import Bias
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.forces import Driver, Evaluation, Wanted
from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.trajectories import PAUSED, Kept, Trajectory, collect
from bloomery.samplers.dynamics.watch import Brake, Watch

ANEW = "; a new trajectory takes its place"
"""Said of one that is beyond physics, where a later run goes on with the others."""


@dataclass(frozen=True)
class Conduct:
    """How trajectories are run: ensemble, lengths and limits, and what evaluates frames."""

    settings: EnsembleSettings
    driver: Driver
    brake: Brake | None = None
    """Which disagreement ends a trajectory."""
    bias: Bias | None = None
    """What is added to the driver's forces."""
    labels: bool = False
    """Frames that are kept carry what the driver says of them."""
    continues: bool = False
    """Whether a later run goes on where trajectories stop."""

    def wanted(self, step: int) -> Wanted:
        """Say what is to be evaluated after so many steps."""
        return Wanted(
            labels=self.labels and self.settings.keeps(step),
            stress=self.settings.ensemble == "npt",
            spread=self.bias is not None,
        )

    def steps_of(self, group: list[Trajectory]) -> int:
        """Steps that trajectories make, if none of them stops."""
        return sum(self.settings.last(trajectory.begun) - trajectory.begun for trajectory in group)


def run_all(
    prepared: list[Trajectory],
    conduct: Conduct,
    *,
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
) -> tuple[Configurations, SamplerReport]:
    """Run all trajectories, as many at a time as the driver likes; one that fails does not lose the others."""
    started = time.perf_counter()
    total = conduct.steps_of(prepared)
    saved = checkpoint.load() or {"trajectories": [], "group": 0, "run": None}
    for trajectory, state in zip(prepared, saved["trajectories"], strict=False):
        trajectory.restore(state)
    before = 0
    for number, group in enumerate(_groups(prepared, conduct.driver.batch_atoms)):
        if number >= saved["group"]:
            run = Run(group, conduct, saved["run"] if number == saved["group"] else None)
            for step in run.steps():
                checkpoint.offer(partial(_state, prepared, number, run))
                if step % 10 == 0 or step == run.last:
                    done = before + (step - run.begun) * len(group)
                    progress("sample", done, total, {"trajectories": len(run.going)})
        before += conduct.steps_of(group)
    progress("sample", total, total, {"trajectories": 0})
    seconds = time.perf_counter() - started
    steps = sum(trajectory.done - trajectory.begun for trajectory in prepared)
    frames = collect(prepared, conduct.settings)
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
    """Trajectories that go on side by side until each has ended; ``saved`` is what `state` returned."""

    def __init__(self, group: list[Trajectory], conduct: Conduct, saved: State | None = None) -> None:
        self.group, self.conduct, self.settings = group, conduct, conduct.settings
        self.going = list(group)
        self.begun, self._goes_on = group[0].begun, group[0].goes_on
        self.last = self.settings.last(self.begun)
        beginning = Beginning(
            Configurations.concatenate([trajectory.frame for trajectory in group]),
            [trajectory.temperature for trajectory in group],
            [trajectory.seed for trajectory in group],
            self.settings.timestep_fs,
            np.concatenate([trajectory.fixed for trajectory in group]),
        )
        self.dynamics = self.settings.integrator(beginning)
        for place, trajectory in enumerate(group):
            if trajectory.motion is not None:
                self.dynamics.take_up(place, trajectory.motion)
        self.barostat = self.settings.barostat_of()
        self.watch = Watch(self.dynamics, self.settings.limits, self.settings.max_temperature_factor, conduct.brake)
        if conduct.bias is not None:
            conduct.bias.begin(len(group))
        if saved is None:
            self.done, self._evaluation = self.begun, self._evaluate(self.begun)
            self._sane = (self.dynamics.frames, np.zeros(0))
            self._judge(self.begun)
        else:
            self._restore(saved)

    def steps(self) -> Iterator[int]:
        """Run, yielding each step that is done."""
        for step in range(self.done + 1, self.last + 1):
            if not self.going:
                return
            targets = [self.settings.targets(step, trajectory.temperature) for trajectory in self.going]
            temperatures, pressures = np.array(targets).T
            self.dynamics.aim(temperatures)
            self._move(pressures)
            self._evaluation = self._evaluate(step)
            self.dynamics.settle(self._evaluation.forces)
            self._judge(step)
            self.done = step
            yield step
        for place, trajectory in enumerate(self.going):
            if self.last == self.settings.length:
                trajectory.stop_reason = COMPLETED
            else:
                trajectory.stop_reason, trajectory.left = PAUSED, self._standing(place)

    def state(self) -> State:
        """Return all that has a say in what follows, for a checkpoint; what trajectories kept is theirs."""
        bias = self.conduct.bias
        return {
            "done": self.done,
            "going": [place for place, trajectory in enumerate(self.group) if trajectory in self.going],
            "dynamics": self.dynamics.state(),
            "watch": self.watch.state(),
            "bias": None if bias is None else bias.state(),
            "forces": self._evaluation.forces,
            "disagreement": self._evaluation.disagreement,
            "stress": self._evaluation.stress,
        }

    def _restore(self, saved: State) -> None:
        self.done = saved["done"]
        self.going = [self.group[place] for place in saved["going"]]
        self.dynamics.restore(saved["dynamics"])
        self.watch.restore(saved["watch"])
        if self.conduct.bias is not None:
            self.conduct.bias.restore(saved["bias"])
        self._evaluation = Evaluation(saved["forces"], saved["disagreement"], stress=saved["stress"])
        self._sane = (self.dynamics.frames, saved["disagreement"])

    def _move(self, pressures: NDArray[np.float64]) -> None:
        forces, stress = self._evaluation.forces, self._evaluation.stress
        if self.barostat is None or stress is None:
            self.dynamics.move(forces)
            return
        inner = self.barostat.pressure(self.dynamics, stress)
        self.dynamics.move(forces)
        self.barostat.rescale(self.dynamics, inner, pressures)

    def _evaluate(self, step: int) -> Evaluation:
        evaluation = self.conduct.driver(self.dynamics.frames, self.conduct.wanted(step))
        if self.conduct.bias is not None:
            self.conduct.bias.act(evaluation, self.dynamics.frames.counts)
        return evaluation

    def _judge(self, step: int) -> None:
        """Keep frames, and end the trajectories that are absurd or unsure; their rows leave the evaluation too."""
        evaluation, begins = self._evaluation, step == self.begun
        absurd = self.watch.absurd(evaluation)
        # Where the potential before was unsure, this one may take a step at least.
        unsure = {} if begins and self._goes_on else self.watch.unsure(evaluation)
        # Frames at which trajectories are taken up or left are always kept.
        taken_up, left = begins and self._goes_on, step == self.last < self.settings.length
        keeps = taken_up or left or self.settings.keeps(step)
        temperatures = self.dynamics.temperatures
        for place, trajectory in enumerate(self.going):
            trajectory.done = step
            if place in absurd:
                trajectory.stop_reason = f"step {step}: {absurd[place]}" + (ANEW if self.conduct.continues else "")
                if step > self.begun + 1:
                    frames, disagreement = self._sane
                    before = self._kept(frames, place, step - 1, disagreement[place])
                    trajectory.keep(self._with_labels(trajectory, before))
                continue
            trajectory.note(0.0 if begins else temperatures[place], evaluation.disagreement[place])
            if place in unsure:
                trajectory.stop_reason = f"step {step}: {unsure[place]}"
                trajectory.left = self._standing(place) if self.conduct.continues else None
            if keeps or (place in unsure and (step or self.conduct.continues)):
                kept = self._kept(self.dynamics.frames, place, step, evaluation.disagreement[place])
                trajectory.keep(replace(kept, values=evaluation.values.get(place, {})))
        self._end(absurd.keys() | unsure.keys())
        self._sane = (self.dynamics.frames, evaluation.disagreement)

    def _standing(self, place: int) -> State:
        """Return where a trajectory stands, for the run that goes on with it."""
        return {
            "frame": self.dynamics.frames[[place]],
            "step": self.going[place].done,
            "disagreement": float(self._evaluation.disagreement[place]),
            **self.dynamics.motion(place),
        }

    def _end(self, ended: set[int]) -> None:
        if not ended:
            return
        going = np.array([place not in ended for place in range(len(self.going))])
        self._evaluation.take(going, self.dynamics.owner)
        self.going = [trajectory for trajectory, goes in zip(self.going, going, strict=True) if goes]
        self.watch.keep(going)
        if self.conduct.bias is not None:
            self.conduct.bias.keep(going)
        self.dynamics.keep(going)

    def _kept(self, frames: Configurations, place: int, step: int, disagreement: float) -> Kept:
        atoms = self.dynamics.atoms_of(place)
        return Kept(
            positions=frames.positions[atoms],
            step=step,
            disagreement=float(disagreement),
            cell=frames.cells[place] if self.barostat else None,
            temperature=float(self.dynamics.targets[place]) if self.settings.stages else None,
        )

    def _with_labels(self, trajectory: Trajectory, kept: Kept) -> Kept:
        """Label a frame that was not meant to be kept when it was evaluated."""
        if not self.conduct.labels or kept.values:
            return kept
        return replace(kept, values=self.conduct.driver(trajectory.at(kept), Wanted(labels=True)).values.get(0, {}))


def _groups(prepared: list[Trajectory], batch_atoms: int) -> Iterator[list[Trajectory]]:
    """Cut the list into groups of about so many atoms, which are at the same step."""
    for _, alike in groupby(prepared, key=lambda trajectory: (trajectory.begun, trajectory.goes_on)):
        group = list(alike)
        for start, end in chunks(np.array([trajectory.frame.n_atoms for trajectory in group]), batch_atoms):
            yield group[start:end]


def _state(prepared: list[Trajectory], group: int, run: Run) -> State:
    return {"trajectories": [trajectory.state() for trajectory in prepared], "group": group, "run": run.state()}
