"""What a campaign file says about a potential that exists and drives the first sampling: its checks, and its node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_bloomery.campaign_file.campaign import Campaign
from bloomery.engines.installation import needs_environment
from bloomery.errors import BloomeryError, InputError
from bloomery.plugins import registered
from bloomery.potentials.contract import POTENTIAL_FILE
from bloomery.seeds import digest_of_file

if TYPE_CHECKING:
    from aiida.orm import Dict

    from aiida_bloomery.data.potential import PotentialData

KEY = "potential"


def folder_of(campaign: Campaign) -> Path | None:
    """The folder of the potential; ``None`` if it is a node, or there is none."""
    path = campaign.source.path_of(campaign.file.potential or "")
    return path if campaign.file.potential and path.exists() else None


def check_potential(campaign: Campaign) -> None:
    """See that a potential in a folder is one, and knows what it is to drive; a node is looked at with a profile."""
    folder = folder_of(campaign)
    if folder is None:
        return
    with campaign.source.at((KEY,)):
        file = folder / POTENTIAL_FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            engine, elements = str(content["engine"]), list(content["elements"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{campaign.file.potential}: holds no {POTENTIAL_FILE} that says engine and elements; give the folder "
                "that `bloomery train` or an export wrote."
            ) from error
        _check_fit(campaign, engine, elements)


def _check_fit(campaign: Campaign, engine: str, elements: list[str]) -> None:
    """Raise `InputError` if a potential lacks elements, or cannot be loaded by the campaign's programs."""
    missing = [element for element in campaign.structures.elements if element not in elements]
    if missing:
        raise InputError(f"does not know {', '.join(missing)}, which the structures hold; give another.")
    if engine not in registered("engines"):
        raise InputError(f"is of the engine {engine!r}, which is not there; install it, or give another.")
    if needs_environment(engine) and engine != campaign.training.engine.name:
        raise InputError(f"is of the engine {engine!r}, whose program only a campaign that trains with it runs.")


def potential_inputs(campaign: Campaign) -> dict[str, PotentialData | Dict]:
    """``potential``, and ``before``, the history of the campaign that it is of, if it is of one; a profile is loaded.

    Raise `InputError` if there is no such node, or it does not fit.
    """
    if campaign.file.potential is None:
        return {}
    from aiida_bloomery.data.potential import PotentialData  # noqa: PLC0415

    folder = folder_of(campaign)
    if folder is not None:
        node = PotentialData(folder)
        node.label = str(campaign.file.potential)
        return {KEY: node}
    node = _loaded(campaign)
    with campaign.source.at((KEY,)):
        _check_fit(campaign, node.engine, node.elements)
    histories = list(_histories(node))
    return {KEY: node, **({"before": histories[-1]} if histories else {})}


def _loaded(campaign: Campaign) -> Any:
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    from aiida_bloomery.data.potential import PotentialData  # noqa: PLC0415

    name = campaign.file.potential
    try:
        node = orm.load_node(name)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        message = f"{name} is neither a folder nor a node; give a folder, or PK or UUID of a potential."
        raise campaign.source.error((KEY,), message) from error
    if not isinstance(node, PotentialData):
        raise campaign.source.error((KEY,), f"node {name} is no potential but {type(node).__name__}; give another.")
    return node


def _histories(node: Any) -> Iterator[Any]:
    """Histories of campaigns that delivered a potential, the latest last."""
    from aiida import orm  # noqa: PLC0415

    query = orm.QueryBuilder().append(type(node), filters={"uuid": str(node.uuid)}, tag=KEY)
    query.append(orm.WorkChainNode, with_outgoing=KEY, edge_filters={"type": "return", "label": KEY}, tag="campaign")
    query.append(orm.Dict, with_incoming="campaign", edge_filters={"label": "history"}, tag="history", project="*")
    yield from query.order_by({"history": {"id": "asc"}}).all(flat=True)


def potential_digest(campaign: Campaign) -> str:
    """What tells the potential from others: the content of its folder, or its UUID."""
    folder = folder_of(campaign)
    try:
        return digest_of_file(folder) if folder is not None else str(_loaded(campaign).uuid)
    except BloomeryError:
        return str(campaign.file.potential)
