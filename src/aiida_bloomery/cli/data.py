"""``verdi data bloomery``: list, show and export configurations and potentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from aiida.cmdline.groups import VerdiCommandGroup
from aiida.cmdline.params import types
from aiida.cmdline.utils import decorators, echo
from tabulate import tabulate

from aiida_bloomery.cli.options import json_option, print_json, to_option

CONFIGURATIONS = types.DataParamType(sub_classes=("aiida.data:bloomery.configurations",))
POTENTIAL = types.DataParamType(sub_classes=("aiida.data:bloomery.potential",))

limit_option = click.option(
    "--limit", "-l", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many, the latest ones."
)
force_option = click.option("--force", "-f", is_flag=True, help="Write over what is there.")


@click.group("bloomery", cls=VerdiCommandGroup)
def cmd_bloomery() -> None:
    """Look at configurations and potentials of aiida-bloomery."""


@cmd_bloomery.group("configurations", cls=VerdiCommandGroup)
def cmd_configurations() -> None:
    """Many configurations in one node, with labels, roles and origin."""


@cmd_bloomery.group("potential", cls=VerdiCommandGroup)
def cmd_potential() -> None:
    """Fitted potentials."""


# -- configurations --------------------------------------------------------------------------------------------------


@cmd_configurations.command("list")
@click.option("--labelled", is_flag=True, help="Only those with labels.")
@limit_option
@json_option
@decorators.with_dbenv()
def configurations_list(labelled: bool, limit: int, as_json: bool) -> None:
    """List nodes with configurations."""
    from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415

    filters = {"attributes.labels": {"has_key": "energy"}} if labelled else {}
    rows = [_configurations_row(node) for node in _latest(ConfigurationsData, filters, limit)]
    _print_rows(rows, as_json)


@cmd_configurations.command("show")
@click.argument("node", type=CONFIGURATIONS)
@json_option
@decorators.with_dbenv()
def configurations_show(node: Any, as_json: bool) -> None:
    """Show what is known of the frames of a node."""
    _print_facts(_node_facts(node) | dict(node.base.attributes.all), as_json)


@cmd_configurations.command("export")
@click.argument("node", type=CONFIGURATIONS)
@to_option("path", "File to write: .extxyz or .npz.", required=True)
@click.option("--frames", help="Only these frames, such as 0,3,5-9.")
@click.option("--role", help="Only frames of this role: probe, train, early_stopping or calibration.")
@force_option
@decorators.with_dbenv()
def configurations_export(node: Any, path: Path, frames: str | None, role: str | None, force: bool) -> None:
    """Write the frames of a node to a file."""
    configurations = node.configurations
    if frames is not None:
        configurations = configurations[parse_frames(frames, node.n_frames)]
    if role is not None:
        if role not in node.base.attributes.get("roles"):
            echo.echo_critical(f"node {node.pk} has no frame of the role {role!r}.")
        configurations = configurations[configurations.info["role"] == role]
    if path.suffix not in {".extxyz", ".xyz", ".npz"}:
        echo.echo_critical(f"{path}: the name must end in .extxyz, .xyz or .npz.")
    if path.exists() and not force:
        echo.echo_critical(f"{path}: is there already; choose another name, or write over it with --force.")
    if path.suffix == ".npz":
        configurations.save(path)
    else:
        configurations.write_extxyz(path)
    echo.echo_success(f"wrote {len(configurations)} frame(s) to {path}")


def parse_frames(text: str, n_frames: int) -> list[int]:
    """Read indices such as ``0,3,5-9``; raise `click.BadParameter` if they are none, or there is no such frame."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise click.BadParameter(f"{part.strip()!r} is no index or range; write them as 0,3,5-9.")
        found += range(int(first), int(last or first) + 1)
    beyond = [index for index in found if index >= n_frames]
    if beyond:
        raise click.BadParameter(f"there is no frame {beyond[0]}; the node has {n_frames}, counted from 0.")
    return found


# -- potentials ------------------------------------------------------------------------------------------------------


@cmd_potential.command("list")
@limit_option
@json_option
@decorators.with_dbenv()
def potential_list(limit: int, as_json: bool) -> None:
    """List potentials."""
    from aiida_bloomery.data.potential import PotentialData  # noqa: PLC0415

    _print_rows([_potential_row(node) for node in _latest(PotentialData, {}, limit)], as_json)


@cmd_potential.command("show")
@click.argument("node", type=POTENTIAL)
@json_option
@decorators.with_dbenv()
def potential_show(node: Any, as_json: bool) -> None:
    """Show what is known of a potential."""
    _print_facts(_node_facts(node) | dict(node.base.attributes.all), as_json)


@cmd_potential.command("export")
@click.argument("node", type=POTENTIAL)
@to_option("path", "Folder to write, new or empty.", required=True)
@force_option
@decorators.with_dbenv()
def potential_export(node: Any, path: Path, force: bool) -> None:
    """Write the files of a potential into a folder, from which `bloomery` and ASE can use it."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())) and not force:
        echo.echo_critical(f"{path}: is not an empty folder; choose another, or write into it with --force.")
    node.export_to(path)
    echo.echo_success(f"wrote the potential to {path}")


# -- what they share -------------------------------------------------------------------------------------------------


def _latest(cls: Any, filters: dict[str, Any], limit: int) -> list[Any]:
    from aiida import orm  # noqa: PLC0415

    builder = orm.QueryBuilder().append(cls, filters=filters, tag="node").order_by({"node": {"id": "desc"}})
    return list(builder.limit(limit).all(flat=True))


def _node_facts(node: Any) -> dict[str, Any]:
    creator = node.creator
    return {
        "pk": node.pk,
        "uuid": str(node.uuid),
        "label": node.label,
        "created": node.ctime.strftime("%Y-%m-%d %H:%M"),
        "made by": f"{creator.process_label}<{creator.pk}>" if creator is not None else "",
    }


def _configurations_row(node: Any) -> dict[str, Any]:
    facts, attributes = _node_facts(node), node.base.attributes.all
    return {
        **{key: facts[key] for key in ("pk", "created")},
        "frames": attributes["n_frames"],
        "atoms": attributes["n_atoms"],
        "formulas": ", ".join(attributes["formulas"][:3]) + (", ..." if len(attributes["formulas"]) > 3 else ""),
        "labels": ", ".join(attributes["labels"]),
        "roles": ", ".join(f"{role} {n}" for role, n in attributes["roles"].items()),
        "made by": facts["made by"],
        "label": facts["label"],
    }


def _potential_row(node: Any) -> dict[str, Any]:
    facts, trained_on = _node_facts(node), node.base.attributes.get("trained_on", None) or {}
    return {
        **{key: facts[key] for key in ("pk", "created")},
        "engine": node.engine,
        "elements": ", ".join(node.elements),
        "members": node.members,
        "trained on": trained_on.get("frames", ""),
        "label": facts["label"],
    }


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        click.echo(tabulate(rows, headers="keys"))
    else:
        click.echo("There are none.")


def _print_facts(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    rows = [(key, _text(value)) for key, value in facts.items() if value not in ("", {}, [])]
    click.echo(tabulate(rows, tablefmt="plain"))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
