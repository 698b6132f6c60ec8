"""Errors that averages over a trajectory have from the potential, against ensembles that are known exactly."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase.units import kB
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages import committee
from bloomery.observables.contract import Observation
from bloomery.observables.pmf import Pmf
from bloomery.observables.rdf import Rdf
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import no_progress

REST, TEMPERATURE, SIDE = 3.0, 300.0, 30.0
DYNAMICS: dict[str, Any] = {
    "temperatures": [TEMPERATURE], "steps": 3000, "interval": 20, "timestep_fs": 6.0, "friction": 0.01,
    "max_disagreement": None,
}  # fmt: skip


class Springs(Potential):
    """Two atoms and a spring, in versions of different stiffness in eV/Å^2."""

    engine, dtype, cutoff, above_reference = "springs", "float64", 6.0, False

    def __init__(self, *stiffness: float) -> None:
        super().__init__(elements=["Ar"], energy_reference={"Ar": 0.0})
        self.stiffness, self.members = np.array(stiffness), len(stiffness)

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Evaluate all frames of two atoms at once."""
        ends = part.positions.reshape(len(part), 2, 3)
        bonds = ends[:, 1] - ends[:, 0]
        lengths = np.linalg.norm(bonds, axis=1)
        stretch = lengths - REST
        energies = 0.5 * self.stiffness[:, None] * stretch**2
        pull = self.stiffness[:, None, None] * (stretch / lengths)[None, :, None] * bonds
        forces = np.stack([pull, -pull], axis=2).reshape(self.members, -1, 3)
        return Prediction(part.counts, energies, forces, np.zeros((self.members, len(part), 6)))


def starts(copies: int) -> Configurations:
    # The seed of a trajectory follows from its start.
    lengths = REST + np.linspace(-0.2, 0.2, copies)
    return Configurations.from_atoms(
        [ase.Atoms("Ar2", [[10, 10, 10], [10 + length, 10, 10]], cell=[SIDE] * 3, pbc=True) for length in lengths]
    )


def drawn(stiffness: float, n: int) -> Configurations:
    """Frames of the ensemble of one spring, each drawn on its own."""
    generator = np.random.default_rng(0)
    x = np.linspace(0.5, 6.0, 4000)
    weight = x**2 * np.exp(-stiffness * (x - REST) ** 2 / (2 * kB * TEMPERATURE))
    lengths = np.interp(generator.random(n), np.cumsum(weight) / weight.sum(), x)
    atoms = [ase.Atoms("Ar2", [[10, 10, 10], [10 + length, 10, 10]], cell=[SIDE] * 3, pbc=True) for length in lengths]
    return Configurations.from_atoms(atoms).with_info(temperature=np.full(n, TEMPERATURE))


