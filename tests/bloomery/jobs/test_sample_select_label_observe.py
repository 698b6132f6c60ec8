"""The jobs around sampling, selecting, labelling and measuring, run from their job files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import execute
from bloomery.jobs.label import JOURNAL_FILE
from bloomery.plugins import load_plugin
from bloomery.potentials import contract
from bloomery.potentials.contract import Potential
from bloomery.testing.potentials import TeacherCommittee
from bloomery.testing.samplers import check_origins

Run = Callable[..., dict[str, Any]]


class TeacherEngine:
    """An engine whose every potential is the same committee."""

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Potential:
        """Ignore what the folder holds."""
        return TeacherCommittee(members=3, spread=0.1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a structure and a potential that needs no training."""
    Configurations.from_atoms([bulk("Si", cubic=True)]).save(tmp_path / "start.npz")
    (tmp_path / "potential").mkdir()
    (tmp_path / "potential" / "potential.json").write_text('{"engine": "teacher"}', encoding="utf-8")
    monkeypatch.setattr(
        contract, "load_plugin", lambda kind, name: TeacherEngine if name == "teacher" else load_plugin(kind, name)
    )
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Write a job file, run it and return its result."""

    def run_job(status: int = 0, **job: Any) -> dict[str, Any]:
        (folder / "result.json").unlink(missing_ok=True)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        found = execute(folder / "job.json")
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert found == status, result
        return result["summary"] if status == 0 else result["error"]

    return run_job


def rattled(folder: Path, name: str, n: int, seed: int = 0, **info: Any) -> Configurations:
    """Write rattled silicon."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.positions += generator.normal(scale=0.05, size=(8, 3))
        frames.append(atoms)
    made = Configurations.from_atoms(frames).snapped().with_info(**info)
    made.save(folder / name)
    return made


def test_sample_writes_frames_on_the_grid_with_their_origin(folder: Path, run: Run) -> None:
    settings = {"steps": 20, "interval": 5, "temperatures": [300, 600], "max_relative_disagreement": 50}
    summary = run(
        verb="sample",
        sampler={"name": "md", "settings": settings},
        start="start.npz",
        potential="potential",
        scale={"error": 0.1},
        seed=4,
    )
    frames = Configurations.load(folder / "frames.npz")
    assert summary["n_frames"] == len(frames) == 8
    assert [entry["stop_reason"] for entry in summary["trajectories"]] == ["completed", "completed"]
    check_origins(frames, 1)
    assert frames.snapped().digest() == frames.digest()


def test_files_in_settings_are_relative_to_the_job(folder: Path, run: Run) -> None:
    rattled(folder, "mine.npz", 3)
    run(verb="sample", sampler={"from_file": {"file": "mine.npz"}}, start="start.npz")
    assert len(Configurations.load(folder / "frames.npz")) == 3


def test_a_sampler_that_needs_a_potential_says_so(run: Run) -> None:
    error = run(2, verb="sample", sampler="md", start="start.npz")
    assert error == {"kind": "bad_input", "message": "sampler 'md' needs a potential; give one."}


def test_a_selection_end_to_end(folder: Path, run: Run) -> None:
    pool = rattled(folder, "pool.npz", 20)
    known = pool[:3].with_info(role=["train", "train", "probe"])
    known.save(folder / "known.npz")
    summary = run(
        verb="select",
        selectors=["sanity", "duplicates", {"disagreement": {"frames": 12}}, {"random": {"frames": 8}}],
        pools={"mine": "pool.npz"},
        data_set={"batch_000": "known.npz"},
        potential="potential",
        seed=7,
    )
    selected = Configurations.load(folder / "selected.npz")
    assert [(step["selector"], step["came_in"], step["left"]) for step in summary["funnel"]] == [
        ("sanity", 20, 20),
        ("duplicates", 20, 17),
        ("probe", 17, 15),
        ("disagreement", 15, 12),
        ("random", 12, 8),
    ]
    assert summary["roles"] == {"probe": 2, "held_out": 0, "train": 6, "early_stopping": 1, "calibration": 1}
    assert selected.info["role"].tolist()[:2] == ["probe", "probe"]
    assert set(selected.info["rule"]) == {"probe", "random"}
    assert selected.hashes() == [pool.hashes()[index] for index in selected.info["pool_index"]]
    assert not set(selected.hashes()) & set(known.hashes())
    expected = TeacherCommittee(members=3, spread=0.1).predict(selected).disagreement
    np.testing.assert_allclose(selected.info["disagreement"][2:], expected[2:], rtol=1e-9)


def test_disagreement_that_the_pool_brings_is_not_predicted_again_unless_asked(folder: Path, run: Run) -> None:
    rattled(folder, "pool.npz", 10, disagreement=np.linspace(5, 6, 10))
    job = {"verb": "select", "selectors": [{"disagreement": {"lower": 3}}], "pools": {"a": "pool.npz"}}
    assert run(**job)["n_selected"] == 10
    assert run(**job, potential="potential", predict_all=True)["roles"]["train"] == 0


