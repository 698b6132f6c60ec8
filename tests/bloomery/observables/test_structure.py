"""Coordination, density, angles, structure factors and potentials of mean force, of ideal gases and crystals."""

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.units import kB

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.angles import Angles
from bloomery.observables.coordination import Coordination
from bloomery.observables.density import Density
from bloomery.observables.pmf import Pmf
from bloomery.observables.structure_factor import StructureFactor


def gas(n_frames: int, n_atoms: int = 40, side: float = 10.0, seed: int = 0) -> Configurations:
    generator = np.random.default_rng(seed)
    names = ["Ar", "Ne"] * (n_atoms // 2)
    frames = [
        ase.Atoms(names, positions=generator.random((n_atoms, 3)) * side, cell=[side] * 3, pbc=True)
        for _ in range(n_frames)
    ]
    return Configurations.from_atoms(frames)


def test_crystals_are_coordinated_as_they_are() -> None:
    summary = Coordination.make().observe(None, Configurations.from_atoms([bulk("Si")])).summary["trajectory"]
    assert summary["Si-Si"]["value"] == 4
    salt = bulk("NaCl", "rocksalt", a=5.64)
    observation = Coordination.make(cutoffs={"Na-Cl": 3.5, "Cl-Cl": 4.5, "Na-Na": 1.0}).observe(
        None, Configurations.from_atoms([salt, salt])
    )
    found = {name: part["value"] for name, part in observation.summary["trajectory"].items() if "-" in name}
    assert found == {"Na-Na": 0, "Na-Cl": 6, "Cl-Na": 6, "Cl-Cl": 12}
    assert observation.arrays["Na_Cl__trajectory"][6] == 1
    with pytest.raises(InputError, match=r"coordination\.cutoffs\.Na: is not a pair"):
        Coordination.make(cutoffs={"Na": 1}).observe(None, Configurations.from_atoms([salt]))


def test_a_gas_has_a_poisson_distribution_of_neighbours() -> None:
    # Mean: density of the other kind times the volume of a sphere.
    found = Coordination.make(cutoffs={"Ar-Ne": 3.0}).observe(None, gas(300)).summary["trajectory"]["Ar-Ne"]
    exact = 20 / 1000 * 4 / 3 * np.pi * 27
    assert found["lower"] - 0.02 < exact < found["upper"] + 0.02
    assert found["value"] == pytest.approx(exact, rel=0.02)


def test_silicon_has_the_density_of_the_handbook() -> None:
    # 2.329 g/cm^3 at 5.431 Å.
    summary = Density.make().observe(None, Configurations.from_atoms([bulk("Si", a=5.431, cubic=True)])).summary
    assert summary["trajectory"]["density"]["value"] == pytest.approx(2.329, abs=0.001)
    assert summary["trajectory"]["a"]["value"] == pytest.approx(5.431)
    heavy = Configurations.from_atoms([bulk("Si", a=5.431, cubic=True)]).with_states(masses=30.0)
    summary = Density.make().observe(None, heavy).summary
    assert summary["trajectory"]["density"]["value"] == pytest.approx(2.329 * 30 / 28.085, abs=0.001)


def test_angles_of_crystals_and_molecules() -> None:
    observation = Angles.make(dihedrals=True).observe(None, Configurations.from_atoms([bulk("Si", cubic=True)]))
    assert observation.summary["trajectory"]["Si-Si-Si:mean"]["value"] == pytest.approx(109.4712, abs=1e-4)
    x, found = observation.arrays["Si_Si_Si__trajectory_x"], observation.arrays["Si_Si_Si__trajectory"]
    assert x[np.argmax(found)] == 109
    assert found.sum() * 2 == pytest.approx(1)
    # Diamond is staggered: 60, 180 and -60 degrees, as often.
    torsions, y = observation.arrays["Si_Si_Si_Si__trajectory"], observation.arrays["Si_Si_Si_Si__trajectory_x"]
    for angle in (-60, 60):
        assert torsions[np.abs(y - angle) < 2.5].sum() * 2 == pytest.approx(1 / 3)
    water = molecule("H2O")
    summary = Angles.make().observe(None, Configurations.from_atoms([water])).summary["trajectory"]
    assert summary["H-O-H:mean"]["value"] == pytest.approx(water.get_angle(1, 0, 2))


def test_dihedrals_are_those_of_ase() -> None:
    peroxide = molecule("H2O2")
    observation = Angles.make(dihedrals=True, bin_width=1.0).observe(None, Configurations.from_atoms([peroxide]))
    x, found = observation.arrays["H_O_O_H__trajectory_x"], observation.arrays["H_O_O_H__trajectory"]
    order = [int(peroxide.get_distances(k, [0, 1]).argmin()) for k in (2, 3)]
    expected = peroxide.get_dihedral(2, order[0], order[1], 3)
    assert (x[np.argmax(found)] - expected + 180) % 360 - 180 == pytest.approx(0, abs=0.51)


def test_a_gas_scatters_evenly_and_a_crystal_in_peaks() -> None:
    observation = StructureFactor.make(max_k=6, bin_width=0.5).observe(None, gas(200))
    # Every wave vector of an ideal gas has |rho|^2 / N = 1 on average, with a standard deviation of 1.
    for name, limit in (("all", 1.0), ("Ar-Ar", 1.0), ("Ne-Ar", 0.0)):
        np.testing.assert_allclose(observation.arrays[f"{name}__trajectory".replace("-", "_")], limit, atol=0.08)
    crystal = bulk("Cu", a=3.6, cubic=True) * (3, 3, 3)
    found = StructureFactor.make(max_k=3.6, bin_width=0.1, vectors=1000).observe(
        None, Configurations.from_atoms([crystal])
    )
    x, s = found.arrays["all__trajectory_x"], found.arrays["all__trajectory"]
    # fcc: the first Bragg peak is (111), |k| = 2 pi sqrt(3) / a = 3.023; nothing elsewhere below (200), 3.49.
    peaks = x[s > 1e-6]
    np.testing.assert_allclose(peaks, [3.05, 3.45], atol=0.051)
    near = np.abs(x - 3.023) < 0.051
    reciprocal = 2 * np.pi / 10.8
    grid = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(grid, axis=1) * reciprocal
    in_bin = ((lengths >= 3.0) & (lengths < 3.1)).sum()
    assert s[near].max() == pytest.approx(8 * 108 / in_bin)  # eight vectors of height N


@pytest.mark.slow
def test_a_known_potential_of_mean_force_is_found() -> None:
    # Two atoms in a large box, drawn from exp(-u / kT) with a well of 50 meV between 3 and 4 Å.
    generator = np.random.default_rng(0)
    kt, side = kB * 300, 12.0
    places = generator.random((400_000, 3)) * side - side / 2
    distance = np.linalg.norm(places, axis=1)
    inside = (distance > 3) & (distance < 4)
    keep = generator.random(len(places)) < np.where(inside, 1.0, np.exp(-0.05 / kt))
    kept = places[keep][:20_000]
    frames = [ase.Atoms("ArNe", positions=[[0, 0, 0], each], cell=[side] * 3, pbc=True) for each in kept]
    observable = Pmf.make(cutoff=5.75, bin_width=0.25, temperature=300)
    observation = observable.observe(None, Configurations.from_atoms(frames))
    x, found = observation.arrays["Ne_Ar__trajectory_x"], observation.arrays["Ne_Ar__trajectory"]
    well = found[(x > 3) & (x < 4)].mean() - found[(x > 4) & (x < 5.8)].mean()
    # 20,000 frames, thousands in the well and outside: kT / sqrt(n) of each is below 1 meV.
    assert well == pytest.approx(-50, abs=2)
    with pytest.raises(InputError, match=r"pmf\.temperature"):
        Pmf.make().observe(None, gas(2))