def exact(stiffness: float, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radial distribution function of the pair, averaged over each bin."""
    fine = np.linspace(0.01, 8.0, 200_001)
    weight = fine**2 * np.exp(-stiffness * (fine - REST) ** 2 / (2 * kB * TEMPERATURE))
    counts = np.histogram(fine, edges, weights=weight / weight.sum())[0]
    # Of N_a N_b / V = 4 / V pairs in an ideal gas there are two, one from each end.
    return np.asarray(2 * counts / (4 / SIDE**3 * 4 / 3 * np.pi * np.diff(edges**3)))


def observed(settings: dict[str, Any], potential: Potential, copies: int = 10) -> Observation:
    return Rdf.make(cutoff=4.5, bin_width=0.25, **settings).observe(potential, starts(copies), seed=3)


def test_weights_give_the_averages_of_each_member(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committee, "MOST_FRAMES", 10**6)
    potential = Springs(0.19, 0.2, 0.21)
    frames = drawn(0.2, 20_000)
    found = committee.ensembles(potential, frames, no_progress)
    observable = Rdf.make(cutoff=4.5, bin_width=0.25)
    members = committee.reweighted(observable.measure(found.frames, np.arange(len(frames))), found.factors)
    edges = observable.settings.edges
    expected = [exact(stiffness, edges) for stiffness in potential.stiffness]
    for member, curve in zip(members, expected, strict=True):
        np.testing.assert_allclose(member.curves["Ar-Ar"].mean, curve, atol=0.04 * curve.max())
    # What differs between members is known far better than their averages are: they are of the same frames.
    differences = members[2].curves["Ar-Ar"].mean - members[0].curves["Ar-Ar"].mean
    np.testing.assert_allclose(differences, expected[2] - expected[0], atol=0.08 * np.ptp(expected[2] - expected[0]))
    # The energy above its least is half of kT, and so its spread is kT / sqrt(2) times the relative error of k.
    assert found.spread == pytest.approx(np.sqrt(2 / 3) * 0.05 / np.sqrt(2), rel=0.1)
    assert found.effective_frames > 0.99 * len(frames)


@pytest.mark.slow
def test_a_trajectory_of_the_mean_tells_the_spread_over_its_members() -> None:
    observation = observed({"dynamics": DYNAMICS}, Springs(0.17, 0.2, 0.23), copies=20)
    side, arrays = observation.summary["trajectory"], observation.arrays
    edges = np.linspace(0, 4.5, 19)
    expected = np.std([exact(stiffness, edges) for stiffness in (0.17, 0.2, 0.23)], axis=0, ddof=1)
    spread = arrays["Ar_Ar__trajectory_committee"]
    np.testing.assert_allclose(spread, expected, atol=0.2 * expected.max())
    height = side["committee"]["model_errors"]["Ar-Ar:peak_height"]
    assert height["value"] == pytest.approx(expected[np.argmax(arrays["Ar_Ar__trajectory"])], rel=0.25)
    # The interval holds both errors.
    alone = observed({"dynamics": DYNAMICS}, Springs(0.2), copies=20)
    assert "committee" not in alone.summary["trajectory"]
    together = np.hypot(alone.arrays["Ar_Ar__trajectory_error"], spread)
    np.testing.assert_allclose(arrays["Ar_Ar__trajectory_error"], together, atol=1e-9 * together.max())


def test_members_that_agree_add_no_error() -> None:
    quick = {**DYNAMICS, "steps": 400}
    same = observed({"dynamics": quick}, Springs(0.2, 0.2, 0.2)).summary["trajectory"]
    alone = observed({"dynamics": quick}, Springs(0.2)).summary["trajectory"]
    assert same["committee"]["model_errors"]["Ar-Ar:peak_height"]["value"] < 1e-9
    assert same["committee"]["effective_frames"]["value"] == pytest.approx(same["n_frames"])
    for end in ("value", "lower", "upper"):
        assert same["Ar-Ar:peak_height"][end] == pytest.approx(alone["Ar-Ar:peak_height"][end])


def test_members_of_another_ensemble_are_refused_in_a_sentence() -> None:
    quick = {**DYNAMICS, "steps": 400, "timestep_fs": 2.0}
    side = observed({"dynamics": quick}, Springs(0.001, 20.0, 20.0)).summary["trajectory"]
    (note,) = side["notes"]
    assert "cannot be told" in note
    assert "frames carry the ensemble of a member" in note
    assert "model_errors" not in side["committee"]
    assert side["committee"]["effective_frames"]["value"] < committee.FEW


@pytest.mark.parametrize("changes", [{"ensemble": "nve"}, {"stabilise": {"above": 1.0}}])
def test_no_ensemble_at_a_temperature_no_error(changes: dict[str, Any]) -> None:
    dynamics = {**DYNAMICS, "steps": 200, **changes}
    assert "committee" not in observed({"dynamics": dynamics}, Springs(0.19, 0.21)).summary["trajectory"]


def test_a_trajectory_that_is_given_is_of_nobody_knows_whom() -> None:
    observation = Rdf.make(cutoff=4.5, bin_width=0.25).observe(Springs(0.19, 0.21), drawn(0.2, 50))
    assert "committee" not in observation.summary["trajectory"]


def test_a_free_energy_has_the_error_of_the_logarithm() -> None:
    """``-kT ln g`` of a spring is its energy: its error from the potential is that of the stiffness."""
    settings = {"cutoff": 4.0, "bin_width": 0.25, "dynamics": {**DYNAMICS, "steps": 2000}}
    observation = Pmf.make(**settings).observe(Springs(0.19, 0.2, 0.21), starts(10), seed=5)
    x, spread = observation.arrays["Ar_Ar__trajectory_x"], observation.arrays["Ar_Ar__trajectory_committee"]
    near = np.abs(x - REST) < 0.8
    # Beside the norm, which is common to all: compare what lies between the middle and the ends.
    middle = spread[np.argmin(np.abs(x - REST))]
    energy = 1000 * 0.5 * 0.01 * (x - REST) ** 2
    norm = 1000 * kB * TEMPERATURE * 0.05 / 2  # k T / 2 times the relative error of the stiffness
    assert middle == pytest.approx(norm, rel=0.35)
    np.testing.assert_allclose(spread[near], np.abs(energy - norm)[near], atol=0.35 * norm)
