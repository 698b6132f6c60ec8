"""`selection`: how the frames of a pool came to be labelled, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from aiida_bloomery.cli.options import console, json_option, loaded, pk_argument, print_json, profile_option, table
from bloomery.errors import InputError

if TYPE_CHECKING:
    from aiida_bloomery.provenance.selections import SelectionRecord


@click.command("selection")
@pk_argument
@click.option("--iteration", type=click.IntRange(min=0), help="Only of this iteration; 0 is the bootstrap.")
@click.option("--frame", metavar="POOL:INDEX", help="What became of this frame; or the beginning of its content hash.")
@profile_option
@json_option
def selection_command(pk: str, iteration: int | None, frame: str | None, profile: str | None, as_json: bool) -> None:
    """Show how many frames came in, what each selector dropped and why, and what became of a frame.

    PK is a campaign, or a selection.
    """
    loaded(profile)
    from aiida_bloomery.provenance.selections import selections  # noqa: PLC0415

    records = selections(_node(pk))
    if iteration is not None:
        records = [record for record in records if record.iteration == iteration]
        if not records:
            raise InputError(f"--iteration {iteration}: {pk} has no selection of that iteration that is done.")
    if frame is not None and len(records) > 1:
        raise InputError(f"--frame: {pk} has {len(records)} selections; say which with --iteration.")
    if as_json:
        print_json([_facts(record, frame) for record in records])
        return
    for record in records:
        _show(record)
    if frame is not None:
        pool, index = records[0].where(frame)
        console.print(f"{pool}:{index}", style="bold")
        for fate in records[0].fates(pool, index):
            console.print(f"  {fate.line()}", markup=False)


def _node(pk: str) -> Any:
    """Load a campaign by number, UUID or name, or any other node by number or UUID."""
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    try:
        return orm.load_node(int(pk) if pk.isdigit() else pk)
    except (NotExistent, MultipleObjectsError, ValueError):
        return load_campaign_node(pk)


def _facts(record: SelectionRecord, frame: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "pk": record.process.pk,
        "iteration": record.iteration,
        "pools": {key: node.n_frames for key, node in record.pools.items()},
        "funnels": record.funnels(),
    }
    if frame is not None:
        pool, index = record.where(frame)
        facts["frame"] = {"pool": pool, "index": index, "fates": [vars(fate) for fate in record.fates(pool, index)]}
    return facts


def _show(record: SelectionRecord) -> None:
    """Print the funnels of a selection as tables."""
    named = {0: "bootstrap", -1: "selection"}.get(record.iteration, f"iteration {record.iteration}")
    pools = ", ".join(f"{node.n_frames} of {escape(key)}" for key, node in record.pools.items())
    console.print(f"[bold]{named}[/bold] <{record.process.pk}>: {pools}")
    for arm, funnel in record.funnels().items():
        if arm == "control":
            console.print("  control arm")
        shown = table("selector", "came in", "dropped", "left", "why", left=("selector", "why"))
        for step in funnel:
            dropped = step["came_in"] - step["left"]
            told = dict(step["reasons"])
            others = dropped - sum(told.values())
            if others:
                told["others were wanted more"] = others
            why = "; ".join(f"{count} {reason}" for reason, count in told.items())
            shown.add_row(escape(step["selector"]), str(step["came_in"]), str(dropped), str(step["left"]), escape(why))
        console.print(shown)
