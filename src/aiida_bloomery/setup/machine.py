"""The computer and the codes of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

COMPUTER = "localhost"
CORES_PROPERTY = "bloomery_cores"
"""Property of a `Computer` without a queue: how many cores all jobs together may use."""
POLL_INTERVAL = 0.5
"""Seconds between two looks at the process table. A look costs 35 ms of a core: at 0.2 s it is a sixth of one, all the
time that a job runs; at 0.5 s a fifteenth, for a quarter of a second that a job's end goes unnoticed. Our own jobs are
looked at otherwise (`calculations.waiting`); this is for those of other packages, and for two looks in a row."""


def install_computer(workdir: Path) -> tuple[Any, bool]:
    """Make the computer for jobs on this machine unless it exists; return it, and whether it was made now."""
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import NotExistent  # noqa: PLC0415

    try:
        computer, made = orm.Computer.collection.get(label=COMPUTER), False
    except NotExistent:
        computer = orm.Computer(
            label=COMPUTER,
            hostname="localhost",
            description="This machine, without a queue.",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(workdir),
        ).store()
        computer.set_minimum_job_poll_interval(POLL_INTERVAL)
        computer.set_default_mpiprocs_per_machine(1)
        made = True
    here = computer.transport_type == "core.local" and computer.scheduler_type == "core.direct"
    if here and computer.get_property(CORES_PROPERTY, None) is None:
        # Without a queue nothing else bounds what runs at a time.
        computer.set_property(CORES_PROPERTY, available_cores())
    if not computer.is_configured:
        # A login shell for every command costs 0.25 s; jobs name their programs by full paths.
        computer.configure(safe_interval=0, use_login_shell=False)
        made = True
    return computer, made


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def install_code(
    computer: Any, label: str, executable: Path, plugin: str | None, prepend: str = "", *, replace: bool = True
) -> tuple[Any, bool]:
    """Make a code unless it exists; return it, and whether it was made now.

    Parameters
    ----------
    replace
        Whether a code of the same label for another program is renamed, hidden, and replaced; otherwise it is left.
    """
    from aiida import orm  # noqa: PLC0415

    query = orm.QueryBuilder().append(orm.Computer, filters={"id": computer.pk}, tag="computer")
    query.append(orm.InstalledCode, filters={"label": label}, with_computer="computer")
    for code in query.all(flat=True):
        if str(code.filepath_executable) == str(executable) or not replace:
            return code, False
        code.label = f"{label}-{code.pk}"
        code.is_hidden = True
    code = orm.InstalledCode(
        label=label,
        computer=computer,
        filepath_executable=str(executable),
        default_calc_job_plugin=plugin,
        prepend_text=prepend,
    ).store()
    return code, True


def bloomery_program() -> Path:
    """The ``bloomery`` program of this environment."""
    return Path(sys.executable).parent / "bloomery"


def pw_program() -> Path | None:
    """The ``pw.x`` to use: that of the variable ``PW``, else the first on the path."""
    found = shutil.which(os.environ.get("PW") or "pw.x")
    return Path(found) if found else None


def ph_program(pw: Path) -> Path | None:
    """The ``ph.x`` of the same installation as a ``pw.x``."""
    beside = pw.with_name("ph.x")
    return beside if os.access(beside, os.X_OK) else None


def cp2k_program() -> Path | None:
    """The CP2K to use: that of the variable ``CP2K``, else the first on the path."""
    names = [os.environ["CP2K"]] if os.environ.get("CP2K") else ["cp2k.psmp", "cp2k.popt", "cp2k.ssmp", "cp2k"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    return Path(found) if found else None
