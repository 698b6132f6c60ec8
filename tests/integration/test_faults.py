"""The benchmark of faults in its short form: what is killed, stopped and starved gives the same data set in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.daemon]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "faults.py"
SHORT = ("--labels", 20, "--iterations", 1, "--seconds", 0.5, "--steps", 100, "--failing", 0.1)
HARM = ("--kills", 5, "--stops", 1, "--stop-seconds", 10, "--full", 0, "--pause", 5, "--patience", 1500)


def test_the_same_data_set_comes_out_and_nothing_is_computed_twice() -> None:
    command = [sys.executable, str(BENCHMARK), *map(str, (*SHORT, *HARM))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    faults, peace, harmed, same = map(json.loads, done.stdout.splitlines()[1:])
    assert sum(faults["faults"].values()) >= 3, faults
    assert peace["succeeded"], peace
    assert harmed["succeeded"], harmed
    assert (harmed["campaigns"], harmed["twice"], harmed["computed"]) == (1, 0, peace["computed"])
    assert same == {"same data set": True, "same failed": True}
