"""A warm process for jobs: what they import is imported once, and each job is a fork of it.

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
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "BLOOMERY_WARM"
"""Folder of the processes that wait; empty where none is wanted."""
IDLE = 300.0
"""Seconds without a job after which a process ends."""
LOOK = 5.0
"""Seconds between two looks whether its folder is still there."""
PATIENCE = 60.0
"""Seconds that a job waits for one to begin before it does without."""

_MODULES = ("torch", "scipy.stats", "scipy.spatial", "bloomery.engines.hdnnp.engine")
_OF_ONE_JOB = (FOLDER_VARIABLE, "PWD", "OLDPWD", "SHLVL", "_", "BASH_FUNC_", "OMPI_MCA_orte_tmpdir_base")
"""Beginnings of the names of variables that differ from job to job, and that no library reads when it is loaded."""
_MOST = 4
"""Processes that wait at a time in one folder: where each job has another environment, none is of use."""
_MOST_FILES = 200
_LENGTH = struct.Struct("!I")


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
        socket.send_fds(connection, [_LENGTH.pack(len(content))], files)
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
    return sorted(open_files)[:_MOST_FILES]


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
        command = [sys.executable, "-m", __name__, str(folder), name, str(told)]
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


# -- the process that waits -------------------------------------------------------------------------------------------


def serve(folder: Path, name: str, told: int) -> None:
    """Import what jobs need, then fork a process for each that is asked for, until none is for long.

    Parameters
    ----------
    told
        A pipe that is closed once it listens; whoever waits for it is told if another is about to.
    """
    with (folder / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fcntl.flock(lock, fcntl.LOCK_SH)  # until the other listens
            return
        _import_all()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            os.chdir(folder)
            Path(f"{name}.new").unlink(missing_ok=True)
            server.bind(f"{name}.new")
            server.listen(64)
            Path(f"{name}.new").rename(name)
            fcntl.flock(lock, fcntl.LOCK_SH)
            os.close(told)
            _accept(server, (folder / name).exists, lock.fileno())
        for left in (name, f"{name}.lock", f"{name}.log"):
            Path(left).unlink(missing_ok=True)


def _import_all() -> None:
    from bloomery.jobs.base import VERBS  # noqa: PLC0415

    for module in (*_MODULES, *(f"bloomery.jobs.{verb}" for verb in VERBS)):
        # What a small environment lacks, its jobs do not need.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def _accept(server: socket.socket, is_wanted: Callable[[], bool], lock: int) -> None:
    last = time.monotonic()
    while time.monotonic() - last < IDLE and is_wanted():
        if not select.select([server], [], [], LOOK)[0]:
            continue
        connection, _ = server.accept()
        last = time.monotonic()
        with connection, contextlib.suppress(BlockingIOError):  # too many processes: it does without
            if os.fork() == 0:
                server.close()
                os.close(lock)
                _run(connection)


def _run(connection: socket.socket) -> None:
    """Run the command of one request in this process, which ends with it."""
    code = 1
    try:
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request, connection = _request(connection)
        os.setsid()
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        connection.sendall(f"{os.getpid()}\n".encode())
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        from bloomery.program.cli import cli  # noqa: PLC0415

        cli(request["arguments"], prog_name="bloomery")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  a fork of a process that waits must end here, whatever it is
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            connection.sendall(f"{code}\n".encode())
        os._exit(code)


def _request(connection: socket.socket) -> tuple[dict[str, Any], socket.socket]:
    """Take a request, and its files to the numbers that they had where they came from; the connection may move."""
    start, files, *_ = socket.recv_fds(connection, _LENGTH.size, _MOST_FILES)
    while len(start) < _LENGTH.size and (more := connection.recv(_LENGTH.size - len(start))):
        start += more
    (length,), content = _LENGTH.unpack(start), b""
    while len(content) < length and (more := connection.recv(length - len(content))):
        content += more
    request: dict[str, Any] = json.loads(content)
    # Away from all these numbers first, so that none is lost.
    beyond = max(connection.fileno(), *files, *request["files"]) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, beyond) for file in (connection.detach(), *files)]
    for file in files:
        os.close(file)
    for file, place in zip(moved[1:], request["files"], strict=True):
        os.dup2(file, place)
        os.close(file)
    return request, socket.socket(fileno=moved[0])


def _end_with(connection: socket.socket) -> None:
    """End this job, and whatever it started, when who asked for it is gone."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if os.fork() == 0:
        serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
