"""Selections from pools that stay in files, and from what single atoms are; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.frames import mapped
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import execute
from bloomery.plugins import load_plugin
from bloomery.potentials import contract
from bloomery.testing.potentials import TeacherCommittee

NO_PROBE = {"probe_share": 0, "min_probe": 0}
DESCRIPTOR = {"power_spectrum": {"radial": 3, "max_degree": 2}}


class TeacherEngine:
    """An engine whose every potential is the same committee."""

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> TeacherCommittee:
        """Ignore what the folder holds."""
        return TeacherCommittee(members=3, spread=0.1)


def rattled(n: int, seed: int) -> list[Any]:
    frames = []
    for index in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=1000 * seed + index)
        frames.append(atoms)
    return frames


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve frames, of which the eighth has one atom far from its place; three that are known; and a potential."""
    frames = rattled(12, 1)
    frames[7].positions[5] += [0.4, 0.3, 0.0]
    Configurations.from_atoms(frames).snapped().save(tmp_path / "pool.npz")
    Configurations.from_atoms(rattled(3, 2)).snapped().save(tmp_path / "known.npz")
    (tmp_path / "potential").mkdir()
    (tmp_path / "potential" / "potential.json").write_text('{"engine": "teacher"}', encoding="utf-8")
    monkeypatch.setattr(
        contract, "load_plugin", lambda kind, name: TeacherEngine if name == "teacher" else load_plugin(kind, name)
    )
    return tmp_path


def run(folder: Path, **job: Any) -> dict[str, Any]:
    """Run a job; its summary, or what went wrong."""
    (folder / "result.json").unlink(missing_ok=True)
    fields = {"pools": {"a": "pool.npz"}, "data_set": {"b": "known.npz"}} if job["verb"] == "select" else {}
    (folder / "job.json").write_text(json.dumps(fields | job), encoding="utf-8")
    execute(folder / "job.json")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return dict(result.get("summary") or result["error"])


def test_pools_in_files_give_the_same_selection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = {
        "verb": "select",
        "selectors": [
            "sanity",
            "duplicates",
            {"disagreement": {"frames": 8}},
            {"farthest_point": {"frames": 6}},
            {"farthest_point": {"frames": 4, "per": "atom"}},
        ],
        "descriptor": DESCRIPTOR,
        "features": "features.npz",
        "potential": "potential",
        "chunk_atoms": 20,
        "seed": 2,
    }
    inputs = {"pool_a": "pool.npz", "data_b": "known.npz"}

    def selected(memory: float) -> tuple[dict[str, Any], str]:
        described = run(folder, verb="describe", descriptor=DESCRIPTOR, inputs=inputs, memory=memory)
        assert described["n_frames"] == {"pool_a": 12, "data_b": 3}
        summary = run(folder, **selection, memory=memory)
        return summary, Configurations.load(folder / "selected.npz").digest()

    in_memory = selected(4.0)
    assert in_memory[0]["funnel"][-1]["left"] == 4
    made = []
    allocate = mapped.allocate
    monkeypatch.setattr(mapped, "LARGE", 64)
    monkeypatch.setattr(mapped, "allocate", lambda *given: made.append(given) or allocate(*given))
    assert selected(1e-6) == in_memory
    assert made
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_frame_with_one_odd_atom_is_found(folder: Path) -> None:
    selector = {"farthest_point": {"frames": 1, "per": "atom"}}
    job = {"verb": "select", "selectors": [selector], "roles": NO_PROBE}
    run(folder, **job, descriptor=DESCRIPTOR)
    assert Configurations.load(folder / "selected.npz").info["pool_index"].tolist() == [7]
    assert run(folder, **job)["message"] == (
        "farthest_point: compares atoms, and no descriptor of these is given; give one."
    )


@pytest.mark.parametrize("name", ["cur", "kmeans", "leverage"])
def test_what_does_not_fit_into_memory_says_so(folder: Path, name: str) -> None:
    np.savez(folder / "features.npz", pool_a=np.random.default_rng(0).normal(size=(12, 50)), data_b=np.ones((3, 50)))
    job = {"verb": "select", "selectors": [{name: {"frames": 2}}], "roles": NO_PROBE, "features": "features.npz"}
    error = run(folder, **job, memory=1e-6)
    assert error["kind"] == "bad_input"
    assert error["message"] == (
        f"{name}: needs the features of 12 frames at once, about 1.3e-05 GiB, and memory is 1e-06 GiB; put selectors "
        "before it that leave fewer frames, or raise memory."
    )


def test_an_element_that_the_potential_does_not_know_is_refused(folder: Path) -> None:
    Configurations.from_atoms([*rattled(2, 3), bulk("Ge", cubic=True)]).save(folder / "pool.npz")
    job = {"verb": "select", "selectors": [{"disagreement": {"frames": 2}}], "roles": NO_PROBE}
    assert run(folder, **job, potential="potential")["message"] == (
        "select: frame 2 holds Ge, which the potential does not know (it knows Si); train on frames with that element."
    )


def test_features_that_are_not_finite_are_refused(folder: Path) -> None:
    features = np.ones((12, 3))
    features[4, 1] = np.nan
    np.savez(folder / "features.npz", pool_a=features, data_b=np.ones((3, 3)))
    job = {"verb": "select", "selectors": [{"farthest_point": {"frames": 2}}], "roles": NO_PROBE}
    content = Configurations.load(folder / "pool.npz").hashes()[4]
    assert run(folder, **job, features="features.npz")["message"] == (
        f"farthest_point: frame 4 of the pool ({content}) has a feature that is not finite; put sanity before this "
        "selector, or check the potential."
    )
