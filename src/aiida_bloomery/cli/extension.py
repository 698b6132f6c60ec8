"""`extend`: go on with a campaign that has ended."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_bloomery.cli.options import json_option, loaded, pk_argument, print_json, profile_option


@click.command("extend")
@pk_argument
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of the campaign file and its new value, such as stop.iterations=8; the value is YAML.",
)
@click.option("--name", default="", help="Of the new campaign; by default one that follows from the old one's.")
@click.option("--again", is_flag=True, help="Submit even if a campaign of the same content has finished.")
@profile_option
@json_option
def extend_command(
    pk: str, file: Path | None, assignments: tuple[str, ...], name: str, again: bool, profile: str | None, as_json: bool
) -> None:
    """Go on with a campaign that has ended, under new targets, budgets or samplers; it stays as it is.

    The new campaign begins with its data set, by reference, and its potential drives the first sampling. What is new is
    said by a campaign FILE, or by --set over the file that it was submitted with. The PK is printed.
    """
    home = loaded(profile)
    from aiida_bloomery.campaign_file import campaign_of  # noqa: PLC0415
    from aiida_bloomery.campaign_file.profile_checks import check_environment  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415
    from aiida_bloomery.submission.extension import extension  # noqa: PLC0415
    from bloomery.errors import InputError  # noqa: PLC0415
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    if file is None and not assignments:
        raise InputError("extend: nothing is new; give a campaign file, or --set KEY=VALUE.")
    source, left_out = extension(load_campaign_node(pk), file, parse_assignments(assignments), name)
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
