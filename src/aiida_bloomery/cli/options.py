"""What commands share: options, and printing facts as tables or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiida_bloomery.setup.home import HOME_NAME, Home, find_home, load_profile
from bloomery.program.console import printable

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


profile_option = click.option(
    "--profile",
    "-p",
    metavar="NAME",
    help="Use this AiiDA profile of yours; its daemon is left alone. By default our own.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
file_argument = click.argument("file", type=click.Path(path_type=Path))
pk_argument = click.argument("pk", metavar="PK")
"""Number, UUID or name of a campaign."""
rehearse_option = click.option(
    "--rehearse",
    is_flag=True,
    help="Label with the file's foundation, or a quick potential from a library, instead: before paying for it.",
)


def plain(text: object) -> str:
    """Return somebody's text as it is shown: no markup of ours, no control characters."""
    return escape(printable(text))


def to_option(name: str, text: str, *, required: bool = False) -> Callable[[Command], Command]:
    """``--to PATH``, which the command gets under a name."""
    return click.option("--to", name, type=click.Path(path_type=Path), required=required, help=text)


def program() -> str:
    """How the user can call this program: by name if it is on the path, else by where it is."""
    called = Path(sys.argv[0])
    if shutil.which(called.name, path=SHELL_PATH) is not None or not called.is_file():
        return called.name
    return min(str(called), os.path.relpath(called), key=len)


def loaded(profile: str | None) -> Home:
    """Find the home and load its profile; say where it is if nobody would look for it there."""
    home = find_home(profile)
    load_profile(home)
    if home.elsewhere:
        click.echo(f"Note: there is no {HOME_NAME} here or above; the profile is that of {home.folder}.", err=True)
    return home


def table(
    *titles: str, left: Collection[str] = (), padding: int = 2, no_wrap: bool = False, title: str | None = None
) -> Table:
    """An empty table without a frame; its columns are aligned to the right, except those in ``left``."""
    made = Table(box=None, padding=(0, padding), header_style="bold", title=title, title_justify="left")
    for name in titles:
        made.add_column(name, justify="left" if name in left else "right", no_wrap=no_wrap)
    return made


def print_json(facts: Any) -> None:
    """Print plain values as JSON."""
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
