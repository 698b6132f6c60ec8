"""The engine `mace` in its own environment: precision, foundations, replay, kills, and the forms that users run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from bloomery.engines.contract import TrainingData
from bloomery.engines.mace import Mace
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.reference.calculators import CalculatorSpec

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(Mace.missing() is not None, reason="mace is not installed here; ./test --engines sees to it"),
]

SMALL: dict[str, Any] = {
    "members": 1,
    "epochs": 4,
    "batch_size": 2,
    "model": {"channels": 4, "cutoff": 4.0, "correlation": 2, "max_ell": 1, "radial": 4},
}
ACCEPTANCE = AcceptanceSettings(frames=2, directions=1)


def data_of(frames: Configurations) -> TrainingData:
    return TrainingData(frames[:8], frames[8:11], fit_energy_reference(frames[:8]))


def force_error(potential: Any, frames: Configurations) -> float:
    return float(np.sqrt(((potential.predict(frames).force - frames.label("forces")[0]) ** 2).mean()))


@pytest.fixture(scope="module")
def trained(silicon: Configurations) -> Any:
    return Mace.make(**{**SMALL, "epochs": 60}).train(data_of(silicon), seed=1, device="cpu")


def test_training_in_single_precision_learns_and_is_accepted(trained: Any, silicon: Configurations) -> None:
    potential, history = trained
    assert potential.dtype == "float32"
    rms = float(np.sqrt((silicon.label("forces")[0] ** 2).mean()))
    assert force_error(potential, silicon[11:]) < 0.6 * rms
    assert history.columns["epoch"] == list(range(1, 61))
    report = check_potential(potential, silicon[:8], ACCEPTANCE)
    assert report.passed, report.to_dict()
    assert "float32" in {check.name for check in report.checks}


def test_importing_mace_leaves_torch_as_careful_as_it_was(trained: Any) -> None:
    import os  # noqa: PLC0415

    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("form", ["mace", "lammps"])
def test_exported_forms_say_the_same(trained: Any, silicon: Configurations, tmp_path: Path, form: str) -> None:
    potential, _ = trained
    potential.export(form, tmp_path)
    atoms = silicon[11:12].to_atoms()[0]
    mine = potential.predict(silicon[11:12])
    atoms.calc = potential.exported_calculator(form, tmp_path)
    np.testing.assert_allclose(atoms.get_forces(), mine.force, atol=1e-4)
    np.testing.assert_allclose(atoms.get_stress(), mine.stress[0], atol=1e-5)
    assert atoms.get_potential_energy() == pytest.approx(mine.energy[0], abs=1e-3)


def test_fine_tuning_begins_with_what_the_foundation_knows(
    trained: Any, silicon: Configurations, tmp_path: Path
) -> None:
    potential, _ = trained
    potential.export("mace", tmp_path)
    settings = {**SMALL, "epochs": 1, "warm_learning_rate": 1e-6, "foundation": str(tmp_path / "mace_000.model")}
    tuned, history = Mace.make(**settings).train(data_of(silicon), seed=5, device="cpu")
    assert history.summary["foundation"] == str(tmp_path / "mace_000.model")
    before = potential.predict(silicon[11:]).force
    np.testing.assert_allclose(tuned.predict(silicon[11:]).force, before, atol=1e-2)
    scratch, _ = Mace.make(**{**SMALL, "epochs": 1}).train(data_of(silicon), seed=5, device="cpu")
    assert force_error(tuned, silicon[11:]) < 0.7 * force_error(scratch, silicon[11:])


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_little_of_a_foundation_is_tuned(trained: Any, silicon: Configurations, tmp_path: Path, tuning: str) -> None:
    """Frozen layers are as they were; a correction of low rank has that rank. Both learn, and are accepted."""
    potential, _ = trained
    potential.export("mace", tmp_path)
    moved = silicon.with_labels(forces=0.9 * silicon.label("forces")[0], energy=0.9 * silicon.label("energy")[0])
    settings = {**SMALL, "epochs": 20, "tuning": tuning, "lora_rank": 1, "foundation": str(tmp_path / "mace_000.model")}
    tuned, _ = Mace.make(**settings).train(data_of(moved), seed=5, device="cpu")
    before, after = potential.networks[0][1], tuned.networks[0][1]
    assert set(before) == set(after), "no layer is added"
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    if tuning == "frozen":
        assert not [name for name in changed if name.startswith(("node_embedding", "interactions"))]
        assert [name for name in changed if name.startswith("products")]
    else:
        name = next(name for name in sorted(changed) if name.endswith("linear_up.weight"))
        channels = SMALL["model"]["channels"]
        difference = (after[name] - before[name]).reshape(channels, channels)
        assert np.linalg.matrix_rank(difference, tol=1e-5 * np.abs(difference).max()) == 1
    assert force_error(tuned, moved[11:]) < force_error(potential, moved[11:])
    assert check_potential(tuned, moved[:8], ACCEPTANCE).passed


def test_fine_tuning_begins_at_the_labels_whatever_zero_they_have(
    trained: Any, silicon: Configurations, tmp_path: Path
) -> None:
    """The foundation counts from other atoms than labels and reference do: no cohesive energy is counted twice."""
    potential, _ = trained
    potential.export("mace", tmp_path)
    settings = {**SMALL, "epochs": 1, "warm_learning_rate": 1e-6, "foundation": str(tmp_path / "mace_000.model")}
    other = silicon.with_labels(
        energy=silicon.label("energy")[0] - 150.0 * silicon.counts,
        masks={name: mask for name, mask in silicon.masks.items() if name == "energy"},
    )
    data = data_of(other)
    data = replace(data, energy_reference={"Si": -145.0})
    tuned, _ = Mace.make(**settings).train(data, seed=5, device="cpu")

    def residual(found: Any, labels: Configurations) -> Any:
        return (found.predict(labels).energy - labels.label("energy")[0]) / labels.counts

    before = residual(potential, silicon)
    assert np.abs(residual(tuned, other) - (before - before[: len(data.train)].mean())).max() < 0.02
    assert tuned.energy_reference["Si"] == pytest.approx(potential.energy_reference["Si"] - 150.0, abs=0.1)
    strange = Configurations.from_atoms([bulk("Ge", cubic=True)]).with_labels(energy=[-30.0])
    with pytest.raises(InputError, match="does not know Ge; name another one"):
        Mace.make(**settings).train(TrainingData(strange, Configurations.empty(), {"Ge": 0.0}), device="cpu")


def test_replay_trains_a_second_head_that_is_not_kept(trained: Any, silicon: Configurations, tmp_path: Path) -> None:
    old = silicon[5:].to_atoms()
    calculator = CalculatorSpec(name="tersoff").make()
    for index, frame in enumerate(old):
        frame.symbols[: 1 + index % 4] = "C"
        frame.calc = calculator
        frame.calc = SinglePointCalculator(
            frame, energy=frame.get_potential_energy(), forces=frame.get_forces(), stress=frame.get_stress()
        )
    carbide = Configurations.from_atoms(old)
    data = TrainingData(carbide, Configurations.empty(), fit_energy_reference(carbide))
    potential, _ = Mace.make(**SMALL).train(data, seed=2, device="cpu")
    potential.export("mace", tmp_path)
    for atoms in old:
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.info["REF_stress"] = atoms.get_stress()
        atoms.calc = None
    ase.io.write(tmp_path / "replay.extxyz", old, format="extxyz")
    settings = {
        **SMALL,
        "epochs": 2,
        "foundation": str(tmp_path / "mace_000.model"),
        "replay": str(tmp_path / "replay.extxyz"),
    }
    tuned, _ = Mace.make(**settings).train(data_of(silicon), seed=5, device="cpu")
    assert tuned.networks[0][0]["heads"] == ["Default"]
    report = check_potential(tuned, silicon[:8], ACCEPTANCE)
    assert report.passed, report.to_dict()
    trained[0].export("mace", tmp_path / "single")
    settings["foundation"] = str(tmp_path / "single" / "mace_000.model")
    with pytest.raises(InputError, match="the foundation knows one element only"):
        Mace.make(**settings).train(data_of(silicon), seed=5, device="cpu")


def test_a_killed_training_goes_on_from_its_checkpoint(silicon: Configurations, tmp_path: Path) -> None:
    class Killed(Exception):  # noqa: N818
        pass

    def kill(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
        if step >= 10:
            raise Killed

    engine = Mace.make(**{**SMALL, "epochs": 20})
    with pytest.raises(Killed):
        engine.train(data_of(silicon), seed=3, device="cpu", folder=tmp_path, progress=kill)
    _, history = engine.train(data_of(silicon), seed=3, device="cpu", folder=tmp_path)
    assert history.summary["resumed_at_epoch"] > 0
    assert history.columns["epoch"][-1] == 20
    _, again = engine.train(data_of(silicon), seed=3, device="cpu", folder=tmp_path)
    assert again.columns["epoch"] == history.columns["epoch"]
    assert again.summary["seconds_training"] < 0.5 * history.summary["seconds_training"] + 5


def test_files_that_are_not_there_are_named(silicon: Configurations, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mace\.foundation: there is no file /nowhere/x\.model"):
        Mace.make(**SMALL, foundation="/nowhere/x.model").train(data_of(silicon), device="cpu")
    with pytest.raises(InputError, match="tuning is lora, which needs a foundation"):
        Mace.make(**SMALL, tuning="lora")
    with pytest.raises(InputError, match="replay needs a foundation"):
        Mace.make(**SMALL, replay="x.extxyz")
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.model: cannot be read as a model of mace"):
        Mace.make(**SMALL, foundation=str(broken)).train(data_of(silicon), device="cpu")
