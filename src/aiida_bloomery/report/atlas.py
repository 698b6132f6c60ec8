"""The data set as the page's map carries it: where each frame lies, what is known of it, and its structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from ase.symbols import Symbols
from numpy.typing import NDArray

from aiida_bloomery.report.facts import DataSet
from aiida_bloomery.report.packing import BLOCK, pack, packed_json
from bloomery.frames.configurations import Configurations

MAX_ATOMS = 800_000
"""Structures of more atoms than this are left out, evenly over the data set: so the page stays below 15 MB."""

TITLES: dict[str, str] = {
    "iteration": "iteration",
    "role": "role",
    "rule": "selected by",
    "score": "score there",
    "sampler": "sampler",
    "pool": "pool",
    "trajectory": "trajectory",
    "step": "step",
    "temperature": "temperature (K)",
    "disagreement": "disagreement when sampled (meV/Å)",
    "error_before": "force RMSE before it was learned from (meV/Å)",
    "error_now": "force RMSE of the present potential (meV/Å)",
    "energy": "energy (eV/atom)",
    "stop_reason": "end of its trajectory",
    "driven_by": "potential that drove it",
    "parent_uuid": "node that it was selected into",
    "parent_index": "frame of that node",
    "label_uuid": "label calculation",
    "label_folder": "folder of the frame in it",
    "hash": "content hash",
}
"""What is told of a frame, in this order, and how it is called."""
COLOURS = ("iteration", "role", "sampler", "error_before", "error_now", "disagreement", "energy", "temperature", "rule")
"""What the map can be coloured by."""
LOGARITHMIC = frozenset({"error_before", "error_now", "disagreement"})
"""What spans orders of magnitude; told in thousandths of the unit that it is kept in."""


@dataclass(frozen=True)
class Atlas:
    """What the page's script unpacks, and how many frames and structures are in the page, and drawn on the map."""

    columns: str
    """Deflated JSON in base64: elements, map, and everything that is known of each frame."""
    blocks: list[str]
    """Structures; see `aiida_bloomery.report.packing`."""
    n_frames: int
    n_structures: int
    n_drawn: int


def atlas(data: DataSet, *, max_atoms: int = MAX_ATOMS) -> Atlas:
    """Pack a data set for the page; ``max_atoms`` is how many its structures may have together."""
    frames = data.configurations
    kept = _kept(frames.counts, max_atoms)
    place = np.full(len(frames), -1)
    place[kept] = np.arange(len(kept))
    shown = frames[kept]
    content = {
        "n": len(frames),
        "block": BLOCK,
        "counts": shown.counts.tolist(),
        "structure": place.tolist(),
        "pbc": (frames.pbc @ np.array([1, 2, 4])).tolist(),
        "formula": _texts(_formulas(frames)),
        "elements": [_element(symbol) for symbol in shown.elements],
        "map": _map(data),
        "iteration": data.iteration.tolist(),
        "index": data.index.tolist(),
        "columns": _columns(data),
    }
    drawn = len(data.map.frames) if data.map is not None else 0
    return Atlas(packed_json(content), pack(shown), len(frames), len(kept), drawn)


def values_of(data: DataSet, name: str) -> list[Any] | None:
    """Return a column that the map knows, one value per frame; ``None`` if nothing is known."""
    if name == "iteration":
        return data.iteration.tolist()
    if name == "energy":
        energy, mask = data.configurations.label("energy")
        per_atom = energy / np.maximum(data.configurations.counts, 1)
        values: list[Any] = [float(value) if known else None for value, known in zip(per_atom, mask, strict=True)]
        return values if any(mask) else None
    found = data.columns.get(name)
    if found is not None and name in LOGARITHMIC:
        return [None if value is None else 1000 * float(value) for value in found]
    return None if found is None else list(found)


def _kept(counts: NDArray[np.int64], max_atoms: int) -> NDArray[np.int64]:
    """Frames whose structures fit, evenly spread."""
    share = min(1.0, max_atoms / max(1, int(counts.sum())))
    return np.flatnonzero(np.diff(np.floor(np.arange(len(counts) + 1) * share)) > 0)


def _formulas(frames: Configurations) -> list[str]:
    """Chemical formula of each frame; frames with the same atoms in the same order are asked once."""
    atoms = [frames.numbers[start:end] for start, end in pairwise(frames.offsets)]
    different = {numbers.tobytes(): numbers for numbers in atoms}
    formulas = {key: str(Symbols(numbers).formula.format("hill")) for key, numbers in different.items()}
    return [formulas[numbers.tobytes()] for numbers in atoms]


def _element(symbol: str) -> dict[str, Any]:
    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * float(part)) for part in jmol_colors[number])
    return {"symbol": symbol, "radius": round(float(covalent_radii[number]), 2), "colour": [red, green, blue]}


def _map(data: DataSet) -> dict[str, Any]:
    """Coordinates on a grid of ten thousand along each axis, and which frames they are of."""
    if data.map is None or not len(data.map.frames):
        return {"frames": [], "x": [], "y": [], "shares": [0, 0]}
    low, high = data.map.coordinates.min(axis=0), data.map.coordinates.max(axis=0)
    grid = np.rint(10000 * (data.map.coordinates - low) / np.where(high > low, high - low, 1)).astype(int)
    return {
        "frames": data.map.frames.tolist(),
        "x": grid[:, 0].tolist(),
        "y": grid[:, 1].tolist(),
        "shares": [round(float(share), 4) for share in data.map.shares],
    }


def _columns(data: DataSet) -> list[dict[str, Any]]:
    result = []
    for name, title in TITLES.items():
        values = values_of(data, name)
        if values is None:
            continue
        column = {"name": name, "title": title, "colours": name in COLOURS, "logarithmic": name in LOGARITHMIC}
        if any(isinstance(value, str) for value in values):
            column |= _texts(values)
        else:
            column["values"] = [float(f"{value:.6g}") if isinstance(value, float) else value for value in values]
        result.append(column)
    return result


def _texts(values: Sequence[Any]) -> dict[str, Any]:
    """Every text once, and which of them each frame has; -1 for none."""
    words = list(dict.fromkeys(str(value) for value in values if value is not None))
    place = {word: index for index, word in enumerate(words)}
    return {"words": words, "values": [-1 if value is None else place[str(value)] for value in values]}
