"""Free energy from a potential to the reference, by perturbation: how far the potential's ensemble is off.

``A_ref - A_pot = -kT ln <exp(-(V_ref - V_pot) / kT)>_pot`` over uncorrelated frames of a canonical trajectory of the
potential: Zwanzig, J. Chem. Phys. 22, 1420 (1954); Ceriotti, MRS Bulletin 47, 1045 (2022), equation 1. The expansion
in cumulants, ``<D> - var(D) / 2 kT`` to second order, is exact where the difference is Gaussian and has less noise; the
two agree where either can be believed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.blocks import blocks_of
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.committee import FEW, effective_frames, shares
from bloomery.observables.averages.trajectories import one_temperature
from bloomery.observables.contract import Observation, OfPotential, number
from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.potentials.evaluation import predict_in_chunks
from bloomery.progress import Progress
from bloomery.quantities import Kelvin
from bloomery.statistics import MILLI, resampled


class FreeEnergyPerturbationSettings(Settings):
    """Settings of the observable `free_energy_perturbation`."""

    temperature: Kelvin | None = Field(default=None, gt=0)
    """Temperature of the trajectory in K; by default the `temperature` that the frames carry."""
    resamples: int = Field(default=1000, ge=100)
    """How often blocks of frames are resampled for the intervals."""


class FreeEnergyPerturbation(OfPotential):
    """Free energy difference from the potential to the reference, and whether it has converged."""

    name = "free_energy_perturbation"
    references = (Paper("R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954)", "10.1063/1.1740409"),)
    labelled = True
    Settings = FreeEnergyPerturbationSettings
    settings: FreeEnergyPerturbationSettings
    without_potential = "needs the potential that drove the trajectory; give it."

    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Measure on frames of the potential's trajectory, labelled by the reference."""
        if len(configurations) < 2:
            raise InputError(f"{self.name}: needs two frames at least, got {len(configurations)}.")
        bare = ~configurations.has("energy")
        if bare.any():
            raise InputError(f"{self.name}: frame {np.argmax(bare)} has no energy of the reference; label it first.")
        n_atoms = int(configurations.counts[0])
        frames = np.split(configurations.numbers, configurations.offsets[1:-1])
        if any(not np.array_equal(np.sort(numbers), np.sort(frames[0])) for numbers in frames):
            raise InputError(f"{self.name}: the frames must all hold the same atoms; give one trajectory.")
        self.require_elements(potential, configurations)
        temperature = one_temperature(configurations, self.settings.temperature, self.name)
        energy = predict_in_chunks(potential, configurations, progress).energy
        difference = configurations.label("energy")[0] - energy
        blocks = blocks_of(configurations)
        summary = {"n_frames": len(configurations), "temperature": number(temperature, "K")}
        summary |= perturbation(difference, temperature, n_atoms, blocks, resamples=self.settings.resamples, seed=seed)
        estimate = running(difference, temperature) * MILLI / n_atoms
        arrays = {"difference": difference, "weight": weights(difference, temperature), "running": estimate}
        return Observation(summary, arrays, {"difference": "eV", "weight": "1", "running": "meV/atom"})


def weights(difference: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Share of each frame in the reweighted ensemble; they add up to 1."""
    return shares(-difference / (kB * temperature))


def exponential(difference: NDArray[np.float64], counts: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """``-kT ln <exp(-D / kT)>`` in eV for resampled frames: ``counts`` says how often each is drawn, ``(R, N)``."""
    from scipy.special import logsumexp  # noqa: PLC0415

    beta = 1 / (kB * temperature)
    total = logsumexp(np.broadcast_to(-beta * difference, counts.shape), b=counts, axis=1)
    return np.asarray(-(total - np.log(counts.sum(axis=1))) / beta)


def cumulants(difference: NDArray[np.float64], counts: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """``<D> - var(D) / 2 kT`` in eV for resampled frames."""
    n = counts.sum(axis=1)
    mean = counts @ difference / n
    centred = difference - difference.mean()
    variance = counts @ centred**2 / n - (counts @ centred / n) ** 2
    return np.asarray(mean - variance / (2 * kB * temperature))


def running(difference: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Estimate in eV from the first frames only, ``(N,)``: it has converged when it has come to rest."""
    beta = 1 / (kB * temperature)
    total = np.logaddexp.accumulate(-beta * difference)
    return np.asarray(-(total - np.log(np.arange(1, len(difference) + 1))) / beta)


def perturbation(
    difference: NDArray[np.float64],
    temperature: float,
    n_atoms: int,
    blocks: NDArray[np.int64],
    *,
    resamples: int,
    seed: int,
) -> dict[str, object]:
    """All numbers, per atom where they grow with the system.

    ``difference`` is the energy of the reference over that of the potential in eV, ``(N,)``, ``blocks`` the block of
    each frame, ``(N,)``; frames of one block are not independent.
    """
    n = len(difference)
    once = np.ones((1, n))
    n_blocks = int(blocks.max()) + 1
    counts = resampled(n_blocks, resamples, np.random.default_rng(seed))[:, blocks].astype(float)
    counts = counts[counts.sum(axis=1) > 0]
    factor = MILLI / n_atoms
    result: dict[str, object] = {"n_blocks": n_blocks}
    values = {}
    for name, estimate in (("exponential", exponential), ("second_cumulant", cumulants)):
        values[name] = float(estimate(difference, once, temperature)[0])
        bounds = factor * np.quantile(estimate(difference, counts, temperature), [0.025, 0.975])
        result[name] = number(factor * values[name], "meV/atom", *(bounds if n_blocks > 1 else (None, None)))
    share = weights(difference, temperature)
    effective = float(effective_frames(share))
    spread = float(difference.std()) / (kB * temperature)
    apart = abs(values["exponential"] - values["second_cumulant"]) / (kB * temperature)
    result |= {
        "mean_difference": number(factor * float(difference.mean()), "meV/atom"),
        "spread": number(spread, "kT"),
        "effective_frames": number(effective, "1"),
        "largest_weight": number(100 * float(share.max()), "%"),
        "estimates_differ": number(apart, "kT"),
    }
    result["converged"] = effective >= FEW and apart < 0.5
    if not result["converged"]:
        sentence = (
            f"The free energy has not converged: {effective:.1f} of {n} frames carry it, and its two estimates are "
            f"{apart:.1f} kT apart. Energies of potential and reference differ by {spread:.1f} kT from frame to frame: "
            "take smaller cells, more frames or a better potential."
        )
        result["warnings"] = [sentence]
    return result
