"""Path integrals, against the harmonic oscillator."""

import signal
from pathlib import Path

import ase
import numpy as np
import pytest
from ase import units

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.samplers.path_integral import PathIntegral
from bloomery.testing.potentials import TeacherCommittee

pytest.importorskip("ipi")
STIFFNESS = 3.0
"""Of the wells, in eV/Å^2."""


class Well(Potential):
    """Hydrogen atoms, each in a harmonic well at its site."""

    engine = "well"
    dtype = "float64"
    cutoff = 0.0
    elements = ["H"]  # noqa: RUF012
    members = 1

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        counts = configurations.counts
        away = configurations.positions - np.tile(SITES, (len(counts), 1))
        energies = np.add.reduceat(0.5 * STIFFNESS * (away**2).sum(axis=1), configurations.offsets[:-1])
        return Prediction(counts, energies[None], -STIFFNESS * away[None], None)

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


SITES = np.array([[5.0 * x, 5.0 * y, 0.0] for x in range(4) for y in range(4)])
ATOMS = ase.Atoms("H16", positions=SITES)


def ring_variance(beads: int, temperature: float) -> float:
    """Variance in Å^2 of a bead of a harmonic ring polymer: the sum over its normal modes, whose frequencies are known.

    kT / (m (w_k^2 + w^2)) summed over k, with w_k = 2 P kT / hbar sin(k pi / P) (Ceriotti et al. 2010, appendix).
    """
    mass, hbar = ATOMS.get_masses()[0], units._hbar * units.J * units.s
    omega, thermal = np.sqrt(STIFFNESS / mass), units.kB * temperature
    springs = 2 * beads * thermal / hbar * np.sin(np.arange(beads) * np.pi / beads)
    return float((thermal / (mass * (springs**2 + omega**2))).sum())


@pytest.mark.slow
def test_beads_spread_as_those_of_a_harmonic_ring_polymer() -> None:
    settings = {"beads": 8, "beads_kept": 8, "temperatures": [300], "max_disagreement": None, "relaxation_fs": 20}
    sampler = PathIntegral.make(**settings, steps=900, interval=25, equilibration=150)
    frames, report = sampler.sample(Configurations.from_atoms([ATOMS]), potential=Well(), seed=1)
    away = frames.positions - np.tile(SITES, (len(frames), 1))
    expected = ring_variance(8, 300)
    # With many beads it is the variance of the quantum oscillator; it is far above the classical one.
    omega = np.sqrt(STIFFNESS / ATOMS.get_masses()[0])
    quantum = units._hbar * units.J * units.s * omega / (2 * STIFFNESS)
    quantum /= np.tanh(units._hbar * units.J * units.s * omega / (2 * units.kB * 300))
    assert ring_variance(400, 300) == pytest.approx(quantum, rel=1e-3)
    assert expected > 2 * units.kB * 300 / STIFFNESS
    # About 30 rings x 48 directions that are little correlated: known to 3 to 5 %.
    assert (away**2).mean() == pytest.approx(expected, rel=0.15)
    # The virial theorem: the energy is twice the potential energy, k <x^2> for each of 48 directions.
    assert report.trajectories[0]["mean_energy"] == pytest.approx(48 * STIFFNESS * expected, rel=0.15)


def test_trajectories_stop_and_say_why(silicon: Configurations, committee: TeacherCommittee) -> None:
    sampler = PathIntegral.make(beads=2, beads_kept=2, steps=20, interval=4, max_disagreement=1e-4)
    frames, report = sampler.sample(silicon[[0]], potential=committee)
    assert frames.info["step"].tolist() == [4, 4]
    assert report.trajectories[0]["stop_reason"].startswith("step 4: disagreement of")


def test_a_potential_that_fails_ends_its_trajectory(silicon: Configurations, committee: TeacherCommittee) -> None:
    class Broken(TeacherCommittee):
        def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
            raise RuntimeError("no convergence")

    frames, report = PathIntegral.make(beads=2, beads_kept=1, steps=4, interval=2).sample(
        silicon[[0]], potential=Broken()
    )
    assert len(frames) == 0
    assert report.trajectories[0]["stop_reason"] == "step 2: failed: RuntimeError: no convergence"


def test_signals_are_left_to_whoever_had_them(silicon: Configurations, committee: TeacherCommittee) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before, during = handlers(), []
    PathIntegral.make(beads=2, beads_kept=1, steps=2, interval=1).sample(
        silicon[[0]], potential=committee, progress=lambda *_: during.append(handlers())
    )
    assert during == [before, before]
    assert handlers() == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperatures": [0]}, "path_integral.temperatures"),
        ({"beads": 2, "beads_kept": 4}, "beads_kept is 4, and there are 2 beads"),
        ({"timestep_fs": 50}, "path_integral.timestep_fs"),
        ({"steps": 10}, "no frame would be kept"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PathIntegral.make(**settings)