def test_selectors_get_the_features_of_their_frames(folder: Path, run: Run) -> None:
    pool = rattled(folder, "a.npz", 6)
    other = rattled(folder, "b.npz", 4, seed=1)
    known = rattled(folder, "known.npz", 2, seed=2)
    features = {"pool_a": np.arange(6.0)[:, None], "pool_b": 100 + np.arange(4.0)[:, None], "data_k": [[0.0], [3.0]]}
    np.savez(folder / "features.npz", **features)  # type: ignore[arg-type]
    job = {
        "verb": "select",
        "selectors": [{"farthest_point": {"frames": 2, "standardise": False}}],
        "roles": {"probe_share": 0, "min_probe": 0},
        "pools": {"a": "a.npz", "b": "b.npz"},
        "data_set": {"k": "known.npz"},
        "features": "features.npz",
    }
    run(**job)
    selected = Configurations.load(folder / "selected.npz")
    # Farthest from 0 and 3 is 103, then of {.., 100, 101, 102} the one at 100.
    assert selected.info["pool"].tolist() == ["b", "b"]
    assert selected.info["pool_index"].tolist() == [3, 0]
    assert selected.info["score"].tolist() == [100.0, 3.0]
    assert selected.hashes() == [other.hashes()[3], other.hashes()[0]]
    assert len(pool) + len(known) == 8
    np.savez(folder / "features.npz", **(features | {"pool_b": np.zeros((3, 1))}))  # type: ignore[arg-type]
    assert "'pool_b' has 3 rows for 4 frames" in run(2, **job)["message"]
    np.savez(folder / "features.npz", pool_a=features["pool_a"])
    assert "holds no array 'pool_b'" in run(2, **job)["message"]


