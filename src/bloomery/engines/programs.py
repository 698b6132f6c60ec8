"""Running the programs that an engine's package brings, and saying in one sentence when they are not there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bloomery.errors import BloomeryError, InputError, OutOfMemoryError

POLL_SECONDS = 0.2
LAST_LINES = 5
OUT_OF_MEMORY = ("out of memory", "MemoryError", "bad_alloc", "Cannot allocate memory")


def find_program(engine: str, package: str, name: str) -> str:
    """Return the path of a program of this Python's environment, nowhere else; `InputError` if it is not there."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    if beside is None:
        raise InputError(
            f"engine {engine!r} needs the program {name} of the package {package}: run `aiida-bloomery setup --engine "
            f"{engine}`, and use its environment's `bloomery`."
        )
    return beside


def run_program(
    command: Sequence[str],
    folder: Path,
    *,
    watch: Callable[[], None] = lambda: None,
    environment: dict[str, str] | None = None,
    log: str = "program.log",
) -> str:
    """Run a program in a folder to its end; its output goes to ``log`` there and is returned.

    ``watch`` is called while it runs, and once when it has ended; the program is ended when it raises.

    Raises
    ------
    OutOfMemoryError
        If the program says so, or was killed as the system does when memory runs out.
    BloomeryError
        If it fails otherwise, with the last lines that it wrote.
    """
    path = folder / log
    with path.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            while process.poll() is None:
                watch()
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
    watch()
    text = path.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        name = Path(command[0]).name
        lines = [line.strip() for line in text.splitlines() if line.strip()][-LAST_LINES:]
        said = " | ".join(lines) or "nothing"
        if process.returncode == -signal.SIGKILL or any(mark in text for mark in OUT_OF_MEMORY):
            raise OutOfMemoryError(f"{name} ran out of memory ({said}).")
        raise BloomeryError(f"{name} ended with status {process.returncode}; it said: {said}.")
    return text
