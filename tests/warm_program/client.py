"""Has `server.py` run a command here. It imports little, so it is there at once."""

import json
import os
import signal
import socket
import sys
from pathlib import Path


def client(name: str, arguments: list[str]) -> int:
    """Return the exit status of the command."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"\0{name}")
        request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        child = int(connection.recv(16))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os.kill(child, number))
        answer = connection.recv(16)
    return int(answer) if answer else 1


if __name__ == "__main__":
    sys.exit(client(sys.argv[1], sys.argv[2:]))
