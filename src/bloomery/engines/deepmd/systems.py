"""Frames as DeePMD-kit takes them: together those of the same atoms in the same order, periodic or open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.preparation import boxed
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.labels import LEARNT

TENSOR = (0, 5, 4, 5, 1, 3, 4, 3, 2)
"""Where the nine components of a tensor are in Voigt's order."""


@dataclass(frozen=True)
class Group:
    """Frames of one list of atoms."""

    frames: NDArray[np.int64]
    """Which they are, ``(n,)``."""
    types: NDArray[np.int64]
    """Place of each atom's element in the list of elements, ``(a,)``."""
    coordinates: NDArray[np.float64]
    """``(n, 3 a)`` in Å."""
    cells: NDArray[np.float64] | None
    """``(n, 9)`` in Å, or ``None`` for open frames."""


def groups(frames: Configurations, elements: list[str], cutoff: float) -> Iterator[Group]:
    """Sort frames by their lists of atoms; partly periodic ones are put into boxes with enough empty space."""
    numbers = np.array(symbols_to_numbers(elements))
    order = np.argsort(numbers)
    members: dict[tuple[bytes, bool], list[int]] = {}
    offsets = frames.offsets
    for frame in range(len(frames)):
        atoms = frames.numbers[offsets[frame] : offsets[frame + 1]]
        members.setdefault((atoms.tobytes(), bool(frames.pbc[frame].any())), []).append(frame)
    for (_, periodic), indices in members.items():
        images = frames[indices].to_atoms()
        if periodic:
            images = [boxed(one, cutoff) for one in images]
        types = order[np.searchsorted(numbers[order], images[0].numbers)]
        yield Group(
            np.array(indices),
            types,
            np.array([one.positions.ravel() for one in images]),
            np.array([one.cell.array.ravel() for one in images]) if periodic else None,
        )


def write_systems(frames: Configurations, elements: list[str], cutoff: float, folder: Path) -> list[tuple[Path, int]]:
    """Write labelled frames, and return the folders with the number of frames in each.

    A folder holds frames with the same labels: DeePMD-kit leaves a label out where its file is missing.
    """
    written: list[tuple[Path, int]] = []
    masks = np.array([frames.has(name) for name in LEARNT])
    masks[2] &= frames.pbc.all(axis=1) & (frames.volumes > 0)
    for present in np.unique(masks, axis=1).T:
        chosen = np.flatnonzero((masks == present[:, None]).all(axis=0))
        part = frames[chosen]
        energy, forces, stress = (part.label(name)[0] for name in LEARNT)
        offsets = part.offsets
        for group in groups(part, elements, cutoff):
            place = folder / f"system_{len(written)}"
            (place / "set.000").mkdir(parents=True)
            (place / "type.raw").write_text("\n".join(map(str, group.types)) + "\n", encoding="utf-8")
            (place / "type_map.raw").write_text("\n".join(elements) + "\n", encoding="utf-8")
            arrays = {"coord": group.coordinates}
            if group.cells is None:
                (place / "nopbc").touch()
            else:
                arrays["box"] = group.cells
            if present[0]:
                arrays["energy"] = energy[group.frames]
            if present[1]:
                arrays["force"] = np.array([forces[offsets[i] : offsets[i + 1]].ravel() for i in group.frames])
            if present[2]:
                arrays["virial"] = -(stress * part.volumes[:, None])[group.frames][:, TENSOR]
            for name, array in arrays.items():
                np.save(place / "set.000" / f"{name}.npy", array, allow_pickle=False)
            written.append((place, len(group.frames)))
    return written
