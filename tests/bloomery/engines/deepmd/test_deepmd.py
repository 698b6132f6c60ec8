"""The engine `deepmd`: what it writes for DeePMD-kit, what it reads of its log, and what it fits."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from bloomery.engines.contract import TrainingData
from bloomery.engines.deepmd import Deepmd
from bloomery.engines.deepmd.systems import TENSOR, groups, write_systems
from bloomery.engines.deepmd.training import _reported, _Watch
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference


def mixed() -> Configurations:
    silicon, carbide = bulk("Si", cubic=True), bulk("SiC", "zincblende", a=4.36)
    slab, molecule = bulk("Si", cubic=True), bulk("SiC", "zincblende", a=4.36)
    slab.pbc = (True, True, False)
    molecule.pbc = False
    return Configurations.from_atoms([silicon, carbide, silicon, slab, molecule])


def test_frames_of_the_same_atoms_go_together() -> None:
    found = list(groups(mixed(), ["C", "Si"], 5.0))
    assert [group.frames.tolist() for group in found] == [[0, 2, 3], [1], [4]]
    assert found[0].types.tolist() == [1] * 8
    assert sorted(found[1].types.tolist()) == [0, 1]
    assert found[2].cells is None


def test_a_slab_gets_empty_space() -> None:
    """DeePMD-kit knows cells that are periodic throughout, or none."""
    (group, *_) = groups(mixed(), ["C", "Si"], 5.0)
    cells = group.cells.reshape(-1, 3, 3)
    assert cells[2, 2, 2] > np.ptp(group.coordinates[2].reshape(-1, 3)[:, 2]) + 5.0
    np.testing.assert_allclose(cells[2, :2], cells[0, :2])


def test_labels_are_written_where_they_are(silicon: Configurations, tmp_path: Path) -> None:
    frames = silicon[:4]
    labels = {name: frames.label(name)[0] for name in ("energy", "forces", "stress")}
    masks = {
        "energy": [True, True, False, True],
        "forces": [True, True, True, True],
        "stress": [True, False, True, True],
    }
    written = write_systems(frames.without_labels().with_labels(**labels, masks=masks), ["Si"], 5.0, tmp_path)
    assert sorted(count for _, count in written) == [1, 1, 2]
    names = {tuple(sorted(path.stem for path in (folder / "set.000").iterdir())) for folder, _ in written}
    assert names == {
        ("box", "coord", "energy", "force", "virial"),
        ("box", "coord", "energy", "force"),
        ("box", "coord", "force", "virial"),
    }
    (full,) = [folder for folder, count in written if count == 2]
    virial = np.load(full / "set.000" / "virial.npy")
    np.testing.assert_allclose(virial, -(labels["stress"] * frames.volumes[:, None])[[0, 3]][:, TENSOR])
    np.testing.assert_allclose(np.load(full / "set.000" / "force.npy")[1], labels["forces"][24:32].ravel())


CURVE = """# step       rmse_val    rmse_trn    rmse_e_val  rmse_e_trn    rmse_f_val  rmse_f_trn         lr
# If there is no available reference data, rmse_*_{val,trn} will print nan
      0      2.64e+01    2.10e+01      1.63e+00    1.72e+00      2.60e+00    2.05e+00    5.0e-03
     50      1.54e+01    1.28e+01      nan         1.72e-01      1.49e+00    1.23e+00    5.0e-03
"""


def test_the_learning_curve_is_reported(tmp_path: Path) -> None:
    seen = []
    watch = _Watch(tmp_path / "lcurve.out", 100, lambda step, steps, numbers: seen.append((step, steps, dict(numbers))))
    watch()
    (tmp_path / "lcurve.out").write_text(CURVE, encoding="utf-8")
    watch()
    assert [step for step, _, _ in seen] == [0, 50]
    assert seen[0][2]["train_forces_rmse"] == 2.05
    assert seen[0][2]["early_stopping_energy_rmse"] == 1.63
    assert "early_stopping_energy_rmse" not in seen[1][2], "absent labels are no divergence"
    assert seen[1][2]["learning_rate"] == 5e-3
    with (tmp_path / "lcurve.out").open("a", encoding="utf-8") as curve:
        curve.write("    100 nan nan nan nan nan nan 5.0e-03\n")
    watch()
    assert np.isnan(seen[2][2]["train_rmse"]), "a loss that is not a number is one"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"smooth_from": 6.0}, "smooth_from must be less than the cutoff"),
        ({"axis": 100}, "axis must be at most"),
        ({"final_learning_rate": 1.0}, "final_learning_rate must not exceed"),
        ({"loss": {"forces": [1.0]}}, "deepmd.loss.forces"),
        ({"cutof": 5.0}, "there is no such key"),
    ],
)
def test_wrong_settings_are_told(settings: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Deepmd.make(**settings)


QUICK = {
    "members": 1, "steps": 30, "warm_steps": 1, "cutoff": 4.0, "embedding": [4, 8], "axis": 2, "hidden": [8, 8],
}  # fmt: skip


@pytest.fixture
def data(silicon: Configurations) -> TrainingData:
    if Deepmd.missing():
        pytest.skip(Deepmd.missing())
    return TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))


@pytest.mark.engines
def test_a_warm_start_is_where_the_earlier_training_ended(data: TrainingData) -> None:
    """One step of a vanishing size leaves the potential as it was."""
    engine = Deepmd.make(**QUICK, warm_learning_rate=1e-12, final_learning_rate=1e-12)
    start, _ = engine.train(data, device="cpu")
    warm, _ = engine.train(data, device="cpu", start_from=start)
    np.testing.assert_allclose(warm.predict(data.train).forces, start.predict(data.train).forces, atol=1e-6)


@pytest.mark.engines
def test_energies_of_some_frames_are_enough(data: TrainingData) -> None:
    energies, forces = data.train.label("energy")[0], data.train.label("forces")[0]
    bare = data.train.without_labels()
    half = bare.with_labels(energy=energies, forces=forces, masks={"energy": np.arange(8) < 4})
    potential, _ = Deepmd.make(**QUICK).train(TrainingData(half, Configurations.empty(), {"Si": -4.3}), device="cpu")
    assert np.isfinite(potential.predict(half).forces).all()
    none = TrainingData(bare.with_labels(forces=forces), Configurations.empty(), {"Si": 0.0})
    with pytest.raises(InputError, match="engine 'deepmd' needs energies"):
        Deepmd.make(**QUICK).train(none, device="cpu")


@pytest.mark.parametrize("steps", [1, 30, 99, 100, 1543, 1848, 20000])
def test_a_training_ends_where_it_reports(steps: int) -> None:
    """DeePMD-kit writes a checkpoint only there, and what it trained afterwards would be lost."""
    every, made = _reported(steps)
    assert made % every == 0
    assert steps <= made < steps + max(1, steps / 100)
