"""The process that waits for jobs and is forked for each; see `bloomery.program.warm`, which starts it and asks it.

python -m bloomery.program.waiting FOLDER NAME PIPE
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bloomery.jobs.base import VERBS
from bloomery.program.cli import cli
from bloomery.program.warm import LENGTH, MOST_FILES

IDLE = 300.0
"""Seconds without a job after which it ends."""
LOOK = 5.0
"""Seconds between two looks whether its folder is still there."""

_MODULES = ("torch", "scipy.stats", "scipy.spatial", "bloomery.engines.hdnnp.engine")


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
    start, files, *_ = socket.recv_fds(connection, LENGTH.size, MOST_FILES)
    while len(start) < LENGTH.size and (more := connection.recv(LENGTH.size - len(start))):
        start += more
    (length,), content = LENGTH.unpack(start), b""
    while len(content) < length and (more := connection.recv(length - len(content))):
        content += more
    request: dict[str, Any] = json.loads(content)
    # Away from all these numbers first, so that none is lost.
    held = [connection.detach(), *files]
    beyond = max(*held, *request["files"]) + 1
    answers, *moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, beyond) for file in held]
    for file in held:
        os.close(file)
    for file, place in zip(moved, request["files"], strict=True):
        os.dup2(file, place)
        os.close(file)
    return request, socket.socket(fileno=answers)


def _end_with(connection: socket.socket) -> None:
    """End this job, and whatever it started, when who asked for it is gone."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if os.fork() == 0:
        serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
