"""Radial distribution functions, against an ideal gas, crystals, ASE, and errors of known size."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.geometry.rdf import get_rdf

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Curve, overlap, score
from bloomery.observables.averages.experiment import MeasuredCurve
from bloomery.observables.averages.trajectories import blocks_in_time
from bloomery.observables.rdf import Rdf
from bloomery.testing.potentials import TeacherCommittee


def gas(n_frames: int, n_atoms: int = 40, side: float = 12.0, seed: int = 0, symbols: str = "Ar") -> Configurations:
    """Atoms that know nothing of each other."""
    generator = np.random.default_rng(seed)
    names = [symbols] * n_atoms if symbols == "Ar" else list(np.resize(symbols.split(), n_atoms))
    cell = np.array([[side, 0, 0], [2.0, side, 0], [0, -1.0, side]])
    return Configurations.from_atoms(
        [
            ase.Atoms(names, positions=generator.random((n_atoms, 3)) @ cell, cell=cell, pbc=True)
            for _ in range(n_frames)
        ]
    )


def test_an_ideal_gas_is_flat() -> None:
    frames = gas(400)
    found = Rdf.make(cutoff=5.9, bin_width=0.2)
    observation = found.observe(None, frames)
    mean, error = observation.arrays["Ar_Ar__trajectory"], observation.arrays["Ar_Ar__trajectory_error"]
    # (N - 1) / N below half of the cell. Pairs are independent: each bin has a Poisson error, about that of the blocks.
    expected = 39 / 40
    shells = 4 / 3 * np.pi * np.diff(np.linspace(0, 5.9, 31) ** 3)
    poisson = np.sqrt(2 / (400 * 40 * 39 * shells / 12.0**3)) * expected  # every pair is counted from both ends
    z = (mean - expected) / poisson
    assert np.abs(z).max() < 4  # of 30 normal numbers
    assert 0.6 < np.sqrt((z**2).mean()) < 1.4
    np.testing.assert_allclose(np.median(error / poisson), 1.0, atol=0.3)  # Student's t for ten blocks included


@pytest.mark.slow
def test_beyond_half_of_the_cell_images_count() -> None:
    observation = Rdf.make(cutoff=15.0, bin_width=1.0).observe(None, gas(200, n_atoms=20, side=6.0))
    # Own images make up for the one atom that is missing: 1 on average beyond the cell.
    assert observation.arrays["Ar_Ar__trajectory"][10:].mean() == pytest.approx(1, abs=0.01)


def test_shells_of_a_crystal_hold_their_atoms() -> None:
    a = 3.6
    frames = Configurations.from_atoms([bulk("Cu", a=a)])
    observation = Rdf.make(cutoff=6.5, bin_width=0.01).observe(None, frames)
    x, g = observation.arrays["Cu_Cu__trajectory_x"], observation.arrays["Cu_Cu__trajectory"]
    edges = np.arange(0, 6.505, 0.01)
    in_shell = g * 4 / 3 * np.pi * np.diff(edges**3) * 4 / a**3
    # fcc: 12, 6, 24, 12, 24 neighbours at a sqrt(n / 2).
    for n, atoms in enumerate([12, 6, 24, 12, 24], start=1):
        near = np.abs(x - a * np.sqrt(n / 2)) < 0.02
        assert in_shell[near].sum() == pytest.approx(atoms)
    assert in_shell.sum() == pytest.approx(12 + 6 + 24 + 12 + 24 + 8)
    assert observation.summary["trajectory"]["Cu-Cu:peak_position"]["value"] == pytest.approx(a / np.sqrt(2), abs=0.01)


@pytest.mark.slow
def test_pairs_agree_with_ase() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (3, 3, 3)
    frames = []
    for seed in range(4):
        copy = atoms.copy()
        copy.rattle(0.2, seed=seed)
        frames.append(copy)
    observation = Rdf.make(cutoff=8.0, bin_width=0.1).observe(None, Configurations.from_atoms(frames))
    for name, pair in (("Na-Na", (11, 11)), ("Na-Cl", (11, 17)), ("Cl-Cl", (17, 17))):
        expected = np.mean([get_rdf(frame, 8.0, 80, elements=pair)[0] for frame in frames], axis=0)
        # The same counts over the same shells; ASE takes the volume from its own arithmetic.
        np.testing.assert_allclose(
            observation.arrays[f"{name}__trajectory".replace("-", "_")], expected, rtol=1e-9, atol=1e-9
        )


def test_a_mixture_has_every_pair_once() -> None:
    summary = Rdf.make().observe(None, gas(4, symbols="Ar Ne"))
    assert [name for name in summary.arrays if name.endswith("trajectory")] == [
        "Ne_Ne__trajectory", "Ne_Ar__trajectory", "Ar_Ar__trajectory",
    ]  # fmt: skip


def test_overlap_is_that_of_the_literature() -> None:
    # Two boxes of equal area that share half: 1 - 2 * (1/2) / 2 = 50 %.
    first, second = np.zeros(100), np.zeros(100)
    first[10:30] = second[20:40] = 1
    assert overlap(first, second) == pytest.approx(50)
    assert overlap(first, first) == 100
    assert overlap(first, second[::-1]) == 0


def test_two_trajectories_of_one_system_agree_within_their_errors() -> None:
    observable = Rdf.make(cutoff=5.9, bin_width=0.2)
    summary = observable.observe(None, gas(300), reference=gas(300, seed=1)).summary
    found = summary["score"]["Ar-Ar"]
    assert found["deviation"]["value"] == pytest.approx(1, abs=0.35)  # 30 bins, blocks of ten
    assert found["overlap"]["value"] > 97
    assert found["overlap_of_halves"]["value"] < found["overlap"]["value"] + 1
    crystal = Configurations.from_atoms([bulk("Ar", "fcc", a=5.3, cubic=True)] * 4)
    other = observable.observe(None, crystal, reference=gas(300)).summary["score"]["Ar-Ar"]
    assert other["overlap"]["value"] < 20
    assert summary["difference"]["Ar-Ar:peak_height"]["value"] == pytest.approx(0, abs=0.5)


def test_the_error_of_an_overlap_is_how_far_it_scatters() -> None:
    def curve(seed: int) -> Curve:
        noise = np.random.default_rng(seed).normal(0, 0.3, (10, 50))
        return Curve(np.arange(50.0), 1 + np.sin(np.arange(50) / 5) ** 2 + noise, np.ones(10), "Å", "1")

    scores = [score(curve(2 * k), curve(2 * k + 1), 0)["overlap"] for k in range(60)]
    scatter = np.std([found.value for found in scores], ddof=1)
    assert np.mean([found.error for found in scores]) == pytest.approx(scatter, rel=0.4)


def test_blocks_do_not_span_trajectories() -> None:
    frames = gas(10).with_info(trajectory=[0] * 6 + [1] * 4)
    assert blocks_in_time(frames, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert blocks_in_time(frames, 2).tolist() == [0] * 6 + [1] * 4
    assert blocks_in_time(gas(3), 10).tolist() == [0, 1, 2]
    again = gas(4).with_info(step=[1, 2, 1, 2])
    assert blocks_in_time(again, 2).tolist() == [0, 0, 1, 1]


def test_an_experiment_is_scored(tmp_path) -> None:
    x = np.linspace(1, 5, 30)
    path = tmp_path / "gr.dat"
    path.write_text("# r sigma g\n" + "\n".join(f"{r} 0 0.975" for r in x[::-1]), encoding="utf-8")
    curve = {"file": str(path), "columns": [0, 2], "source": "nobody"}
    observation = Rdf.make(cutoff=5.9, bin_width=0.2, experiment={"Ar-Ar": curve}).observe(None, gas(200))
    found = observation.summary["experiment"]["Ar-Ar"]
    assert found["overlap_with_trajectory"]["value"] > 97
    assert found["source"] == "nobody"
    np.testing.assert_allclose(observation.arrays["Ar_Ar__experiment_x"], x, atol=1e-12)
    inlined = MeasuredCurve.model_validate(curve).inlined("here")
    assert inlined.file is None
    np.testing.assert_allclose(inlined.x, x)


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        ({"Ar-Ne": {"x": [1, 2], "y": [1, 1]}}, r"experiment\.Ar-Ne: there is no such curve; choose of Ar-Ar"),
        ({"Ar-Ar": {"x": [90, 91], "y": [1, 1]}}, "fewer than two points lie between"),
        ({"Ar-Ar": {"file": "nowhere.dat"}}, "there is no file nowhere.dat"),
        ({"Ar-Ar": {"x": [1], "y": [1]}}, "holds 1 points"),
        ({"Ar-Ar": {"x": [1, 2], "y": [1]}}, "they must be equally many"),
        ({"Ar-Ar": {}}, "give either x and y, or file"),
    ],
)
def test_a_bad_experiment_is_one_sentence(experiment, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rdf.make(experiment=experiment).observe(None, gas(2))


def test_frames_without_a_density_are_refused() -> None:
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match="rdf: frame 1 is not periodic in all directions"):
        Rdf.make().observe(None, Configurations.from_atoms([bulk("Si", cubic=True), slab]))
    with pytest.raises(InputError, match="frame of the reference 0 is not"):
        Rdf.make().observe(None, gas(1), reference=Configurations.from_atoms([slab]))
    with pytest.raises(InputError, match="there is no frame"):
        Rdf.make().observe(None, Configurations.empty())


def test_a_potential_makes_its_own_trajectory() -> None:
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    observable = Rdf.make(dynamics={"temperatures": [300], "steps": 60, "interval": 10})
    summary = observable.observe(TeacherCommittee(), start, seed=3).summary
    assert summary["trajectory"]["n_frames"] == 6
    assert summary["trajectory"]["Si-Si:peak_position"]["value"] == pytest.approx(2.35, abs=0.1)
    with pytest.raises(InputError, match=r"rdf\.dynamics: needs a potential"):
        observable.observe(None, start)
