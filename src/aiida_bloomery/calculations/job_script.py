"""Lines of a job script: one start of a folder at a time, no more cores than declared, and a time limit that counts.

They need bash and util-linux (``flock``) where the job runs, and nothing else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common.datastructures import CodeInfo

from aiida_bloomery.setup.machine import CORES_PROPERTY
from bloomery.program.warm import FOLDER_VARIABLE

ONE_CORE = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
"""Resources of a job with one process."""

SLOTS_FOLDER = ".bloomery-slots"
WARM_FOLDER = ".bloomery-warm"
TIMED_OUT_FILE = "timed_out"

_FOLDER_LOCK = """\
# One start of this folder at a time: the lock lasts until this shell and all its children have ended.
exec {bloomery_lock}>>.bloomery.lock
flock "$bloomery_lock"
"""

_OWN_MPI_FOLDER = """\
# Programs of Open MPI 4 that begin and end at the same time remove the folder under each other that they share.
OMPI_MCA_orte_tmpdir_base=$(mktemp -d) && export OMPI_MCA_orte_tmpdir_base
trap 'rm -rf "$OMPI_MCA_orte_tmpdir_base"' EXIT
"""

_SLOTS = """\
# No more cores at a time than declared, over all jobs of this machine. Who waits holds the gate, so nobody waits for
# slots while another collects them, and nobody is overtaken for ever.
bloomery_slots=@SLOTS@
mkdir -p "$bloomery_slots"
exec {bloomery_gate}>>"$bloomery_slots/gate"
flock "$bloomery_gate"
bloomery_taken=0
declare -A bloomery_slot
while [ "$bloomery_taken" -lt @CORES@ ]; do
  for ((bloomery_i = 0; bloomery_i < @TOTAL@ && bloomery_taken < @CORES@; bloomery_i++)); do
    [ -n "${bloomery_slot[$bloomery_i]:-}" ] && continue
    exec {bloomery_fd}>>"$bloomery_slots/$bloomery_i"
    if flock --nonblock "$bloomery_fd"; then
      bloomery_slot[$bloomery_i]=$bloomery_fd
      bloomery_taken=$((bloomery_taken + 1))
    else
      exec {bloomery_fd}>&-
    fi
  done
  [ "$bloomery_taken" -lt @CORES@ ] && sleep 0.2
done
exec {bloomery_gate}>&-
"""


def guard(computer: orm.Computer, cores: int, earlier: str = "", done: str | None = None) -> str:
    """Lines to put before a job's command.

    Parameters
    ----------
    computer
        Where the job runs. Slots are taken only where its scheduler does not queue and its property
        ``bloomery_cores`` is set.
    cores
        How many cores the job uses. A job that wants more than there are gets them all.
    earlier
        Lines that take up what an earlier job left, see `take_up`.
    done
        A shell condition: where it holds, a second start of the folder has nothing left to do and ends.
    """
    lines = [_FOLDER_LOCK, earlier] if earlier else [_FOLDER_LOCK]
    if done is not None:
        lines.append(f"# What an earlier start of this folder has finished is not done again.\n{done} && exit 0\n")
    total = declared_cores(computer)
    if total is not None:
        folder = _in_work_folder(computer, SLOTS_FOLDER)
        lines.append(filled(_SLOTS, SLOTS=folder, CORES=min(cores, total), TOTAL=total))
    return "\n".join(lines)


def warm(computer: orm.Computer) -> str:
    """Lines that name the folder of the processes that wait for jobs, where nothing queues and nothing is far away.

    Who sets the variable in the computer's or the code's own lines, even to nothing, is heeded.
    """
    if (computer.transport_type, computer.scheduler_type) != ("core.local", "core.direct"):
        return ""
    folder = _in_work_folder(computer, WARM_FOLDER)
    return f'[ -n "${{{FOLDER_VARIABLE}+set}}" ] || export {FOLDER_VARIABLE}={folder}'


def _in_work_folder(computer: orm.Computer, name: str) -> str:
    """A folder beside those of the jobs, as a shell reads it."""
    parts = f"{computer.get_workdir()}/{name}".split("{username}")
    return '"$(id -un)"'.join(map(shlex.quote, parts))


def own_mpi_folder(resources: Mapping[str, Any]) -> str:
    """Lines that give the programs of a shell a folder of their own for Open MPI; none for a job on many machines."""
    return _OWN_MPI_FOLDER if int(resources.get("num_machines") or 1) == 1 else ""


def filled(template: str, **values: object) -> str:
    """Put values in the places of ``@NAME@``."""
    return re.sub("@([A-Z]+)@", lambda place: str(values[place[1]]), template)


def code_info(code: orm.AbstractCode, arguments: Sequence[str], output: str) -> CodeInfo:
    """Call a program with arguments; all that it says goes to one file."""
    return CodeInfo({"code_uuid": code.uuid, "cmdline_params": [*arguments], "stdout_name": output, "join_files": True})


def processes_of(resources: Mapping[str, Any]) -> int:
    """How many processes scheduler options ask for."""
    if told := resources.get("tot_num_mpiprocs") or resources.get("num_mpiprocs") or _cores_alone(resources):
        return int(told)
    return int(resources.get("num_machines", 1) * resources.get("num_mpiprocs_per_machine", 1))


def cores_of(resources: Mapping[str, Any]) -> int:
    """How many cores they ask for."""
    return _cores_alone(resources) or processes_of(resources) * int(resources.get("num_cores_per_mpiproc", 1))


def _cores_alone(resources: Mapping[str, Any]) -> int:
    """Cores of a scheduler that counts nothing else, as HyperQueue does, by its present and its earlier word."""
    return int(resources.get("num_cpus") or resources.get("num_cores") or 0)


def declared_cores(computer: orm.Computer) -> int | None:
    """How many cores all jobs together may use on a computer without a queue; ``None`` where nothing is declared."""
    total = computer.get_property(CORES_PROPERTY, None)
    return int(total) if total is not None and computer.scheduler_type == "core.direct" else None


def time_limit(seconds: int, name: str = "bloomery_command") -> tuple[str, str]:
    """Lines before and after a job's command that end it after some seconds, counted from when it really starts.

    The scheduler `core.direct` knows no time limit, and one that counts from submission would punish a job for
    waiting. A job that was ended leaves the file ``timed_out``. Lines between these two become the body of a shell
    function, so the command may be any that AiiDA writes.
    """
    after = [
        "}",
        f"export -f {name}",
        f"{name}_start=$SECONDS",
        f"timeout --kill-after=30 {seconds} bash -c {name}",
        f"[ $((SECONDS - {name}_start)) -ge {seconds} ] && touch {TIMED_OUT_FILE}",
    ]
    return f"{name}() {{", "\n".join(after)
