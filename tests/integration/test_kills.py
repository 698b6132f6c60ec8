"""Kill anything at any moment: the campaign finishes, no label is lost, none is computed twice."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from tests.integration.harness import PROGRAMS, QUICK_DFT, Home, home_in, kill
from tests.waiting import wait_until

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

# Around a program that computes: it writes when it began and when it ended, and on how many cores.
WRAPPER = """\
#!/bin/bash
echo "start $(date +%s.%N) ${{OMP_NUM_THREADS:-1}} $PWD" >> {log}
{program} "$@"
status=$?
echo "end $(date +%s.%N) ${{OMP_NUM_THREADS:-1}} $PWD" >> {log}
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
    log = folder / "log"
    wrapper = executable(folder / "pw-wrapper.x", WRAPPER.format(program=pw, log=log))
    program = executable(folder / "bloomery", WRAPPER.format(program=PROGRAMS / "bloomery", log=log))
    fake = executable(folder / "bin" / "bash", KILLER).parent
    path = f"{fake}{os.pathsep}{os.environ['PATH']}"
    with home_in(folder / "home", PW=str(wrapper), KILLED=str(folder / "killed"), PATH=path) as home:
        home.python(
            f"""
computer = orm.load_computer('localhost')
orm.InstalledCode(label='logged', computer=computer, filepath_executable='{program}').store()
print('null')"""
        )
        yield home, log


def starts(log: Path) -> int:
    """Starts of pw.x for a frame."""
    return sum(line.startswith("start") and "/frame_" in line for line in log.read_text().splitlines())


def attempts(home: Home, pk: int) -> int:
    """Starts of the reference method, by the ledger."""
    return sum(entry["attempts"] for entry in home.ledger(pk) if entry["outcome"] != "cached")


def test_workers_killed_in_every_stage_and_in_the_submission(
    logged: tuple[Home, Path], campaign_file: Callable[..., Path]
) -> None:
    home, log = logged
    pk = home.submit(campaign_file(name="kills", **SMALL))
    wait_until((log.parent / "killed" / "worker").exists, "a worker's death between submission and job number")
    for iteration, stage in ((0, "label"), (1, "sample"), (1, "select"), (1, "label"), (1, "train")):
        home.wait(pk, until=lambda s, i=iteration, g=stage: (s["iteration"], s["stage"]) == (i, g))
        time.sleep(1)  # any moment of the stage
        kill(home, "worker")
    status = home.wait(pk)
    assert status["succeeded"], status
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
    refused = home.call("delete", "kills", "--yes", check=False)
    assert (refused.returncode, f"made data that unharmed ({unharmed}) used" in refused.stderr) == (2, True)


def test_two_campaigns_at_once_stay_within_the_cores(
    logged: tuple[Home, Path], campaign_file: Callable[..., Path]
) -> None:
    home, log = logged
    before, lines_before = starts(log), len(log.read_text().splitlines())
    codes = {"bloomery": {"code": "logged@localhost"}}
    changes = {**SMALL, "codes": codes, "stop": {"iterations": {"min": 0, "max": 0}}}
    pks = [home.submit(campaign_file(name=f"at-once-{seed}", seed=seed, **changes)) for seed in (11, 12)]
    cores = home.python("print(json.dumps(orm.load_computer('localhost').get_property('bloomery_cores')))")
    assert all(home.wait(pk)["succeeded"] for pk in pks)
    lines = log.read_text().splitlines()[lines_before:]
    assert any("/frame_" not in line for line in lines), "the program bloomery writes its times as well"
    assert 0 < cores_in_use(lines) <= cores
    assert starts(log) - before == sum(attempts(home, pk) for pk in pks)


def cores_in_use(lines: list[str]) -> int:
    """Largest number of cores that pw.x and bloomery had at one time, by the times that they wrote."""
    events = []
    for line in lines:
        what, when, cores, *_ = line.split()
        events.append((float(when), int(cores) if what == "start" else -int(cores)))
    in_use = list(accumulate(change for _, change in sorted(events)))
    assert in_use[-1] == 0
    return max(in_use)
