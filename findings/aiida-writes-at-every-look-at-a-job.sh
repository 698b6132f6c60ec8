#!/usr/bin/env bash
# aiida-core 2.9.4: while a job runs and nothing changes, every look at the scheduler is about three dozen statements of
# SQL, four of which write.
#
# A running CalcJob is looked at once in each minimum_job_poll_interval. Each time process status, job info and scheduler
# state are set and committed, whether or not they differ from what is there, everything that was loaded expires with
# each commit and is read again, and the job's input links are read to see whether there are monitors: only found ones
# are kept, so that a job without any is asked about at every look. On one core that is some 40 ms a look.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIIDA_PATH="$folder/home"
mkdir "$AIIDA_PATH"
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check aiida-core==2.9.4
"$folder/environment/bin/verdi" profile setup core.sqlite_dos -n --profile-name finding --email a@example.org \
    --first-name A --last-name B --institution C --no-use-rabbitmq >"$folder/setup.log" 2>&1 ||
    { cat "$folder/setup.log"; exit 1; }

cat >"$folder/look.py" <<'PY'
import sys
from collections import Counter

import aiida
from aiida import engine, load_profile, orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
from aiida.engine.processes.calcjobs.tasks import Waiting
from aiida.schedulers.plugins.direct import DirectScheduler
from sqlalchemy import event
from sqlalchemy.engine import Engine

load_profile()
looks, statements, during = [], Counter(), []
monitors, get_jobs = Waiting.monitors, DirectScheduler.get_jobs


def asked_for_monitors(self):
    during.append("monitors")
    try:
        return monitors.fget(self)
    finally:
        during.pop()


def looked(self, *args, **kwargs):
    looks.append(1)
    return get_jobs(self, *args, **kwargs)


@event.listens_for(Engine, "before_cursor_execute")
def counted(connection, cursor, statement, *rest):
    if 5 <= len(looks) < 25:
        statements[during[-1] if during else statement.split()[0]] += 1


Waiting.monitors, DirectScheduler.get_jobs = property(asked_for_monitors), looked
computer = orm.Computer(
    label="here",
    hostname="localhost",
    transport_type="core.local",
    scheduler_type="core.direct",
    workdir=sys.argv[1],
).store()
computer.set_minimum_job_poll_interval(0.2)
computer.set_default_mpiprocs_per_machine(1)
computer.configure(use_login_shell=False, safe_interval=0.0)
code = orm.InstalledCode(computer=computer, filepath_executable="/bin/bash", label="bash").store()
options = {"sleep": 15, "resources": {"num_machines": 1}}
_, node = engine.run_get_node(
    ArithmeticAddCalculation, x=orm.Int(1), y=orm.Int(2), code=code, metadata={"options": options}
)
each = {kind: number / 20 for kind, number in sorted(statements.items())}
print(f"aiida-core {aiida.__version__}: {len(looks)} looks at a job of 15 s; statements for each: {each}")
assert node.is_finished_ok
assert aiida.__version__ == "2.9.4"
assert each["UPDATE"] >= 4, "it writes less now"
assert each["monitors"] >= 1, "it does not ask for monitors each time now"
assert sum(each.values()) > 20, "it asks less now"
PY
"$folder/environment/bin/python" "$folder/look.py" "$folder/work"
