"""Runs command lines of both programs, one after the other, in a process of its own: what kills it is seen as such.

A line on standard input holds program, arguments and folder as JSON; a line on standard output says what came of it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback

from click.testing import CliRunner

from aiida_bloomery.cli import main
from bloomery.program.cli import cli

PROGRAMS = {"bloomery": cli, "aiida-bloomery": main}
MEMORY = 16 * 2**30
"""Bytes of addresses, so that what asks for more than any machine has is told so on all of them alike."""


def run(program: str, arguments: list[str], folder: str) -> dict[str, object]:
    """Run one command line in a folder."""
    os.chdir(folder)
    started = time.process_time()
    result = CliRunner().invoke(PROGRAMS[program], arguments, prog_name=program)
    where = ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        where = "".join(traceback.format_exception(result.exception))
    seconds = time.process_time() - started
    return {"status": result.exit_code, "told": result.stderr, "seconds": seconds, "traceback": where}


def serve() -> None:
    """Answer until the standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(run(**json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
