"""`setup` and `stop`: what there is before and after campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_bloomery.cli.options import console, json_option, loaded, print_json, profile_option

if TYPE_CHECKING:
    from bloomery.plugins import Kind

MARKS = {"made": "[green]+[/]", "there": "[dim]=[/]", "missing": "[red]![/]"}


@click.command("setup")
@click.option("--start/--no-start", default=True, help="Start the daemon of our own profile.")
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", help="Make the environment and the code of this engine too."
)
@click.option(
    "--foundation", "foundations", multiple=True, metavar="NAME", help="The same of this foundation, such as sevennet."
)
@click.option("--python", metavar="PROGRAM", help="Make the environment with this Python.")
@click.option(
    "--environment",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Use this environment, which has the package already.",
)
@profile_option
@json_option
def setup_command(
    profile: str | None,
    start: bool,
    as_json: bool,
    engines: tuple[str, ...],
    foundations: tuple[str, ...],
    python: str | None,
    environment: Path | None,
) -> None:
    """Make profile, computer, codes and pseudopotentials; start the daemon. What is there is left alone."""
    from dataclasses import asdict  # noqa: PLC0415
    from itertools import chain  # noqa: PLC0415

    from aiida_bloomery import services  # noqa: PLC0415
    from aiida_bloomery.setup import find_home, set_up  # noqa: PLC0415
    from aiida_bloomery.setup.engines import EngineRequest, set_up_engine  # noqa: PLC0415

    named: list[tuple[str, Kind]] = [(name, "engines") for name in engines]
    named += [(name, "foundations") for name in foundations]
    if (python or environment) and len(named) != 1:
        raise click.UsageError(
            "--python and --environment are of one engine or foundation; give it with --engine or --foundation."
        )
    home = find_home(profile)
    steps = []
    wanted = [set_up_engine(home, EngineRequest(name, kind, python, environment)) for name, kind in named]
    for step in chain(set_up(home), *wanted):
        steps.append(asdict(step))
        if not as_json:
            console.print(f" {MARKS[step.state]} {step.what}: {step.detail}")
    done = services.ensure(home) if start and home.own else []
    if as_json:
        print_json({"home": str(home.folder), "profile": home.profile, "own": home.own, "steps": steps, "daemon": done})
        return
    for sentence in done:
        console.print(f" {MARKS['made']} {sentence}")
    if home.own:
        console.print(f"To let plain `verdi` see the profile: [bold]{home.export_line}[/]")


@click.command("stop")
@profile_option
def stop_command(profile: str | None) -> None:
    """Stop the daemon of our own profile. Campaigns stay where they are; jobs that run go on running."""
    from aiida_bloomery import services  # noqa: PLC0415

    home = loaded(profile)
    stopped = services.stop(home)
    (home.folder / services.HELD).touch()
    console.print(
        "The daemon is stopped; `aiida-bloomery run FILE` or `setup` starts it again."
        if stopped
        else "The daemon did not run."
    )
