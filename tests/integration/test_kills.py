"""Kill anything at any moment: the campaign finishes, no label is lost, none is computed twice."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.harness import QUICK_DFT, Home, daemon_processes, kill, make_home

pytestmark = [pytest.mark.integration, pytest.mark.daemon, pytest.mark.pw]

SMALL: dict[str, Any] = {
    **QUICK_DFT,
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.08, "strain": 0.02}}],
        "selection": ["sanity", {"random": {"frames": 8}}],
    },
    "sampling": [{"md": {"temperatures": [300, 900], "steps": 200, "interval": 20}}],
    "selection": ["sanity", "duplicates", {"farthest_point": {"frames": 4}}],
    "stop": {"iterations": {"min": 1, "max": 1}},
}

WRAPPER = """\
#!/bin/bash
case "$PWD" in */frame_*) echo "start $(date +%s.%N) $PWD" >> "$PW_LOG" ;; esac
/usr/bin/env -u PW_LOG {pw} "$@"
status=$?
case "$PWD" in */frame_*) echo "end $(date +%s.%N) $PWD" >> "$PW_LOG" ;; esac
exit $status
"""

# In the place of bash: the first submission of a job that labels is carried out, and before AiiDA learns the job's
# number, the worker that asked for it is dead.
KILLER = """\
#!/bin/bash -p
case "$*" in
  *_aiidasubmit.sh*'$!'*)
    if grep -qs bloomery_frame _aiidasubmit.sh && mkdir "$KILLED" 2>/dev/null; then
      /bin/bash "$@" > "$KILLED/number"
      pid=$PPID
      until grep -qsa worker /proc/$pid/cmdline; do
        pid=$(awk '{print $4}' /proc/$pid/stat)
        [ "$pid" -gt 1 ] || exit 1
      done
      kill -9 "$pid"
      echo "$pid" > "$KILLED/worker"
      exit 1
    fi ;;
esac
exec /bin/bash "$@"
"""


def executable(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Path]]:
    """A home whose pw.x writes a line when it starts and when it ends, and whose bash can kill."""
    folder = tmp_path_factory.mktemp("logged")
    pw = shutil.which("pw.x")
    if pw is None:
        pytest.skip("pw.x is not on the PATH")
    wrapper = executable(folder / "pw-wrapper.x", WRAPPER.format(pw=pw))
    fake = executable(folder / "bin" / "bash", KILLER).parent
    home = make_home(
        folder / "home",
        PW=str(wrapper),
        PW_LOG=str(folder / "pw.log"),
        KILLED=str(folder / "killed"),
        PATH=f"{fake}{os.pathsep}{os.environ['PATH']}",
    )
    yield home, folder / "pw.log"
    home.call("stop", check=False)


def starts(log: Path) -> int:
    return sum(line.startswith("start") for line in log.read_text().splitlines())


def attempts(home: Home, pk: int) -> int:
    """Starts of the reference method, by the ledger."""
    return sum(entry["attempts"] for entry in home.ledger(pk) if entry["outcome"] != "cached")


def test_workers_killed_in_every_stage_and_in_the_submission(
    logged: tuple[Home, Path], campaign_file: Callable[..., Path]
) -> None:
    home, log = logged
    pk = home.submit(campaign_file(name="kills", **SMALL))
    for iteration, stage in ((0, "label"), (1, "sample"), (1, "select"), (1, "label"), (1, "train")):
        home.wait(pk, until=lambda s, i=iteration, g=stage: (s["iteration"], s["stage"]) == (i, g) or s["finished"])
        time.sleep(1)
        kill(daemon_processes(home, "worker"))
    status = home.wait(pk)
    assert status["succeeded"], status
    assert (log.parent / "killed" / "worker").exists(), "no worker was killed between submission and job number"
    entries = home.ledger(pk)
    assert {entry["outcome"] for entry in entries} == {"labelled"}
    assert starts(log) == attempts(home, pk) == len(entries) == status["labels"]

    # The same campaign unharmed selects the same frames, and finds all of their labels in the cache.
    unharmed = home.submit(campaign_file(name="unharmed", **SMALL))
    assert home.wait(unharmed)["succeeded"]
    twins = home.ledger(unharmed)
    assert [entry["hash"] for entry in twins] == [entry["hash"] for entry in entries]
    assert {entry["outcome"] for entry in twins} == {"cached"}
    assert starts(log) == len(entries)


def test_two_campaigns_at_once_stay_within_the_cores(
    logged: tuple[Home, Path], campaign_file: Callable[..., Path]
) -> None:
    home, log = logged
    before = starts(log)
    changes = {**SMALL, "stop": {"iterations": {"min": 0, "max": 0}}}
    pks = [home.submit(campaign_file(name=f"at-once-{seed}", seed=seed, **changes)) for seed in (11, 12)]
    cores = home.python("print(json.dumps(orm.load_computer('localhost').get_property('bloomery_cores')))")
    busiest = 0
    while not all(home_status["finished"] for home_status in [home.facts("status", pk) for pk in pks]):
        busiest = max(busiest, len(working(home)))
    assert all(home.facts("status", pk)["succeeded"] for pk in pks)
    assert 0 < busiest <= cores
    assert overlap(log) <= cores
    assert starts(log) - before == sum(attempts(home, pk) for pk in pks)


def working(home: Home) -> list[int]:
    """Processes that compute in the home's work folder: pw.x and bloomery, not the shells around them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.endswith(("/bloomery", "/pw.x")) for word in words[:2]):
            try:
                if Path(process.cwd()).is_relative_to(home.folder):
                    found.append(process.pid)
            except psutil.Error:
                continue
    return found


def overlap(log: Path) -> int:
    """Largest number of pw.x that ran at one time."""
    events = sorted(
        (float(line.split()[1]), 1 if line.startswith("start") else -1) for line in log.read_text().splitlines()
    )
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most
