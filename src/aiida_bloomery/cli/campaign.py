"""`check`, `run` and `submit`: from a campaign file to a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.options import (
    console,
    file_argument,
    json_option,
    loaded,
    print_json,
    profile_option,
    program,
    rehearse_option,
)

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file import Campaign
    from aiida_bloomery.campaign_file.cost import Plan
    from aiida_bloomery.campaign_file.labellers.contract import Finding

FAILED = 1
MARKS = {"fine": "[green]ok[/]", "warning": "[yellow]??[/]"}


@click.command("check")
@file_argument
@rehearse_option
@click.option("--file-only", is_flag=True, help="Check the file alone: no profile, no codes.")
@profile_option
@json_option
def check_command(file: Path, rehearse: bool, file_only: bool, profile: str | None, as_json: bool) -> None:
    """Check a campaign file and all it needs, and print what it costs at most. Nothing is run."""
    from aiida_bloomery.campaign_file import load_campaign  # noqa: PLC0415
    from aiida_bloomery.campaign_file.cost import plan_campaign  # noqa: PLC0415

    campaign, notes = load_campaign(file, rehearsal=rehearse)
    findings = [] if file_only else _environment(campaign, profile)
    plan = plan_campaign(campaign)
    if as_json:
        facts = [{"what": finding.what, "detail": finding.detail, "level": finding.level} for finding in findings]
        print_json(
            {"file": str(file), "name": campaign.file.name, "plan": plan.as_dict(), "found": facts, "notes": notes}
        )
        return
    structures = campaign.structures
    console.print(
        f" {MARKS['fine']} {file}: {len(structures)} starting structure(s) of {', '.join(structures.elements)}, "
        f"labels from {campaign.file.labeller}"
    )
    for finding in findings:
        console.print(f" {MARKS[finding.level]} {finding.what}: {finding.detail}")
    for note in notes:
        console.print(f" {MARKS['warning']} {note}")
    _print_plan(plan)
    for _, spec in campaign.samplers("sampling"):
        if spec.words:
            console.print(f"   {spec.words}", markup=False)


@click.command("submit")
@file_argument
@rehearse_option
@click.option("--again", is_flag=True, help="Submit even if a campaign of the same content has finished.")
@profile_option
@json_option
def submit_command(file: Path, rehearse: bool, again: bool, profile: str | None, as_json: bool) -> None:
    """Submit a campaign file and print the PK. One that runs already, or has finished, is not submitted twice."""
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415

    home, campaign = _prepare(file, rehearse, profile)
    submission = submit_campaign(campaign, home, again=again)
    if as_json:
        print_json({"pk": submission.pk, "how": submission.how, "notes": submission.notes})
        return
    for note in submission.notes:
        click.echo(note, err=True)
    if submission.how != "submitted":
        click.echo(f"This campaign is {submission.how} already (--again submits it once more).", err=True)
    click.echo(submission.pk)


@click.command("run")
@file_argument
@rehearse_option
@click.option("--again", is_flag=True, help="Run even if a campaign of the same content has finished.")
@click.option("--detach", is_flag=True, help="Do not watch.")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), default=None, help="Where results go; by default results/NAME."
)
@profile_option
def run_command(
    file: Path, rehearse: bool, again: bool, detach: bool, folder: Path | None, profile: str | None
) -> None:
    """Run a campaign file and watch it; attach to it if it runs, show it if it has finished.

    Ctrl-C detaches: the campaign goes on, and the same command picks it up again.
    """
    from aiida_bloomery.cli import display  # noqa: PLC0415
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415

    home, campaign = _prepare(file, rehearse, profile)
    submission = submit_campaign(campaign, home, again=again)
    for note in submission.notes:
        console.print(f"[yellow]{note}[/]")
    words = {
        "submitted": "Submitted",
        "running": "Attached to the running",
        "finished": "This file's campaign has finished:",
    }
    console.print(f"{words[submission.how]} campaign [bold]{campaign.file.name}[/], PK {submission.pk}.")
    if detach:
        return
    try:
        state = display.watch(submission.pk, home)
    except KeyboardInterrupt:
        console.print(f"\nDetached. The campaign goes on: `{program()} status {submission.pk} --watch` shows it.")
        return
    paths = _deliver(submission.pk, folder or Path("results") / campaign.file.name)
    console.print(display.summary(state, paths))
    if home.own:
        console.print(f"To look into it with plain verdi: {home.export_line}; verdi process status {submission.pk}")
    if not state.succeeded:
        raise click.exceptions.Exit(FAILED)


def _prepare(file: Path, rehearse: bool, profile: str | None) -> tuple[Any, Campaign]:
    from aiida_bloomery.campaign_file import load_campaign  # noqa: PLC0415
    from aiida_bloomery.campaign_file.profile_checks import check_environment  # noqa: PLC0415

    campaign, notes = load_campaign(file, rehearsal=rehearse)
    for note in notes:
        click.echo(note, err=True)
    home = loaded(profile)
    for _ in check_environment(campaign, ask=False):
        pass
    return home, campaign


def _environment(campaign: Campaign, profile: str | None) -> list[Finding]:
    from aiida_bloomery import services  # noqa: PLC0415
    from aiida_bloomery.campaign_file.labellers.contract import Finding  # noqa: PLC0415
    from aiida_bloomery.campaign_file.profile_checks import check_environment  # noqa: PLC0415

    home = loaded(profile)
    found = services.inspect(home)
    daemon = Finding("daemon", f"runs, {len(found.workers)} workers")
    if not found.healthy:
        daemon = Finding("daemon", f"{'; '.join(found.problems)}: {'; '.join(found.remedy)}", "warning")
    return [daemon, *check_environment(campaign)]


def _print_plan(plan: Plan) -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 1), header_style="bold", title="At most", title_justify="left")
    control = ["of them\ncontrol"] if plan.control_trainings else []
    for title in ("", "times", "frames\nsampled", "MD steps", "labels", "of them\nprobe", *control, "trainings"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for name, times, stage in (("bootstrap", 1, plan.bootstrap), ("iteration", plan.iterations, plan.iteration)):
        arm = [str(stage.control)] if control else []
        trainings = "2" if stage.control else "1"
        numbers = (stage.pool, stage.md_steps, stage.labels, stage.probe)
        table.add_row(name, str(times), *map(str, numbers), *arm, trainings)
    blank = [""] * len(control)
    if plan.isolated_atoms:
        table.add_row("isolated atoms", "1", "", "", str(plan.isolated_atoms), "", *blank, "")
    if plan.warm_start:
        table.add_row("final training", "1", "", "", "", "", *blank, "1")
    if plan.of_control:
        table.add_row("comparison of arms", "1", "", "", "", "", *blank, str(2 * plan.control_trainings - 1))
    if plan.validation.labels:
        table.add_row("validation", "1", "", "", f"+ {plan.validation.labels}", "", *blank, "")
    budget = f" (budget {plan.max_labels})" if plan.max_labels else ""
    table.add_section()
    table.add_row(
        "in all", "", "", str(plan.md_steps), f"{plan.labels}{budget}", "", *blank, str(plan.trainings), style="bold"
    )
    console.print(table)
    if plan.validation.observables:
        parts = ", ".join(f"{key} {count}" for key, count in plan.validation.observables.items())
        console.print(f"Validation asks the reference for single points, each once, on top of the budget: {parts}.")
    if plan.validation.md_steps:
        console.print(
            f"Validation runs {plan.validation.md_steps} steps of the reference's own dynamics, once, on top of the "
            "budget; a step takes up to as long as a label."
        )


def _deliver(pk: int, folder: Path) -> dict[str, str]:
    """Export what there is, and write the report."""
    from aiida_bloomery.cli.results import deliver  # noqa: PLC0415

    return deliver(pk, folder)
