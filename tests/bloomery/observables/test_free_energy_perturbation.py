"""Free energy perturbation between potentials whose free energies are known."""

from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.units import kB

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.free_energy_perturbation import FreeEnergyPerturbation
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction

T = 300.0


@dataclass
class Springs(Potential):
    """Every atom on a spring to the origin."""

    stiffness: float
    elements: tuple[str, ...] = ("Ar",)
    members: int = 1

    def energies(self, configurations: Configurations) -> np.ndarray:
        squares = (configurations.positions**2).sum(axis=1)
        return 0.5 * self.stiffness * np.bincount(configurations.frame_of_atom, weights=squares)

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        forces = -self.stiffness * configurations.positions
        return Prediction(configurations.counts, self.energies(configurations)[None], forces[None])

    def save(self, folder: str | Path) -> None:
        """Keep nothing."""


def canonical(stiffness: float, n_frames: int, n_atoms: int, seed: int = 0) -> Configurations:
    """Frames of the canonical ensemble of springs: exact, uncorrelated."""
    places = np.random.default_rng(seed).normal(0, np.sqrt(kB * T / stiffness), (n_frames, n_atoms, 3))
    return Configurations.from_atoms([ase.Atoms(f"Ar{n_atoms}", positions=each) for each in places])


def measured(soft: float, stiff: float, n_frames: int, n_atoms: int, seed: int = 0) -> dict:
    frames = canonical(soft, n_frames, n_atoms, seed)
    labelled = frames.with_labels(energy=Springs(stiff).energies(frames))
    return FreeEnergyPerturbation.make(temperature=T).observe(Springs(soft), labelled, seed=seed).summary


@pytest.mark.slow
def test_springs_have_their_free_energy() -> None:
    # A = 3 N kT / 2 ln(k): per atom the difference is 3/2 kT ln(k_ref / k_pot).
    exact = 1000 * 1.5 * kB * T * np.log(1.1)
    hits = 0
    for seed in range(40):
        found = measured(1.0, 1.1, 400, 8, seed)
        hits += found["exponential"]["lower"] <= exact <= found["exponential"]["upper"]
        assert found["exponential"]["value"] == pytest.approx(exact, abs=5 * 0.1)
    assert hits >= 34  # 38 of 40 are expected of 95 % intervals; 34 is the 1 % quantile
    found = measured(1.0, 1.1, 4000, 8)
    # Difference D = 0.05 r^2: its spread is 0.1 / 2 sqrt(2 * 3 N) kT.
    assert found["spread"]["value"] == pytest.approx(0.05 * np.sqrt(48), rel=0.05)
    assert found["converged"]
    # <D> = 3 N kT (0.1) / 2 and var(D) = 3 N (kT)^2 (0.1)^2 / 2: the second cumulant in closed form.
    second = 1000 * kB * T * 3 * (0.05 - 0.0025)
    assert found["second_cumulant"]["value"] == pytest.approx(second, abs=0.15)
    assert found["mean_difference"]["value"] == pytest.approx(1000 * kB * T * 0.15, abs=0.15)


def test_too_different_potentials_do_not_converge_and_it_is_said() -> None:
    found = measured(1.0, 4.0, 100, 30)
    assert not found["converged"]
    assert found["effective_frames"]["value"] < 10
    assert "has not converged" in found["warnings"][0]


def test_the_temperature_is_that_of_the_frames() -> None:
    frames = canonical(1.0, 10, 2)
    labelled = frames.with_labels(energy=Springs(1.1).energies(frames))
    observable = FreeEnergyPerturbation.make()
    warm = observable.observe(Springs(1.0), labelled.with_info(temperature=T))
    assert warm.summary["temperature"]["value"] == T
    assert warm.arrays["running"][-1] == pytest.approx(warm.summary["exponential"]["value"])
    assert warm.arrays["weight"].sum() == pytest.approx(1)
    with pytest.raises(InputError, match="do not carry one temperature"):
        observable.observe(Springs(1.0), labelled)
    with pytest.raises(InputError, match="do not carry one temperature"):
        observable.observe(Springs(1.0), labelled.with_info(temperature=[T] * 5 + [400.0] * 5))


def test_what_it_needs() -> None:
    frames = canonical(1.0, 4, 2)
    observable = FreeEnergyPerturbation.make(temperature=T)
    with pytest.raises(InputError, match="frame 0 has no energy of the reference"):
        observable.observe(Springs(1.0), frames)
    with pytest.raises(InputError, match="needs the potential"):
        observable.observe(None, frames)
    with pytest.raises(InputError, match="needs two frames at least, got 1"):
        observable.observe(Springs(1.0), frames[:1])
    mixed = Configurations.concatenate([frames, canonical(1.0, 1, 3)])
    with pytest.raises(InputError, match="must all hold the same atoms"):
        observable.observe(Springs(1.0), mixed.with_labels(energy=np.zeros(5)))
