"""Stability at constant energy: how fast the total energy drifts, and how long trajectories last.

A trajectory has failed when its total energy per atom has left its starting value by more than a limit, when a number
is no longer finite, or when atoms lie closer than is sane. Times to failure are taken to be exponentially distributed;
trajectories that did not fail count for as long as they ran (Epstein and Sobel, J. Am. Stat. Assoc. 48, 486 (1953)).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits
from bloomery.observables.averages.constant_energy import ConstantEnergyRun, ConstantEnergySettings, State
from bloomery.observables.averages.curves import block_quantity
from bloomery.observables.contract import Observation, OfPotential, number
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress
from bloomery.quantities import Unit
from bloomery.statistics import MILLI, ToldNumber


class NveStabilitySettings(ConstantEnergySettings):
    """Settings of the observable `nve_stability`."""

    trajectories: int = Field(default=5, ge=1)
    """Trajectories of each structure, with velocities of their own."""
    interval: int = Field(default=10, ge=1)
    """Steps between the energies that are kept."""
    max_energy_change: Annotated[float, Unit("meV/atom")] = Field(default=100.0, gt=0)
    """A trajectory has failed when its total energy has changed by more than this, in meV/atom."""
    min_relative_distance: float = Field(default=0.5, ge=0, le=1)
    """It has failed when two atoms are closer than this multiple of the sum of their covalent radii."""


class NveStability(OfPotential):
    """Drift and fluctuation of the total energy at constant energy, and time to failure over several trajectories."""

    name = "nve_stability"
    Settings = NveStabilitySettings
    settings: NveStabilitySettings
    without_potential = "needs a potential to drive the dynamics; give one."

    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Run trajectories from the structures that are given."""
        if not len(configurations):
            raise InputError("nve_stability: there is no structure to start from; give at least one.")
        if not configurations.counts.all():
            raise InputError(f"nve_stability: structure {int(np.argmin(configurations.counts))} holds no atom.")
        run = ConstantEnergyRun(potential, configurations, self.settings, seed)
        n = len(run.which)
        kept: list[NDArray[np.float64]] = []
        failures: dict[int, tuple[int, str]] = {}
        start: NDArray[np.float64] = np.zeros(0)
        for state in run.states(progress):
            per_atom = np.full(n, np.nan)
            per_atom[state.which] = state.energy / state.frames.counts
            start = per_atom if state.step == 0 else start
            reasons = self._failed(state, per_atom[state.which] - start[state.which])
            for place, reason in reasons.items():
                failures[int(state.which[place])] = state.step, reason
                per_atom[state.which[place]] = np.nan
            run.drop(np.isin(np.arange(len(state.which)), list(reasons)))
            if state.step % self.settings.interval == 0:
                kept.append(per_atom)
        return self._observation(np.array(kept).T, failures)

    def _failed(self, state: State, change: NDArray[np.float64]) -> dict[int, str]:
        """Which trajectories have failed, and how."""
        limit = self.settings.max_energy_change / MILLI
        frames = state.frames
        limits = DistanceLimits(relative=self.settings.min_relative_distance)
        found: dict[int, str] = {}
        for place in range(len(frames)):
            atoms = slice(frames.offsets[place], frames.offsets[place + 1])
            if not state.finite[place]:
                found[place] = "an energy or force is not finite"
            elif not abs(change[place]) <= limit:
                found[place] = f"the total energy has changed by {MILLI * change[place]:.0f} meV/atom"
            elif state.step % self.settings.interval == 0:
                sentence = limits.broken_by(
                    frames.numbers[atoms], frames.positions[atoms], frames.cells[place], frames.pbc[place]
                )
                if sentence:
                    found[place] = sentence
        return found

    def _observation(self, energies: NDArray[np.float64], failures: dict[int, tuple[int, str]]) -> Observation:
        settings = self.settings
        step_ps = settings.timestep_fs / 1000
        times = np.arange(energies.shape[1]) * settings.interval * step_ps
        n = len(energies)
        lasted = np.array([failures[which][0] if which in failures else settings.steps for which in range(n)]) * step_ps
        summary: dict[str, object] = {
            "n_trajectories": n,
            "n_failed": len(failures),
            "survived": number(100 * (1 - len(failures) / n), "%"),
            "simulated_time": number(float(lasted.sum()), "ps"),
            "time_to_failure": time_to_failure(float(lasted.sum()), len(failures)),
            "failures": [
                {"trajectory": which, "time_ps": step * step_ps, "reason": reason}
                for which, (step, reason) in sorted(failures.items())
            ],
        }
        drifts, fluctuations = [], []
        for row in energies:
            known = np.isfinite(row)
            if known.sum() >= 3:
                slope, offset = np.polyfit(times[known], MILLI * row[known], 1)
                drifts.append(slope)
                fluctuations.append(float(np.std(MILLI * row[known] - slope * times[known] - offset, ddof=2)))
        if drifts:
            weights = np.ones(len(drifts))
            summary["drift"] = block_quantity(drifts, weights, "meV/atom/ps").summary()
            summary["largest_drift"] = number(max(drifts, key=abs), "meV/atom/ps")
            summary["fluctuation"] = block_quantity(fluctuations, weights, "meV/atom").summary()
        change = MILLI * (energies - energies[:, :1])
        alive = np.isfinite(change)
        arrays = {"time": times, "energy_change": np.where(alive, change, 0.0), "alive": alive, "lasted": lasted}
        return Observation(summary, arrays, {"time": "ps", "energy_change": "meV/atom", "alive": "1", "lasted": "ps"})


def time_to_failure(total: float, failures: int) -> ToldNumber:
    """Mean time to failure in ps with its 95 % interval, after ``failures`` in a ``total`` time.

    Without a failure it is the time that it exceeds with 95 % confidence, and ``at_least`` says so.
    """
    from scipy.stats import chi2  # noqa: PLC0415  half a second to import

    if not failures:
        return {"value": float(2 * total / chi2.ppf(0.95, 2)), "unit": "ps", "at_least": True}
    # With a fixed total time the lower bound counts one failure more: it could have happened just after the end.
    lower, upper = 2 * total / chi2.ppf(0.975, 2 * failures + 2), 2 * total / chi2.ppf(0.025, 2 * failures)
    return number(total / failures, "ps", lower, upper)
