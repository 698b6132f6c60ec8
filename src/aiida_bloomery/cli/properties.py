"""`learn`: a model of a property beyond the energy, in the graph."""

from __future__ import annotations

import time
from pathlib import Path

import click

from aiida_bloomery.cli.options import console, json_option, loaded, print_json, profile_option
from bloomery.errors import InputError
from bloomery.program.plain_files import check_new_folder, parse_assignments
from bloomery.properties.evaluation import told_errors
from bloomery.properties.laws import property_named

FAILED = 1
REFRESH = 0.5


@click.command("learn")
@click.argument("name", metavar="PROPERTY")
@click.argument("source", nargs=-1, required=True, metavar="FILE...|CAMPAIGN")
@click.option("--model", default="equivariant_ridge", show_default=True, help="Which model.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Setting of the model.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice.")
@click.option("--out", metavar="FOLDER", help="Write the model there too.")
@click.option("--detach", is_flag=True, help="Print the PK and do not wait.")
@profile_option
@json_option
def learn_command(
    name: str,
    source: tuple[str, ...],
    model: str,
    assignments: tuple[str, ...],
    seed: int,
    out: str | None,
    *,
    detach: bool,
    profile: str | None,
    as_json: bool,
) -> None:
    """Learn a property, such as the dipole, from the labels of a campaign or of files, and measure it on the probe.

    Example: aiida-bloomery learn dipole water
    """
    wanted = property_named(name)
    folder = None if out is None else check_new_folder(out)
    if folder is not None and detach:
        raise click.UsageError("--out needs the model, which --detach does not wait for.")
    settings = parse_assignments(assignments)
    home = loaded(profile)
    from aiida.engine import submit  # noqa: PLC0415

    from aiida_bloomery import services  # noqa: PLC0415
    from aiida_bloomery.submission.properties import learnt, property_builder  # noqa: PLC0415
    from bloomery.plugins import PluginSpec  # noqa: PLC0415

    builder = property_builder(source, wanted, PluginSpec(name=model, settings=settings), seed=seed)
    for note in services.ensure(home):
        click.echo(f"Note: {note}", err=True)
    pk = int(submit(builder).pk)
    if detach:
        click.echo(pk)
        return
    try:
        while (found := learnt(pk)).active:
            time.sleep(REFRESH)
    except KeyboardInterrupt:
        console.print(f"\nDetached. It goes on: `verdi process show {pk}` says what comes of it.")
        return
    if folder is not None and found.model is not None:
        _write(found.model, folder)
    if as_json:
        print_json({"pk": pk, "property": wanted, **vars(found)})
    elif found.message:
        raise InputError(f"learn <{pk}>: {found.message}")
    else:
        console.print(f"{model} of the {wanted} from {found.n_frames} frames: node {found.model}", highlight=False)
        for role, errors in found.errors.items():
            console.print(f"{role.replace('_', ' ')}: {told_errors(errors)}", highlight=False)
        if not found.errors:
            console.print("no labelled frame was kept from it, so its error is not known", highlight=False)
    if found.message:
        raise click.exceptions.Exit(FAILED)


def _write(pk: int, folder: Path) -> None:
    from aiida import orm  # noqa: PLC0415

    orm.load_node(pk).export_to(folder)
