"""The report of a campaign: one HTML page that needs neither network nor JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiida_bloomery.report.page import render

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = ["render", "write_report"]


def write_report(campaign: ProcessNode, path: str | Path) -> Path:
    """Write the report of a campaign that runs, has finished or has failed.

    Parameters
    ----------
    campaign
        Node of a `ReinforcementWorkChain`.
    path
        File to write; its folder is made if missing.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the node is not a campaign.
    """
    from aiida_bloomery.report.collect import collect  # noqa: PLC0415  AiiDA; rendering alone does without

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(collect(campaign)), encoding="utf-8")
    return path
