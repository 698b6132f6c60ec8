"""Checkpoints: what comes back is what was saved, and a job that is killed again and again ends at the same frames."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import execute
from bloomery.jobs.sample import CHECKPOINT_FILE, FRAMES_FILE
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ARRAYS = arrays.arrays(st.sampled_from([np.float64, np.int64, np.bool_]), arrays.array_shapes(min_dims=0, min_side=0))
STATES = st.dictionaries(
    st.text(), st.recursive(PLAIN | ARRAYS, lambda inner: st.lists(inner, max_size=3), max_leaves=8)
)


def same(first: Any, second: Any) -> bool:
    """Compare to the last bit."""
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


@pytest.mark.slow
@given(STATES)
@hypothesis_settings(deadline=None, max_examples=30)
def test_what_comes_back_is_what_was_saved(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("state") / "checkpoint.npz"
    Checkpoint(path, "run").save(state)
    found = Checkpoint(path, "run").load()
    assert found is not None
    assert found.keys() == state.keys()
    assert all(same(state[key], found[key]) for key in state)


def test_generators_and_frames_come_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    generator.standard_normal(7)
    frames = Configurations.from_atoms([bulk("Si"), bulk("Ge")]).with_info(why=["", "Schluß"])
    Checkpoint(tmp_path / "c.npz").save({"generator": generator.bit_generator.state, "frames": [frames]})
    found = Checkpoint(tmp_path / "c.npz").load()
    assert found is not None
    again = np.random.default_rng()
    again.bit_generator.state = found["generator"]
    np.testing.assert_array_equal(again.random(5), generator.random(5))
    assert found["frames"][0].digest() == frames.digest()


def test_what_is_not_this_runs_state_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert Checkpoint(path, "one").load() is None
    Checkpoint(path, "one").save({"done": 3})
    assert Checkpoint(path, "other").load() is None
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        assert Checkpoint(path, "one").load() is None
    path.write_bytes(whole)
    (tmp_path / ".checkpoint.npz.123").write_bytes(b"half")
    assert Checkpoint(path, "one").load() == {"done": 3}
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint.npz"]
    Checkpoint(path, "one").clear()
    assert not path.exists()


def test_states_are_saved_every_so_many_seconds(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"done": len(made)}

    checkpoint = Checkpoint(tmp_path / "c.npz", seconds=60)
    checkpoint.offer(make)
    assert not made
    checkpoint = Checkpoint(tmp_path / "c.npz", seconds=0)
    checkpoint.offer(make)
    assert checkpoint.load() == {"done": 1}
    NO_CHECKPOINT.offer(make)
    NO_CHECKPOINT.save({"done": 9})
    assert NO_CHECKPOINT.load() is None
    assert len(made) == 1


JOB: dict[str, Any] = {
    "verb": "sample",
    "seed": 4,
    "start": "start.npz",
    "sampler": {
        "name": "reference_md",
        "settings": {
            "calculator": "emt",
            "temperatures": [300, 900],
            "ensemble": "npt",
            "steps": 400,
            "interval": 20,
        },
    },
}
# It saves its state after every step. One that is to be killed waits for that when its run is over.
WORKER = """
import signal, sys
from bloomery.jobs.base import execute
from bloomery.samplers import checkpoint
checkpoint.SECONDS = 0.0
checkpoint.LARGEST_SHARE = float("inf")
if sys.argv[2] == "kill":
    checkpoint.Checkpoint.clear = lambda _: signal.pause()
sys.exit(execute(sys.argv[1]))
"""


def made_job(folder: Path) -> Path:
    """Write the job's files into a folder."""
    folder.mkdir()
    Configurations.from_atoms([bulk("Cu", cubic=True)]).save(folder / "start.npz")
    (folder / "job.json").write_text(json.dumps(JOB), encoding="utf-8")
    return folder / "job.json"


@pytest.mark.slow
def test_a_job_that_is_killed_goes_on_to_the_same_frames(tmp_path: Path) -> None:
    """SIGKILL of real processes, each after some more steps: among them while it writes its checkpoint."""
    unbroken, killed = made_job(tmp_path / "unbroken"), made_job(tmp_path / "killed")
    assert execute(unbroken) == 0
    random = np.random.default_rng(0)
    for moment in (150, 500):
        with subprocess.Popen([sys.executable, "-c", WORKER, str(killed), "kill"]) as worker:
            while (step := progress_of(killed.parent)) < moment:
                assert worker.poll() is None, "the job ended before it was killed"
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.02))
            worker.send_signal(signal.SIGKILL)
            assert worker.wait() == -signal.SIGKILL
    (killed.parent / "progress.json").unlink()
    with subprocess.Popen([sys.executable, "-c", WORKER, str(killed), "go"]) as worker:
        while not (step := progress_of(killed.parent)):
            time.sleep(0.005)
        assert worker.wait() == 0
    assert step >= 500, "the job began again"
    frames = [Configurations.load(job.parent / FRAMES_FILE) for job in (unbroken, killed)]
    assert frames[0].digest() == frames[1].digest()
    assert not (killed.parent / CHECKPOINT_FILE).exists()


def progress_of(folder: Path) -> int:
    """Step that a job has told of last."""
    try:
        return int(json.loads((folder / "progress.json").read_text(encoding="utf-8"))["step"])
    except FileNotFoundError:
        return 0
