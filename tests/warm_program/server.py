"""The program `bloomery`, started once for all jobs of a test session: each job is a fork of what has imported all.

Starting Python with torch takes longer than the jobs of most tests. ``client.py NAME bloomery ...`` asks the
server that listens under a name to run the command there: in that folder, with that environment and output.
"""

import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback

from bloomery.jobs.base import VERBS
from bloomery.program.cli import main

MESSAGE = 1 << 20
FURTHER = ("torch", "scipy.stats", "scipy.spatial", "bloomery.engines.hdnnp.engine")


def serve(name: str) -> None:
    """Import what jobs need, then run commands until the standard input ends with the process that began it."""
    for module in (*FURTHER, *(f"bloomery.jobs.{verb}" for verb in VERBS)):
        importlib.import_module(module)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"\0{name}")
        server.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                run(connection)
            connection.close()


def run(connection: socket.socket) -> None:
    """Run the command of one request in this process, which ends with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, *_ = socket.recv_fds(connection, MESSAGE, 3)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    request = json.loads(message)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = request["arguments"]
    connection.sendall(str(os.getpid()).encode())
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  the child of a server must end here, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
