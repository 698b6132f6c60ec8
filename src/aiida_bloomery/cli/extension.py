"""`extend` and `relabel`: go on with a campaign that has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.options import json_option, loaded, pk_argument, print_json, profile_option
from aiida_bloomery.setup.home import Home

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file import Source

Command = Callable[..., Any]


def _common(command: Command) -> Command:
    """Options that both have."""
    options = (
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="A key of the campaign file and its new value, such as stop.iterations=8; the value is YAML.",
        ),
        click.option("--name", default="", help="Of the new campaign; by default one that follows from the old one's."),
        click.option("--again", is_flag=True, help="Submit even if a campaign of the same content has finished."),
        profile_option,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("extend")
@pk_argument
@click.argument("file", type=click.Path(path_type=Path), required=False)
@_common
def extend_command(
    pk: str, file: Path | None, assignments: tuple[str, ...], name: str, again: bool, profile: str | None, as_json: bool
) -> None:
    """Go on with a campaign that has ended, under new targets, budgets or samplers; it stays as it is.

    The new campaign begins with its data set, by reference, and its potential drives the first sampling. What is new is
    said by a campaign FILE, or by --set over the file that it was submitted with. The PK is printed.
    """
    home = loaded(profile)
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.submission.extension import extension  # noqa: PLC0415
    from bloomery.errors import InputError  # noqa: PLC0415
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    if file is None and not assignments:
        raise InputError("extend: nothing is new; give a campaign file, or --set KEY=VALUE.")
    source, left_out = extension(load_campaign_node(pk), file, parse_assignments(assignments), name)
    _submit(source, left_out, home, again=again, as_json=as_json)


@click.command("relabel")
@pk_argument
@click.option(
    "--labelling",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="File with the key `labelling`; what else it has takes the place of that of the campaign's file.",
)
@_common
def relabel_command(
    pk: str, file: Path, assignments: tuple[str, ...], name: str, again: bool, profile: str | None, as_json: bool
) -> None:
    """Label the data set of a campaign that has ended again, by another method; it stays as it is.

    A new campaign labels its frames, which keep their roles, trains on them, and ends; with --set stop.iterations=4 it
    goes on from there. Each frame tells where it is from. The PK is printed.
    """
    home = loaded(profile)
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.submission.extension import relabelling  # noqa: PLC0415
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    source, left_out = relabelling(load_campaign_node(pk), file, parse_assignments(assignments), name)
    _submit(source, left_out, home, again=again, as_json=as_json)


def _submit(source: Source, left_out: list[str], home: Home, *, again: bool, as_json: bool) -> None:
    """Check and submit the file of the new campaign, and say what came of it."""
    from aiida_bloomery.campaign_file import campaign_of  # noqa: PLC0415
    from aiida_bloomery.campaign_file.profile_checks import check_environment  # noqa: PLC0415
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415

    campaign, notes = campaign_of(source)
    for _ in check_environment(campaign, ask=False):
        pass
    submission = submit_campaign(campaign, home, again=again)
    told = [*left_out, *notes, *submission.notes]
    if as_json:
        print_json({"pk": submission.pk, "how": submission.how, "name": campaign.file.name, "notes": told})
        return
    for note in told:
        click.echo(f"Note: {note}", err=True)
    if submission.how != "submitted":
        click.echo(f"Note: this campaign is {submission.how} already (--again submits it once more).", err=True)
    click.echo(submission.pk)
