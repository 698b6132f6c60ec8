"""What tests need that start servers of the system's packages: where the programs are, and ports."""

from __future__ import annotations

import os
import shutil
import socket

PATHS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Where servers are looked for: not all users have them on their path."""


def missing(*programs: str) -> str:
    """Which of some programs are not installed."""
    return ", ".join(name for name in programs if shutil.which(name, path=PATHS) is None)


def free_ports(number: int) -> list[int]:
    """Ports that nobody has."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
