"""A training that is killed again and again ends at the potential of one that is not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.fitting import CHECKPOINT_FILE
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.testing.engines import assert_same

pytestmark = pytest.mark.slow

KILLS = 20
STEPS = 300
SETTINGS = {
    "members": 2,
    "hidden": [6],
    "steps": STEPS,
    "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
}
# Imports torch once; then each line that it reads is a training in a process of its own, which writes its steps. One
# that is to be killed waits for that before its last step.
TRAINER = """
import json, os, signal, sys
from pathlib import Path
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp, fitting, training

training.CHECKPOINT_SECONDS = 0.0
settings, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
frames = Configurations.load(folder / "frames.npz")
data = TrainingData(frames[:10], frames[10:13], fit_energy_reference(frames[:10]))

def tell(stage, step, total, numbers):
    print(stage, step, flush=True)
    if stage == "train" and step == total - 1 and line == "kill\\n":
        signal.pause()

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        potential, _ = Hdnnp.make(**settings).train(
            data, seed=1, device="cpu", folder=folder / "checkpoints", progress=tell
        )
        potential.save(folder / "potential")
        os._exit(0)
    print("pid", child, flush=True)
    print("end", os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.parametrize("jacobians", ["none", "kept", "not kept"])
def test_twenty_kills_at_any_moment_change_nothing(
    silicon: Configurations, tmp_path: Path, jacobians: str, request: pytest.FixtureRequest
) -> None:
    """SIGKILL of real processes: while they prepare, step, or write their checkpoint."""
    if jacobians != "none":
        request.getfixturevalue("no_kernels")
    memory = 1e-9 if jacobians == "not kept" else 4.0
    frames = silicon[:13]
    frames.save(tmp_path / "frames.npz")
    settings = {**SETTINGS, "memory": memory}
    data = TrainingData(frames[:10], frames[10:], fit_energy_reference(frames[:10]))
    expected, _ = Hdnnp.make(**settings).train(data, seed=1, device="cpu")
    random = np.random.default_rng(0)
    moments = np.sort(random.uniform(-0.1, 0.8, KILLS)) * STEPS
    first_steps = []
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER, json.dumps(settings), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as trainer:  # fmt: skip
        assert trainer.stdin is not None
        assert trainer.stdout is not None

        def read(until: str, step: float = 0.0) -> list[int]:
            """Read what is told until a word comes with a number as large as this; the numbers that came with it."""
            assert trainer.stdout is not None
            found: list[int] = []
            while not found or found[-1] < step:
                words = trainer.stdout.readline().split()
                assert words, "the trainer has died"
                assert words[0] != "end" or until == "end", "the training ended before it was killed"
                found += [int(words[1])] if words[0] == until else []
            return found

        for moment in moments:
            print("kill", file=trainer.stdin, flush=True)
            child = read("pid")[0]
            if moment > 0:
                first_steps.append(read("train", moment)[0])
            time.sleep(random.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            assert read("end")[0] == signal.SIGKILL
        print("go", file=trainer.stdin, flush=True)
        read("pid")
        first_steps.append(read("train")[0])
        assert read("end")[0] == 0
    assert first_steps == sorted(first_steps)
    assert first_steps[-1] > 0.6 * STEPS, "killed trainings go on where they were"
    assert_same(Hdnnp.load(tmp_path / "potential", "cpu").predict(frames), expected.predict(frames))
    left = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert left == [CHECKPOINT_FILE], "what a kill leaves half-written is removed"