def test_blocks_of_the_probe_and_of_the_training_stay_apart(folder: Path, run: Run) -> None:
    """Over many iterations on the same pool, no block is in the probe and in the training."""
    pool = rattled(folder, "pool.npz", 40, trajectory=np.arange(40) // 20, block=np.arange(40) // 4)
    known: list[Configurations] = []
    for iteration in range(4):
        for index, batch in enumerate(known):
            batch.save(folder / f"known_{index}.npz")
        run(
            verb="select",
            selectors=["duplicates", {"random": {"frames": 4}}],
            pools={"mine": "pool.npz"},
            data_set={f"b{index}": f"known_{index}.npz" for index in range(len(known))},
            seed=iteration,
        )
        known.append(Configurations.load(folder / "selected.npz"))
    everything = Configurations.concatenate(known)
    assert len(set(everything.hashes())) == len(everything) > 10
    blocks: dict[int, set[bool]] = {}
    for content, role in zip(everything.hashes(), everything.info["role"], strict=True):
        blocks.setdefault(pool.hashes().index(content) // 4, set()).add(role == "probe")
    assert all(len(kinds) == 1 for kinds in blocks.values())
    assert {True} in blocks.values()


def test_the_label_budget_holds_with_the_probe(folder: Path, run: Run) -> None:
    rattled(folder, "pool.npz", 20)
    summary = run(verb="select", selectors=[{"random": {"frames": 10}}], pools={"a": "pool.npz"}, max_frames=6, seed=1)
    assert summary["n_selected"] == 6
    assert summary["roles"]["probe"] == 2
    assert summary["funnel"][-1] == {
        "selector": "max_frames",
        "came_in": 10,
        "left": 4,
        "reasons": {"label budget": 6},
    }


def test_nothing_left_is_a_result_and_no_pool_is_not(folder: Path, run: Run) -> None:
    pool = rattled(folder, "pool.npz", 5)
    pool.save(folder / "known.npz")
    job = {"verb": "select", "selectors": ["sanity", "duplicates", {"random": {"frames": 3}}]}
    summary = run(**job, pools={"a": "pool.npz"}, data_set={"b": "known.npz"})
    assert summary["n_selected"] == 0
    assert summary["funnel"][1]["reasons"] == {"in the data set": 5}
    assert len(Configurations.load(folder / "selected.npz")) == 0
    Configurations.empty().save(folder / "empty.npz")
    error = run(2, **job, pools={"a": "empty.npz"})
    assert error["message"] == "the pools (a) hold no frame, so there is nothing to select from."


@given(st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_a_pool_has_no_say(folder: Path, run: Run, seed: int, shuffle: int) -> None:
    order = np.random.default_rng(shuffle).permutation(15)
    pool = rattled(folder, "pool.npz", 15, trajectory=np.arange(15) // 3, block=np.arange(15) // 3)
    job = {"verb": "select", "selectors": ["sanity", {"random": {"frames": 6}}], "pools": {"a": "pool.npz"}}
    found = []
    for frames in (pool, pool[order]):
        frames.save(folder / "pool.npz")
        run(**job, seed=seed)
        selected = Configurations.load(folder / "selected.npz")
        found.append(list(zip(selected.hashes(), selected.info["role"].tolist(), strict=True)))
    assert found[0] == found[1]


def test_labels_survive_a_job_that_is_killed(folder: Path, run: Run) -> None:
    frames = rattled(folder, "frames.npz", 5)
    job = {"verb": "label", "labeller": {"calculator": {"calculator": "stillinger_weber"}}}
    job["configurations"] = "frames.npz"
    run(**job)
    whole = Configurations.load(folder / "labelled.npz")
    journal = (folder / JOURNAL_FILE).read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(journal) == 5
    # Killed while the third frame was being written.
    (folder / JOURNAL_FILE).write_text("".join(journal[:2]) + journal[2][:40], encoding="utf-8")
    (folder / "labelled.npz").unlink()
    summary = run(**job)
    assert (summary["n_resumed"], summary["n_labelled"]) == (2, 5)
    again = Configurations.load(folder / "labelled.npz")
    assert again.digest() == whole.digest()
    assert again.info["parent"].tolist() == [0, 1, 2, 3, 4]
    ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))["entries"]
    assert [entry["hash"] for entry in ledger] == frames.hashes()
    assert len((folder / JOURNAL_FILE).read_text(encoding="utf-8").splitlines()) == 5


def test_finished_frames_are_on_disk_while_the_job_runs(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bloomery.labellers import calculator  # noqa: PLC0415

    rattled(folder, "frames.npz", 4)
    seen: list[int] = []
    measure = calculator.reference_values

    def spy(atoms: Any, *properties: Any) -> Any:
        if (folder / "labelled.npz").is_file():
            seen.append(len(Configurations.load(folder / "labelled.npz")))
        return measure(atoms, *properties)

    monkeypatch.setattr(calculator, "reference_values", spy)
    monkeypatch.setattr("bloomery.jobs.label.Journal.__init__.__defaults__", (0.0,))
    run(
        verb="label",
        labeller={"calculator": {"calculator": "stillinger_weber"}},
        configurations="frames.npz",
    )
    assert seen[0] >= 1
    assert seen == sorted(seen)


def test_observe_keeps_the_roles_asked_for(folder: Path, run: Run) -> None:
    teacher = TeacherCommittee(members=1, spread=0.0)
    for name, roles in (("a.npz", ["probe", "train", "train"]), ("b.npz", ["probe", "calibration", "probe"])):
        teacher.label(rattled(folder, name, 3, seed=len(name))).with_info(role=roles, block=[0, 1, 2]).save(
            folder / name
        )
    job = {"verb": "observe", "observable": "errors", "potential": "potential", "configurations": ["a.npz", "b.npz"]}
    summary = run(**job, roles=["probe"])
    assert summary["n_frames"] == 3
    assert summary["n_blocks"] == 3  # block 0 of one file is not block 0 of the other
    assert run(**job)["n_frames"] == 6
    stored = json.loads((folder / "observation.json").read_text(encoding="utf-8"))
    with np.load(folder / "observation.npz") as arrays:
        assert set(arrays.files) <= set(stored["units"])
        assert arrays["forces_reference"].shape == (48, 3)
    assert "roles.0" in run(2, **job, roles=["test"])["message"]


def test_observe_measures_several_observables_in_one_job(folder: Path, run: Run) -> None:
    teacher = TeacherCommittee(members=1, spread=0.2)
    roles = ["probe", "calibration", "train", "probe", "calibration", "calibration"]
    teacher.label(rattled(folder, "a.npz", 6)).with_info(role=roles).save(folder / "a.npz")
    calibration = {"observable": "calibration", "roles": ["calibration", "probe"]}
    job = {"verb": "observe", "observable": "errors", "potential": "potential", "configurations": ["a.npz"]}
    summary = run(**job, roles=["probe"], further=[calibration])
    assert summary["n_frames"] == 2
    assert (summary["calibration"]["n_calibration"], summary["calibration"]["n_frames"]) == (3, 2)
    with np.load(folder / "observation.npz") as arrays:
        assert {"forces_reference", "calibration_forces_level"} <= set(arrays.files)
    assert "'calibratoin' is not registered" in run(2, **job, further=[{"observable": "calibratoin"}])["message"]


def test_observe_keeps_the_roles_asked_for_of_the_reference(folder: Path, run: Run) -> None:
    rattled(folder, "test.npz", 2)
    known = rattled(folder, "known.npz", 3)
    known.with_info(role=["train", "probe", "probe"]).save(folder / "known.npz")
    known[[0, 1]].save(folder / "test.npz")
    job = {"verb": "observe", "observable": "leakage", "configurations": ["test.npz"], "reference": ["known.npz"]}
    assert run(**job)["n_same"] == 2
    # frames of the probe are not trained on
    trained = run(**job, reference_roles=["train", "early_stopping", "calibration"])
    assert (trained["n_same"], trained["n_training_frames"]) == (1, 1)
