"""`report`, `lineage`, `ledger` and `export`: what a campaign gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.options import (
    console,
    json_option,
    loaded,
    pk_argument,
    plain,
    print_json,
    profile_option,
    table,
    to_option,
)
from bloomery.campaign.words import name_of
from bloomery.errors import BloomeryError

if TYPE_CHECKING:
    from aiida_bloomery.provenance.lineage import Lineage

REPORT_FILE = "report.html"
HASH_DIGITS = 10
"""So many digits are the beginning of a content hash, and no index."""


@click.command("report")
@pk_argument
@to_option("file", "The page, or a folder for it; by default NAME-report.html.")
@click.option(
    "--figures/--no-figures",
    default=True,
    show_default=True,
    help="Write the figures as PNG and SVG too, and their data as CSV, to a folder beside the page.",
)
@profile_option
def report_command(pk: str, file: Path | None, figures: bool, profile: str | None) -> None:
    """Write the report of a campaign: one HTML page that needs nothing else, and its figures as files."""
    loaded(profile)
    from aiida_bloomery.provenance.progress import campaign_state, load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.report import write_report  # noqa: PLC0415

    node = load_campaign_node(pk)
    state = campaign_state(node.pk)
    for sentence in filter(None, (state.starts, state.control)):
        click.echo(f"Note: {sentence}", err=True)
    name = f"{node.label or node.pk}-{REPORT_FILE}"
    file = file / name if file is not None and file.is_dir() else file or Path(name)
    folder = file.with_name(f"{file.stem}-figures") if figures else None
    click.echo(write_report(node, file, folder))
    if folder is not None:
        click.echo(folder)


@click.command("lineage")
@pk_argument
@click.option(
    "--frame",
    metavar="FRAME",
    help="Index in the data set, over its batches in order, or the name that `ledger` prints, such as 2:5.",
)
@click.option("--observable", metavar="NAME", help="An observable of the delivered potential, such as infrared.")
@profile_option
@json_option
def lineage_command(pk: str, frame: str | None, observable: str | None, profile: str | None, as_json: bool) -> None:
    """Trace a frame back: label <- selection <- sampling <- potential <- its training set, and the start.

    PK is a campaign, or a node with configurations. With --observable a spectrum, or another observation of a campaign,
    is traced back to potential, models of properties and every label that they learnt.
    """
    if (frame is None) == (observable is None):
        raise click.UsageError("Give either --frame or --observable.")
    loaded(profile)
    from aiida_bloomery.provenance.observation import observation_origin  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    found = observation_origin(load_campaign_node(pk), str(observable)) if frame is None else _of_frame(pk, frame)
    if as_json:
        print_json(found.as_dict())
        return
    for line in found.lines():
        click.echo(line)


def _of_frame(pk: str, frame: str) -> Lineage:
    """The lineage of a frame of a campaign, or of a node with configurations."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415
    from aiida_bloomery.provenance.lineage import lineage  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    query = orm.QueryBuilder().append(
        ConfigurationsData, filters={"or": [{"id": int(pk) if pk.isdigit() else 0}, {"uuid": pk}]}
    )
    place = int(frame) if frame.isdigit() and len(frame) < HASH_DIGITS else frame
    return lineage(query.first(flat=True) or load_campaign_node(pk), place)


