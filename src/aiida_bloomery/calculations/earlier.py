"""Jobs that take up what an earlier one of the same inputs left in its folder, because it died."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_bloomery.calculations.job_script import filled

RESUME_FROM = "resume_from"

NODE_FAILURE = 140
"""AiiDA's exit status of a job whose node was lost."""
OUT_OF_TIME = 430
"""Exit status of our jobs that were ended after their wall time."""
DIED = frozenset({NODE_FAILURE})
"""Exit statuses of any job through no fault of its own; a calculation's own are in its class variable ``DIED``."""

_TAKE_UP = """\
# What an earlier job left before it died is not done again. Its lock is free when all of it has ended.
bloomery_earlier=@FOLDER@
if [ -d "$bloomery_earlier" ]; then
  exec {bloomery_other}>>"$bloomery_earlier/.bloomery.lock"
  flock "$bloomery_other"
  for bloomery_left in @PATTERNS@; do
    # Links: whole files or none, and no second copy. What this folder has is newer, or was written for it.
    cp -rln "$bloomery_left" . 2> /dev/null || cp -rn "$bloomery_left" . 2> /dev/null
  done
@MORE@
  exec {bloomery_other}>&-
fi
"""


def resume_port(spec: CalcJobProcessSpec) -> None:
    """Declare the optional port `resume_from`."""
    text = "Folder of a job with the same inputs that died: what it finished is not done again."
    spec.input(RESUME_FROM, valid_type=orm.RemoteData, required=False, help=text)


def earlier_jobs(job: orm.CalcJobNode) -> Iterator[orm.CalcJobNode]:
    """Jobs whose folders a job has taken up, one through the other, the latest first."""
    while RESUME_FROM in job.inputs and (earlier := job.inputs.resume_from.creator) is not None:
        yield earlier
        job = earlier


def take_up(inputs: Mapping[str, Any], computer: orm.Computer, names: Sequence[str], more: str = ":") -> str:
    """Lines of a job script that take up what an earlier job left, if there is one on the same computer.

    Parameters
    ----------
    names
        Of files and folders, as patterns of the shell, in the order in which they are taken.
    more
        What else is done while the earlier folder, ``$bloomery_earlier``, is locked.
    """
    folder = inputs.get(RESUME_FROM)
    if folder is None or folder.computer.uuid != computer.uuid:
        return ""
    patterns = " ".join(f'"$bloomery_earlier"/{name}' for name in names)
    return filled(_TAKE_UP, FOLDER=shlex.quote(folder.get_remote_path()), PATTERNS=patterns, MORE=more)
