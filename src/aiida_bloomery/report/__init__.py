"""The report of a campaign: one HTML page that needs no network, and its figures as files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_bloomery.report.page import draw, render
from bloomery.errors import DataWarning

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_bloomery.report.figures.drawing import Figure

__all__ = ["draw", "render", "write_report"]


def write_report(campaign: ProcessNode, path: str | Path, figures: str | Path | None = None) -> Path:
    """Write the report of a campaign that runs, has finished or has failed; folders are made if missing.

    Figures go to a folder too if it is given, each as ``.png`` and ``.svg`` with its data as ``.csv``. Raise
    `InputError` if the node is not a campaign.
    """
    from aiida_bloomery.report.collect import collect  # noqa: PLC0415  AiiDA; rendering alone does without

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = collect(campaign)
    for sentence in facts.lost:
        warnings.warn(sentence, DataWarning, stacklevel=2)
    drawn = draw(facts)
    path.write_text(render(facts, drawn), encoding="utf-8")
    if figures is not None:
        write_figures([figure for _, figure in drawn], Path(figures))
    return path


def write_figures(drawn: Sequence[Figure], folder: Path) -> None:
    """Write every figure as PNG and SVG and its data as CSV; the folder is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in drawn:
        for ending, content in figure.files().items():
            (folder / f"{figure.name}{ending}").write_bytes(content)