@click.command("ledger")
@pk_argument
@click.option("--failed", is_flag=True, help="Only frames without a label.")
@click.option("--suspect", is_flag=True, help="Only labels that are kept out of training until somebody says a word.")
@click.option("--cost", is_flag=True, help="Core-seconds by frame, batch and outcome.")
@profile_option
@json_option
def ledger_command(pk: str, failed: bool, suspect: bool, cost: bool, profile: str | None, as_json: bool) -> None:
    """Show what happened to every frame that was to be labelled, and what was said of its label.

    `accept`, `set-aside`, `retract` and `retry` take frames by the names in the first column.
    """
    loaded(profile)
    from aiida_bloomery.provenance import ledger  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    campaign = load_campaign_node(pk)
    found, said = ledger.entries(campaign), ledger.words(campaign)
    summary = ledger.summarise(found)
    wanted = {name for name, is_wanted in (("failed", failed), ("suspect", suspect)) if is_wanted}
    shown = [entry for entry in found if not wanted or entry["outcome"] in wanted]
    spent = {key: ledger.costs_by(found, key) for key in ("batch", "outcome")} if cost else {}
    if as_json:
        facts: dict[str, object] = {"summary": vars(summary), "entries": shown, "words": [one.sentence for one in said]}
        if cost:
            facts["cost"] = {by: {name: one.as_dict() for name, one in costs.items()} for by, costs in spent.items()}
            facts["entries"] = [{**entry, "core_seconds": _core_seconds(entry)} for entry in shown]
        print_json(facts)
        return
    magnetic = ["moment, μB"] if any(entry.get("moments") for entry in shown) else []
    titles = ["frame", "outcome", "attempts", "seconds", *(["core-s"] if cost else []), *magnetic]
    titles += ["exit code", "job", "reason"]
    listed = table(*titles, left=titles)
    for entry in shown:
        known = (_name(entry), entry["outcome"].replace("_", " "), entry["attempts"])
        seconds = [f"{entry['seconds']:.1f}", *([f"{_core_seconds(entry):.1f}"] if cost else [])]
        seconds += [_moment(entry) for _ in magnetic]
        reason = " ".join(filter(None, [entry["reason"], entry.get("lacks", ""), entry.get("word", "")]))
        listed.add_row(*map(str, known), *seconds, str(entry["exit_code"] or ""), entry["job"][:8], plain(reason))
    console.print(listed)
    for by, costs in spent.items():
        made = table(by, "frames", "attempts", "core-s", left=(by,))
        for name, one in costs.items():
            made.add_row(name, str(one.frames), str(one.attempts), f"{one.core_seconds:.1f}")
        console.print(made)
    for told in said:
        console.print(plain(told.sentence))
    outcomes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.outcomes.items())
    console.print(f"{outcomes}; {summary.attempts} attempts, {summary.seconds:.0f} s")


def _name(entry: dict[str, Any]) -> str:
    return name_of(entry["batch"], entry["frame"]) if "batch" in entry else str(entry["frame"])


def _moment(entry: dict[str, Any]) -> str:
    """Total moment, and the absolute one in bars."""
    moments = entry.get("moments", {})
    total = f"{moments['magmom']:.2f}" if "magmom" in moments else ""
    return f"{total} |{moments['absolute_magmom']:.2f}|" if "absolute_magmom" in moments else total


def _core_seconds(entry: dict[str, Any]) -> float:
    from aiida_bloomery.provenance.ledger import cores_of_frame  # noqa: PLC0415

    return float(entry["seconds"]) * cores_of_frame(entry)


@click.command("export")
@pk_argument
@to_option("folder", "The folder; by default results/NAME.")
@profile_option
@json_option
def export_command(pk: str, folder: Path | None, profile: str | None, as_json: bool) -> None:
    """Write data set, potential, manifest and report to a folder. An earlier export there is replaced."""
    loaded(profile)
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    node = load_campaign_node(pk)
    paths = deliver(node.pk, folder or Path("results") / (node.label or str(node.pk)), strict=True)
    if as_json:
        print_json(paths)
        return
    for name, path in paths.items():
        console.print(f"{name}: {plain(path)}")


def deliver(pk: int, folder: Path, *, strict: bool = False) -> dict[str, str]:
    """Export a campaign and write its report beside the rest; return what is where.

    It is an error if there is nothing to export yet only if this is ``strict``.
    """
    from aiida_bloomery.provenance.export import DATA_SET_FILE, MANIFEST_FILE, POTENTIAL_FOLDER, export  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.report import write_report  # noqa: PLC0415

    node = load_campaign_node(pk)
    paths = {}
    try:
        folder = export(node, folder)
    except BloomeryError:
        if strict:
            raise
    else:
        parts = {"data set": DATA_SET_FILE, "potential": POTENTIAL_FOLDER, "manifest": MANIFEST_FILE}
        paths = {name: str(folder / part) for name, part in parts.items() if (folder / part).exists()}
    report = folder.with_name(f"{folder.name}-{REPORT_FILE}")
    paths["report"] = str(write_report(node, report).absolute())
    return paths
