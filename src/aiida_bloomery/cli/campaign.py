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
    plain,
    print_json,
    profile_option,
    program,
    rehearse_option,
    table,
    to_option,
)

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file import Campaign
    from aiida_bloomery.campaign_file.cost import Plan
    from aiida_bloomery.campaign_file.labellers.contract import Finding

FAILED = 1
MARKS = {"fine": "[green]ok[/]", "warning": "[yellow]??[/]"}
HOW = {"submitted": "Submitted", "running": "Attached to the running", "finished": "This file's campaign has finished:"}


@click.command("check")
@file_argument
@rehearse_option
@click.option("--file-only", is_flag=True, help="Check the file alone: no profile, no codes.")
@profile_option
@json_option
def check_command(file: Path, rehearse: bool, file_only: bool, profile: str | None, as_json: bool) -> None:
    """Check a campaign file and all it needs, and print what it costs at most. Nothing is run."""
    from aiida_bloomery.campaign_file import load_campaign  # noqa: PLC0415
    from aiida_bloomery.campaign_file.cost import foreseen_training, plan_campaign  # noqa: PLC0415

    campaign, notes = load_campaign(file, rehearsal=rehearse)
    findings = [] if file_only else _environment(campaign, profile)
    plan = plan_campaign(campaign)
    foreseen = foreseen_training(campaign, plan)
    if as_json:
        found = [vars(finding) for finding in findings]
        facts = {"file": str(file), "name": campaign.file.name, "plan": plan.as_dict(), "found": found, "notes": notes}
        facts["training"] = foreseen
        print_json(facts)
        return
    structures = campaign.structures
    console.print(
        f" {MARKS['fine']} {plain(file)}: {len(structures)} starting structure(s) of {', '.join(structures.elements)}, "
        f"labels from {campaign.file.labeller}"
    )
    for index, frames in campaign.data.items():
        name = campaign.file.data[index].name
        console.print(f" {MARKS['fine']} data of {plain(name)}: {len(frames)} labelled frame(s) to begin with")
    for finding in findings:
        console.print(f" {MARKS[finding.level]} {plain(finding.what)}: {plain(finding.detail)}")
    for note in notes:
        console.print(f" {MARKS['warning']} {plain(note)}")
    _print_plan(plan)
    for sentence in foreseen:
        console.print(plain(sentence))
    for _, spec in (*campaign.samplers("bootstrap"), *campaign.samplers("sampling")):
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
        click.echo(f"Note: {note}", err=True)
    if submission.how != "submitted":
        click.echo(f"Note: this campaign is {submission.how} already (--again submits it once more).", err=True)
    click.echo(submission.pk)


@click.command("run")
@file_argument
@rehearse_option
@click.option("--again", is_flag=True, help="Run even if a campaign of the same content has finished.")
@click.option("--detach", is_flag=True, help="Do not watch.")
@to_option("folder", "Where results go; by default results/NAME.")
@profile_option
def run_command(
    file: Path, rehearse: bool, again: bool, detach: bool, folder: Path | None, profile: str | None
) -> None:
    """Run a campaign file and watch it; attach to it if it runs, show it if it has finished.

    Ctrl-C detaches: the campaign goes on, and the same command picks it up again.
    """
    from aiida_bloomery.cli import display  # noqa: PLC0415
    from aiida_bloomery.cli.results import deliver  # noqa: PLC0415
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415

    home, campaign = _prepare(file, rehearse, profile)
    submission = submit_campaign(campaign, home, again=again)
    for note in submission.notes:
        console.print(f"[yellow]{plain(note)}[/]")
    console.print(f"{HOW[submission.how]} campaign [bold]{campaign.file.name}[/], PK {submission.pk}.")
    if detach:
        return
    try:
        state = display.watch(submission.pk, home)
    except KeyboardInterrupt:
        console.print(f"\nDetached. The campaign goes on: `{program()} status {submission.pk} --watch` shows it.")
        return
    paths = deliver(submission.pk, folder or Path("results") / campaign.file.name)
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
        click.echo(f"Note: {note}", err=True)
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
    control = ["of them\ncontrol"] if plan.control_trainings else []
    titles = ("", "times", "frames\nsampled", "MD steps", "labels", "of them\nprobe", *control, "trainings")
    made = table(*titles, left=("",), padding=1, no_wrap=True, title="At most")

    def add(name: str, times: Any = "", pool: Any = "", steps: Any = "", labels: Any = "", probe: Any = "",
            arm: Any = "", trainings: Any = "", style: str | None = None) -> None:  # fmt: skip
        cells = (name, times, pool, steps, labels, probe, *([arm] if control else []), trainings)
        made.add_row(*map(str, cells), style=style)

    for name, times, stage in (("bootstrap", 1, plan.bootstrap), ("iteration", plan.iterations, plan.iteration)):
        trainings = 2 if stage.control else 1
        add(name, times, stage.pool, stage.md_steps, stage.labels, stage.probe, stage.control, trainings)
    if plan.isolated_atoms:
        add("isolated atoms", 1, labels=plan.isolated_atoms)
    if plan.checked:
        add("check of data", 1, labels=f"+ {plan.checked}")
    if plan.warm_start:
        add("final training", 1, trainings=1)
    if plan.of_starts:
        add("comparison of starts", 1, trainings=plan.of_starts)
    if plan.of_control:
        add("comparison of arms", 1, trainings=2 * plan.control_trainings - 1)
    if plan.validation.labels:
        add("validation", 1, labels=f"+ {plan.validation.labels}")
    budget = f" (budget {plan.max_labels})" if plan.max_labels else ""
    made.add_section()
    add("in all", steps=plan.md_steps, labels=f"{plan.labels}{budget}", trainings=plan.trainings, style="bold")
    console.print(made)
    if plan.validation.observables:
        parts = ", ".join(f"{key} {count}" for key, count in plan.validation.observables.items())
        console.print(f"Validation asks the reference for single points, each once, on top of the budget: {parts}.")
    if plan.validation.md_steps:
        console.print(
            f"Validation runs {plan.validation.md_steps} steps of the reference's own dynamics, once, on top of the "
            "budget; a step takes up to as long as a label."
        )
