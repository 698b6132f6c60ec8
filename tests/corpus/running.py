"""Give inputs to the worker, and say what is wrong about its answers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.corpus.generators import Input
from tests.waiting import PATIENCE

LONGEST = 60.0
"""Seconds of the processor that an input may take: anything that is not stuck takes a hundredth."""
RESULT = {"result.json", "progress.json"}
"""What a job file leaves beside it in any case."""


class Worker:
    """The process that runs command lines; it is started anew where one killed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        (folder / "home" / ".aiida").mkdir(parents=True)

    def ask(self, program: str, arguments: list[str], folder: Path) -> dict[str, Any]:
        """Run a command line in a folder: exit status, standard error and seconds; a negative status is a signal's."""
        if self.process is None or self.process.poll() is not None:
            home = {"AIIDA_PATH": str(self.folder / "home"), "HOME": str(self.folder / "home"), "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore::DeprecationWarning", Path(__file__).with_name("worker.py")],
                env={**os.environ, **home},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        stuck = threading.Timer(PATIENCE, self.process.kill)
        stuck.start()
        request = {"program": program, "arguments": arguments, "folder": str(folder)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        stuck.cancel()
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        return {"status": self.process.wait(), "told": "", "seconds": 0.0, "traceback": ""}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@contextmanager
def worker_in(folder: Path) -> Iterator[Worker]:
    """A worker that ends afterwards."""
    worker = Worker(folder)
    try:
        yield worker
    finally:
        worker.close()


def problem_of(case: Input, worker: Worker, materials: Path, folder: Path) -> tuple[str, float]:
    """Run an input in a new folder beside good files; say what is wrong, and how many seconds it took.

    The folder is removed if nothing is.
    """
    shutil.copytree(materials, folder)
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    before = contents(folder)
    answer = worker.ask(case.program, case.arguments, folder)
    left = "" if "--keep" in case.arguments else ", ".join(sorted(contents(folder) - before - RESULT))
    wrong = what_is_wrong(answer, left)
    if not wrong:
        shutil.rmtree(folder)
        return "", answer["seconds"]
    line = shlex.join([case.program, *case.arguments])
    return f"cd {folder}; {line}\n    {wrong}\n{answer['told']}{answer['traceback']}", answer["seconds"]


def contents(folder: Path) -> set[str]:
    """Everything in a folder and its folders."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def what_is_wrong(answer: dict[str, Any], left: str) -> str:
    """Say in which way an answer is none that a user should see; empty if it is fine."""
    status, told = answer["status"], answer["told"]
    if status < 0:
        return f"died by signal {-status}"
    if status not in {0, 2}:
        return f"has the exit status {status}"
    if answer["seconds"] > LONGEST:
        return f"took {answer['seconds']:.0f} s of the processor"
    if "Traceback" in told or "Error: unexpected " in told or "BLOOMERY_DEBUG" in told:
        return "tells what is for programmers"
    lines = [line for line in told.splitlines() if not line.startswith("Note: ")]
    errors = [place for place, line in enumerate(lines) if line.startswith("Error: ")]
    usage = bool(lines) and lines[0].startswith("Usage: ")
    if status == 0:
        return f"tells on standard error: {lines[0]}" if lines else ""
    if errors != [len(lines) - 1] or (len(lines) > 1 and not usage):
        return "does not tell what is wrong in one sentence"
    return f"leaves {left}" if left else ""
