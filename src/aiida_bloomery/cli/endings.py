"""`end`, `archive` and `delete`: what becomes of a campaign besides its results."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import click

from aiida_bloomery.cli.options import console, loaded, pk_argument, plain, profile_option, to_option
from bloomery.program.console import printable

PATIENCE = 120.0
"""Seconds that a campaign may take to end; jobs on a cluster are cancelled meanwhile."""


@click.command("end")
@pk_argument
@profile_option
def end_command(pk: str, profile: str | None) -> None:
    """End a campaign and its jobs. What it has computed stays, for report and export; labels of pw.x are used again."""
    from aiida_bloomery import services  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from bloomery.errors import BloomeryError  # noqa: PLC0415

    home = loaded(profile)
    from aiida.engine.processes.control import ProcessTimeoutException, kill_processes  # noqa: PLC0415

    node = load_campaign_node(pk)
    if node.is_terminated:
        console.print(f"Campaign {plain(node.label)}, PK {node.pk}, has ended already.")
        return
    for sentence in services.ensure(home):
        console.print(f"[yellow]{plain(sentence)}[/]")
    _quiet()  # it reports as an error that a campaign with jobs does not end at once
    try:
        kill_processes([node], msg_text="Ended by its user.", timeout=PATIENCE)
    except ProcessTimeoutException as error:
        raise BloomeryError(f"campaign {node.pk} does not answer ({error}); try again.") from error
    deadline = time.monotonic() + PATIENCE
    while not node.is_terminated:
        if time.monotonic() > deadline:
            raise BloomeryError(f"campaign {node.pk} has not ended within {PATIENCE:.0f} s; try again.")
        time.sleep(0.5)
    console.print(f"Campaign {plain(node.label)}, PK {node.pk}, is ended; its data are kept.")


@click.command("archive")
@pk_argument
@to_option("file", "File to write; by default NAME-PK.aiida.")
@profile_option
def archive_command(pk: str, file: Path | None, profile: str | None) -> None:
    """Write a campaign with its whole provenance into one file, which `verdi archive import` reads in another home."""
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from bloomery.errors import InputError  # noqa: PLC0415

    home = loaded(profile)
    from aiida.tools.archive import create_archive  # noqa: PLC0415

    node = load_campaign_node(pk)
    if not node.is_terminated:
        raise InputError(f"campaign {node.pk} runs; wait for its end, or `aiida-bloomery end {node.pk}`.")
    path = file or Path(f"{node.label}-{node.pk}.aiida")
    if path.exists():
        raise InputError(f"{path}: is there already; give another file with --to.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; make it first.")
    _quiet()
    create_archive([node], path, call_calc_backward=False, call_work_backward=False)
    console.print(f"Wrote {plain(path)}. To read it in another home: verdi archive import {plain(path)}")
    if home.own:
        console.print(f"  (there first: {home.export_line.replace(str(home.folder), 'FOLDER')})")


@click.command("delete")
@pk_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@profile_option
def delete_command(pk: str, yes: bool, profile: str | None) -> None:
    """Delete a campaign, its jobs and what they made, labels included. Other campaigns stay as they are."""
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from bloomery.errors import InputError  # noqa: PLC0415

    loaded(profile)
    from aiida import orm  # noqa: PLC0415
    from aiida.tools import delete_nodes  # noqa: PLC0415

    node = load_campaign_node(pk)
    if not node.is_terminated:
        raise InputError(f"campaign {node.pk} runs; end it first: `aiida-bloomery end {node.pk}`.")
    _quiet()
    rules: dict[str, Any] = {"create_forward": True, "call_calc_forward": True, "call_work_forward": True}
    doomed, _ = delete_nodes([node.pk], dry_run=True, **rules)
    own = {node.pk, *(child.pk for child in node.called_descendants)}
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": {"in": list(doomed - own)}})
    others = [other for other in query.all(flat=True) if other.caller is None]
    if others:
        names = ", ".join(f"{other.label or other.process_label} ({other.pk})" for other in others)
        raise InputError(f"campaign {node.pk} made data that {names} used; it stays, unless these are deleted first.")
    what = f"campaign {node.label}, PK {node.pk}, of {node.ctime:%Y-%m-%d %H:%M}: {len(doomed)} nodes"
    if not yes and not click.confirm(f"Delete {printable(what)}?"):
        return
    delete_nodes([node.pk], dry_run=False, **rules)
    console.print(f"Deleted {plain(what)}.")


def _quiet() -> None:
    """Keep AiiDA from telling on standard error what we say ourselves."""
    logging.getLogger("aiida").setLevel(logging.CRITICAL)
