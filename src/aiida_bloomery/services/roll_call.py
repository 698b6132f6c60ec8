"""A process beside the workers of our own daemon: it has the broker look, now and then, whether they are alive.

AiiDA's ZeroMQ broker gives the tasks of a killed worker to another one when a connection ends: it then asks every
worker that has tasks. Of the one that has just died it sometimes asks too early, before its own end of the connection
is gone; the question seems to arrive, and nothing asks again, so that these tasks wait forever and the campaign with
them. Any connection that ends makes the broker ask all of them once more: this process makes one and ends it.

Run as ``python -m aiida_bloomery.services.roll_call FOLDER PID``, with the folder of the broker's files and the
daemon's process id; it ends with the daemon, whose child it is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

INTERVAL = 10.0
"""Seconds between two looks."""

PATIENCE = 5.0
"""Seconds that the broker may take to answer."""


def call_the_roll(folder: Path) -> bool:
    """Have the broker whose files are in a folder ask its workers; return whether it could be reached."""
    import zmq  # noqa: PLC0415

    try:
        sockets = (folder / "broker.sockets").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    with zmq.Context() as context, context.socket(zmq.DEALER) as connection:
        connection.linger = 0
        with connection.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            with contextlib.suppress(zmq.ZMQError):
                connection.connect(f"ipc://{sockets}/router.sock")
            reached = bool(monitor.poll(int(PATIENCE * 1000)))
            connection.disable_monitor()
    return reached


def main(folder: Path, daemon: int) -> None:
    """Call the roll for as long as the daemon lives."""
    while os.getppid() == daemon:
        call_the_roll(folder)
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
