"""The jobs that train, predict and describe, run from their job files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import execute
from bloomery.potentials import acceptance
from bloomery.potentials.contract import load_potential

ENGINE = {
    "hdnnp": {
        "members": 2,
        "hidden": [6],
        "steps": 30,
        "warm_steps": 10,
        "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
    }
}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Write a job file, run it, and return its summary, or its error."""

    def run_job(status: int = 0, **job: Any) -> dict[str, Any]:
        (tmp_path / "result.json").unlink(missing_ok=True)
        (tmp_path / "job.json").write_text(json.dumps({"device": "cpu", **job}), encoding="utf-8")
        found = execute(tmp_path / "job.json")
        result: dict[str, Any] = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
        assert found == status, result
        return result["summary"] if status == 0 else result["error"]

    return run_job


@pytest.fixture
def batch(silicon: Configurations, tmp_path: Path) -> Configurations:
    """Write a batch with all roles to ``batch.npz``."""
    roles = np.array(["train"] * 9 + ["early_stopping"] * 2 + ["calibration"] * 2 + ["probe"] * 3)
    frames = silicon.with_info(role=roles)
    frames.save(tmp_path / "batch.npz")
    return frames


def test_train_predict_and_start_from_the_result(run: Run, batch: Configurations, tmp_path: Path) -> None:
    summary = run(verb="train", engine=ENGINE, batches=["batch.npz"], seed=3)
    assert (summary["n_train"], summary["n_early_stopping"]) == (9, 2)
    assert summary["acceptance"]["passed"]
    assert set(summary["energy_reference"]) == {"Si"}
    history = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert len(history["columns"]["train_loss"]) == len(history["columns"]["step"]) > 5
    predicted = run(verb="predict", potential="potential", configurations="batch.npz")
    assert predicted["members"] == 2
    with np.load(tmp_path / "prediction.npz") as arrays:
        expected = load_potential(tmp_path / "potential", "cpu").predict(batch)
        np.testing.assert_array_equal(arrays["counts"], batch.counts)
        np.testing.assert_allclose(arrays["energies"], expected.energies)
        np.testing.assert_allclose(arrays["forces"], expected.forces)
        np.testing.assert_allclose(arrays["stresses"], expected.stresses)
        seen = summary["errors"]["train"]
        rmse = np.sqrt(np.mean((arrays["forces"].mean(axis=0) - batch.labels["forces"])[: 9 * 8] ** 2))
        assert seen["forces"]["value"] == pytest.approx(1000 * rmse)
        assert (seen["n_frames"], summary["errors"]["early_stopping"]["n_frames"]) == (9, 2)
    (tmp_path / "potential").rename(tmp_path / "old")
    warm = run(verb="train", engine=ENGINE, batches=["batch.npz"], start_from="old")
    assert warm["warm_start"]


def test_probe_and_calibration_do_not_enter(run: Run, batch: Configurations, tmp_path: Path) -> None:
    """The potential is the same whatever the labels of the frames that it must not see."""
    run(verb="train", engine=ENGINE, batches=["batch.npz"])
    first = load_potential(tmp_path / "potential", "cpu").predict(batch).forces
    hidden = np.isin(batch.info["role"], ["probe", "calibration"])
    energies = np.where(hidden, 99.0, batch.labels["energy"])
    forces = np.where(hidden[batch.frame_of_atom][:, None], 9.0, batch.labels["forces"])
    batch.with_labels(energy=energies, forces=forces).save(tmp_path / "batch.npz")
    run(verb="train", engine=ENGINE, batches=["batch.npz"])
    np.testing.assert_array_equal(load_potential(tmp_path / "potential", "cpu").predict(batch).forces, first)


def test_values_of_the_energy_reference_are_taken(run: Run, batch: Configurations, tmp_path: Path) -> None:
    summary = run(verb="train", engine=ENGINE, batches=["batch.npz"], energy_reference={"Si": -1.5, "C": 7.0})
    assert summary["energy_reference"] == {"Si": -1.5}
    assert load_potential(tmp_path / "potential").energy_reference == {"Si": -1.5}
    error = run(2, verb="train", engine=ENGINE, batches=["batch.npz"], energy_reference={"C": 7.0})
    assert "no value for Si" in error["message"]


def test_frames_without_a_role_are_trained_on(run: Run, silicon: Configurations, tmp_path: Path) -> None:
    silicon.save(tmp_path / "plain.npz")
    assert run(verb="train", engine=ENGINE, batches=["plain.npz"])["n_train"] == len(silicon)


def test_a_refused_potential_stays_for_inspection(
    run: Run, batch: Configurations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = HdnnpPotential.predict

    def wrong(self: HdnnpPotential, configurations: Configurations, *, stress: bool = True) -> Any:
        found = right(self, configurations, stress=stress)
        return acceptance.replace(found, forces=found.forces * 1.001)

    monkeypatch.setattr(HdnnpPotential, "predict", wrong)
    error = run(1, verb="train", engine=ENGINE, batches=["batch.npz"])
    assert error["kind"] == "refused"
    assert "the force against finite differences" in error["message"]
    assert (tmp_path / "refused" / "potential.json").is_file()
    assert not (tmp_path / "potential").exists()


@pytest.mark.parametrize(
    ("roles", "message"),
    [(["probe"] * 16, "no frame of the role train"), (["train"] * 16, "frame 3 has a label energy")],
)
def test_what_cannot_be_trained_on_is_refused(
    run: Run, silicon: Configurations, tmp_path: Path, roles: list[str], message: str
) -> None:
    energies = silicon.labels["energy"].copy()
    if roles[0] == "train":
        energies[3] = np.nan
    frames = Configurations.from_arrays({**silicon.to_arrays(), "label:energy": energies})
    frames.with_info(role=np.array(roles)).save(tmp_path / "batch.npz")
    error = run(2, verb="train", engine=ENGINE, batches=["batch.npz"])
    assert error["kind"] == "bad_input"
    assert message in error["message"]
    assert "batch.npz" in error["message"]


def test_describe_writes_an_array_for_each_input(run: Run, batch: Configurations, tmp_path: Path) -> None:
    batch[:3].save(tmp_path / "three.npz")
    summary = run(
        verb="describe",
        descriptor=ENGINE["hdnnp"]["descriptor"],
        elements=["C", "Si"],
        inputs={"pool_md": "batch.npz", "data_000": "three.npz"},
    )
    assert summary["n_frames"] == {"pool_md": 16, "data_000": 3}
    with np.load(tmp_path / "features.npz") as features:
        assert features["pool_md"].shape == (16, summary["n_features"])
        np.testing.assert_allclose(features["pool_md"][:3], features["data_000"], rtol=1e-12)
    error = run(2, verb="describe", descriptor="power_spectrum", elements=["C"], inputs={"a": "three.npz"})
    assert "Si" in error["message"]
