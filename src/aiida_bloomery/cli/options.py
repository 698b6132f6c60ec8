"""What commands share: options, and printing facts as text or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from aiida_bloomery.setup.home import Home, find_home, load_profile

Command = Callable[..., Any]

SHELL_PATH = os.environ.get("PATH", os.defpath)
"""The path as the user's shell has it; loading a profile puts our own programs in front."""

PLAIN_WIDTH = 140
"""Columns of tables that go into a file or a pipe."""

# Notebooks set FORCE_COLOR, which Rich takes for a terminal: a live display would be a page of control characters.
console = Console(
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else PLAIN_WIDTH,
    force_terminal=None if sys.stdout.isatty() else False,
)


def profile_option(command: Command) -> Command:
    """``--profile NAME``."""
    text = "Use this AiiDA profile of yours; its daemon is left alone. By default our own."
    return click.option("--profile", "-p", metavar="NAME", default=None, help=text)(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")(command)


def file_argument(command: Command) -> Command:
    """``FILE``."""
    return click.argument("file", type=click.Path(path_type=Path))(command)


def pk_argument(command: Command) -> Command:
    """``PK``: number, UUID or name of a campaign."""
    return click.argument("pk", metavar="PK")(command)


def rehearse_option(command: Command) -> Command:
    """``--rehearse``."""
    text = "Label with a quick potential from a library instead: a rehearsal before paying for the campaign."
    return click.option("--rehearse", is_flag=True, help=text)(command)


def program() -> str:
    """How the user can call this program: by name if it is on the path, else by where it is."""
    called = Path(sys.argv[0])
    if shutil.which(called.name, path=SHELL_PATH) is not None or not called.is_file():
        return called.name
    return min(str(called), os.path.relpath(called), key=len)


def loaded(profile: str | None) -> Home:
    """Find the home and load its profile."""
    home = find_home(profile)
    load_profile(home)
    return home


def print_json(facts: Any) -> None:
    """Print plain values as JSON."""
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
