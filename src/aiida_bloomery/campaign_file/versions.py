"""Programs that are started to hear which version they are, or what they know of something."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.campaign_file.labellers.contract import Program
from bloomery.program.console import last_line

PATIENCE = 60
"""Seconds that a program may take to say its version."""
NOT_THERE = 127


@dataclass(frozen=True)
class Heard:
    """What a program answered: its version, or ``None``; how it ended; and its last line."""

    version: str | None
    status: int
    last: str


def hear_version(code: Any, program: Program) -> Heard:
    """Start the program of a code, as its jobs would, in an empty folder of its computer.

    Whatever the transport's library raises comes through where the computer cannot be reached.
    """
    status, output, problem = answer(code, program.arguments, PATIENCE)
    match = program.banner.search(output)
    return Heard(match[1] if match is not None else None, status, last_line(output + problem))


def answer(code: Any, arguments: str, patience: int) -> tuple[int, str, str]:
    """Run a code's program with arguments, as `hear_version` does; return status, standard output and error."""
    executable = str(code.get_executable())
    prepend = "\n".join(text for text in (code.computer.get_prepend_text(), code.prepend_text) if text)
    script = (
        f"{prepend}\ncommand -v {shlex.quote(executable)} >/dev/null || exit {NOT_THERE}\n"
        'folder=$(mktemp -d) && cd "$folder" || exit 126\n'
        f"timeout {patience} {shlex.quote(executable)} {arguments}\n"
        'status=$?; rm -rf "$folder"; exit $status'
    )
    with code.computer.get_transport() as transport:
        found: tuple[int, str, str] = transport.exec_command_wait(f"bash -c {shlex.quote(script)}", stdin="")
    return found
