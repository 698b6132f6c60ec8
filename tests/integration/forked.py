"""Commands of a home without three seconds of imports each: a process that has them forks for every command.

Half of what a command of the tests took was the import of AiiDA. A command that forks has its arguments, folder,
environment, streams and exit status as if it had been started, and what it does after the imports is the same.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn

from aiida_bloomery.cli import COMMANDS, main

REQUEST_SIZE = 1 << 20


@dataclass
class Child:
    """A command that runs."""

    pid: int
    status: IO[bytes]

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and return its exit status, that of a killed one as `subprocess` has it.

        After ``timeout`` seconds it is killed, and `AssertionError` raised.
        """
        with self.status:
            if not select.select([self.status], [], [], timeout)[0]:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"a command has not ended within {timeout:.0f} s")
            return int(self.status.read() or -signal.SIGKILL)


class Forks:
    """The process that forks, as its client sees it; it ends when its channel is closed, at the latest with us."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self.process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

    def start(self, stdout: IO[Any], stderr: IO[Any], *, command: list[str] | None = None, code: str = "") -> Child:
        """Start a command of ours, or Python code, with these streams."""
        request = json.dumps({"folder": os.getcwd(), "command": command, "code": code})  # noqa: PTH109
        receiving, sending = os.pipe()
        try:
            streams = [stdout.fileno(), stderr.fileno(), sending]
            socket.send_fds(self.channel, [request.encode()], streams)
            answer = self.channel.recv(REQUEST_SIZE)
        finally:
            os.close(sending)
        if not answer:
            said = self.process.communicate()[0].decode()
            raise AssertionError(f"the process that forks has ended:\n{said}")
        return Child(int(answer), os.fdopen(receiving, "rb"))

    def run(
        self, *, command: list[str] | None = None, code: str = "", timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of ours, or Python code, to its end, in so many seconds at most."""
        with ExitStack() as files:
            out, err = (files.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in range(2))
            status = self.start(out, err, command=command, code=code).wait(timeout)
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(command or ["python"], status, out.read(), err.read())

    def close(self) -> None:
        """End the process."""
        self.channel.close()
        self.process.communicate()


def serve(channel: socket.socket) -> None:
    """Import what commands import, and fork for each that is asked for."""
    for module in {f"aiida_bloomery.cli.{module}" for module, _ in COMMANDS.values()} | {"aiida.storage.sqlite_dos"}:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a process with threads must not fork"
    # What was imported stays where it is: a collection in a child would copy all of its memory.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for children: each says itself how it ended
    while True:
        data, streams, *_ = socket.recv_fds(channel, REQUEST_SIZE, 3)
        if not data:
            return
        pid = os.fork()
        if not pid:
            channel.close()
            _become(json.loads(data), streams)
        for stream in streams:
            os.close(stream)
        channel.send(str(pid).encode())


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the command that was asked for, in a process of its own, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    os.chdir(request["folder"])
    status = 1
    try:
        if request["command"]:
            sys.argv = request["command"]
            main()
        else:
            exec(request["code"], {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(streams[2], str(status).encode())
    os._exit(status)


if __name__ == "__main__":
    del sys.path[0]  # this folder, which commands do not see
    serve(socket.socket(fileno=int(sys.argv[1])))
