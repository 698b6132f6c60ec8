"""Have a job run by a process that waits for jobs: what they import is imported once, and each is a fork of it.

Importing torch takes longer than many a job. Where there is no queue, job scripts name a folder in the variable
`FOLDER_VARIABLE`, and the program `bloomery` asks the process that listens there to run its job file. The first that
asks starts it; it ends some minutes after the last, or when the folder is gone. Wherever this cannot be had, the job
is run as usual.

A job is the same as if the program had been started for it: it has the folder, environment and open files (locks among
them) of who asked, ends with it, whatever ends it, and takes a signal to end from it. A process is asked only by
programs of the same Python, source, environment, limits and cores. What jobs import beyond, each imports for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "BLOOMERY_WARM"
"""Folder of the processes that wait; empty where none is wanted."""
MOST_FILES = 200
"""Open files that a job is handed."""
LENGTH = struct.Struct("!I")
"""Begins a request: how long it is."""
PATIENCE = 60.0
"""Seconds that a job waits for one to begin before it does without."""

WAITING = "bloomery.program.waiting"
_OF_ONE_JOB = (FOLDER_VARIABLE, "PWD", "OLDPWD", "SHLVL", "_", "BASH_FUNC_", "OMPI_MCA_orte_tmpdir_base")
"""Beginnings of the names of variables that differ from job to job, and that no library reads when it is loaded."""
_MOST = 4
"""Processes that wait at a time in one folder: where each job has another environment, none is of use."""


def run_warm(arguments: list[str]) -> int | None:
    """Have a command run by a warm process; return its exit status, or ``None`` if it must be run here.

    Parameters
    ----------
    arguments
        Of the program, its own name left out.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or not hasattr(socket, "send_fds"):
        return None
    try:
        connection = _connection(Path(folder))
    except OSError:
        return None
    if connection is None:
        return None
    with connection:
        return _ask(connection, arguments)


def _ask(connection: socket.socket, arguments: list[str]) -> int | None:
    """Send a command, hand signals on, and wait for its end."""
    files = _open_files(connection.fileno())
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ), "files": files}
    content = json.dumps(request).encode()
    answers = connection.makefile("r", encoding="ascii")
    try:
        socket.send_fds(connection, [LENGTH.pack(len(content))], files)
        connection.sendall(content)
        begun = answers.readline()
    except OSError:
        return None
    if not begun:
        return None  # it ended just then
    job, told = int(begun), []

    def hand_on(number: int, _: Any) -> None:
        told.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(job, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    ended = ""
    with contextlib.suppress(OSError):
        ended = answers.readline()
    return int(ended) if ended else 128 + (told[-1] if told else signal.SIGKILL)


def _open_files(but: int) -> list[int]:
    """Files that are open here, as a program that is started inherits them."""
    numbers = [int(path.name) for path in Path("/dev/fd").iterdir()]
    open_files = []
    for number in numbers:
        with contextlib.suppress(OSError):  # the one that listed them is closed again
            if number != but and (number <= 2 or os.get_inheritable(number)):
                open_files.append(number)
    return sorted(open_files)[:MOST_FILES]


# -- finding one ------------------------------------------------------------------------------------------------------


def _connection(folder: Path) -> socket.socket | None:
    """A connection to the warm process of programs like this one, which is started if there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid != os.geteuid() or about.st_mode & 0o077:
        return None  # of somebody else, or open to others
    name, end = _name(), time.monotonic() + PATIENCE
    connection = _connect(folder, name)
    if connection is not None or _living(folder) >= _MOST:
        return connection
    news = _start(folder, name)
    while connection is None and time.monotonic() < end:
        has_ended = select.select([news], [], [], 0.02)[0] and not os.read(news, 1)
        connection = _connect(folder, name)
        if has_ended:
            break
    os.close(news)
    return connection


def _start(folder: Path, name: str) -> int:
    """Start one, and return a pipe, which it closes once it listens, or cannot.

    It has nothing of the job's that asks, neither its files nor its session, nor is it its child: whoever ends a job
    ends its children.
    """
    news, told = os.pipe()
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", WAITING, str(folder), name, str(told)]
        subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(told,),
            start_new_session=True,
            check=False,
        )
    os.close(told)
    return news


def _living(folder: Path) -> int:
    """How many there are. What is left of others is removed."""
    living = 0
    for path in folder.glob("*.lock"):
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                living += 1
            else:
                for left in (path.with_suffix(""), path.with_suffix(".log"), path):
                    left.unlink(missing_ok=True)
    return living


def _connect(folder: Path, name: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _inside(folder):
            connection.connect(name)
    except OSError:
        connection.close()
        return None
    return connection


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work there for a moment: names of sockets are short, paths need not be."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def _name() -> str:
    """What the processes of programs like this one are called."""
    variables = {key: value for key, value in sorted(os.environ.items()) if not key.startswith(_OF_ONE_JOB)}
    content = json.dumps([sys.executable, variables, _inherited(), *_sources()])
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()[:16]


def _inherited() -> list[Any]:
    """What else a program has from who starts it."""
    umask = os.umask(0o077)
    os.umask(umask)
    kinds = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return [umask, os.nice(0), cores, *map(resource.getrlimit, kinds)]


def _sources() -> Iterator[tuple[str, int]]:
    """The package's own source, and the folders of others, which change when something is installed."""
    for folder in (root := Path(__file__).parents[1], *root.rglob("*/")):
        yield str(folder), max((path.stat().st_mtime_ns for path in folder.glob("*.py")), default=0)
    for folder in map(Path, sys.path):
        if folder.name.endswith("-packages") and folder.is_dir():
            yield str(folder), folder.stat().st_mtime_ns
