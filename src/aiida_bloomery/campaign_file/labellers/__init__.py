"""What a campaign file may say of each labeller: one file per labeller, named like it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from typing import cast

from aiida_bloomery.campaign_file.labellers.contract import LabellerPart

PREFIX = "bloomery.labelling."


def labeller_names() -> list[str]:
    """Names of the registered labelling workchains."""
    points = entry_points(group="aiida.workflows")
    return sorted(point.name.removeprefix(PREFIX) for point in points if point.name.startswith(PREFIX))


def labeller_part(name: str) -> type[LabellerPart]:
    """Return what describes a labeller's part of the file: ours from its module here, others from their workchain.

    Raises
    ------
    LookupError
        If there is no such labeller.
    """
    module = f"{__name__}.{name}"
    if name not in labeller_names():
        raise LookupError(name)
    if name.isidentifier() and importlib.util.find_spec(module) is not None:
        return cast("type[LabellerPart]", importlib.import_module(module).Part)
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    return cast("type[LabellerPart]", WorkflowFactory(f"{PREFIX}{name}").CampaignPart)
