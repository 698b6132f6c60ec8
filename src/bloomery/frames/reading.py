"""Frames from files that others wrote, read in pieces, and what is odd about them said.

Every format goes through one gate: what a frame carries is looked through for labels by their names
(`bloomery.frames.labels`), numbers are checked, and what is left out is named in a `DataWarning`.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import DataWarning, InputError
from bloomery.frames.formats import ReadAs, atoms_in
from bloomery.frames.geometry import degenerate_cell
from bloomery.frames.labels import (
    Doubt,
    carried,
    column_of,
    contradictions,
    find_labels,
    is_label_name,
    looks_like_label,
)
from bloomery.frames.states import find_states, is_state, null_spin, state_name

PIECE = 1000
"""Frames that are ASE's atoms at a time: these take ten times the memory of our arrays."""
FARTHEST = 1e6
"""Positions and cell vectors, in Å, are below this in anything that is a structure."""
OWN_ARRAYS = {"numbers", "positions"}
MADE_ANEW = {
    "comment", "id", "type", "occupancy", "spacegroup", "spacegroup_kinds", "unit_cell", "energies", "stresses",
}  # fmt: skip
"""What readers of ASE add, and what a calculator says by atom of what it says of the frame."""
NAMED = 8
"""So many names are listed in one sentence."""


@dataclass(frozen=True)
class Piece:
    """Some frames of a file.

    Parameters
    ----------
    atoms
        The frames.
    labels
        The labels of each, by name, see `bloomery.frames.labels.find_labels`.
    states
        What each says of its state, by name, see `bloomery.frames.states.find_states`.
    """

    atoms: list[ase.Atoms]
    labels: list[dict[str, NDArray[np.float64]]]
    states: list[dict[str, NDArray[np.float64]]]


@dataclass
class _Oddities:
    """What is worth saying of a file, with the frames that it concerns."""

    path: Path
    doubts: dict[tuple[str, str], list[tuple[int, Doubt]]] = field(default_factory=lambda: defaultdict(list))
    unread: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    dropped: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    null_spins: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    held: list[int] = field(default_factory=list)

    def tell(self) -> None:
        """Warn of all of it, in a sentence each."""
        for (taken, other), found in self.doubts.items():
            frame, worst = max(found, key=lambda one: one[1].difference)
            why = ", the energy that forces are derivatives of," if taken.lower().endswith("free_energy") else ""
            self._say(
                f"{taken} and {other} differ in {_frames([index for index, _ in found])}, by up to {worst.told} in "
                f"frame {frame}; {taken}{why} is taken. Remove the one that is not the reference's."
            )
        if self.unread:
            names = _listed(self.unread)
            prefix = next((_prefix(name) for name in self.unread if _prefix(name)), "")
            remedy = f"to make labels of them: bloomery convert --prefix {prefix}" if prefix else "rename what is one"
            frames = sorted({index for found in self.unread.values() for index in found})
            self._say(f"{names} look like labels and are not read, in {_frames(frames)}; {remedy}.")
        if self.dropped:
            frames = sorted({index for found in self.dropped.values() for index in found})
            self._say(f"{_listed(self.dropped)} of {_frames(frames)} are left out: they have no place in a frame here.")
        for name, frames in self.null_spins.items():
            self._say(
                f"{name} is 0 in {_frames(frames)}, which is no multiplicity 2S+1, and is read as not known; write 1 "
                "for a singlet."
            )
        if self.held:
            self._say(
                f"atoms are held in {_frames(self.held)} (constraints, move_mask), which is not heeded; samplers hold "
                "atoms by their setting fixed_atoms."
            )

    def _say(self, text: str) -> None:
        warnings.warn(f"{self.path}: {text}", DataWarning, stacklevel=2)


def pieces(path: Path, how: ReadAs) -> Iterator[Piece]:
    """Read so many frames at a time; warn, at the end, of what was doubtful or left out.

    Raises
    ------
    InputError
        If the file cannot be read, or a frame in it is none; the frame is named.
    """
    odd = _Oddities(path)
    index = 0
    frames = atoms_in(path, how)
    while atoms := list(islice(frames, PIECE)):
        labels, states = [], []
        for frame in atoms:
            labels.append(_looked_at(frame, index, how, odd))
            states.append(_state_of(frame, index, how, odd))
            index += 1
        yield Piece(atoms, labels, states)
    odd.tell()


def _looked_at(frame: ase.Atoms, index: int, how: ReadAs, odd: _Oddities) -> dict[str, NDArray[np.float64]]:
    """Check a frame, note what is odd about it, and return its labels."""
    where = f"{odd.path}: frame {index}"
    problem = absurd(frame.numbers, frame.positions, frame.cell.array, frame.pbc)
    if problem:
        raise InputError(f"{where} {problem}; mend or remove the frame.")
    shared = _shared_site(frame)
    if shared:
        raise InputError(
            f"{where} has {shared} on one site; give a structure in which each site is one atom, or empty."
        )
    everything = carried(frame)
    try:
        found = find_labels(everything, frame, how.prefix)
        doubts = [*found.doubts, *contradictions(frame)]
    except InputError as error:
        raise InputError(f"{where}: {error}.") from error
    for doubt in doubts:
        odd.doubts[doubt.taken, doubt.other].append((index, doubt))
    for name in found.unread:
        odd.unread[name].append(index)
    for name, value in everything.items():
        told = name in found.unread or is_label_name(name, how.prefix) or looks_like_label(name, value, len(frame))
        told = told or is_state(name, of_atoms=name not in frame.info)
        if not told and (name not in frame.info or column_of([value]) is None) and not _trivial(name, value):
            odd.dropped[name].append(index)
    if frame.constraints:
        odd.held.append(index)
    return found.values


def _state_of(frame: ase.Atoms, index: int, how: ReadAs, odd: _Oddities) -> dict[str, NDArray[np.float64]]:
    """What a frame says of its state, but for what is to be left out; what is odd about it is noted."""
    for store in (frame.info, frame.arrays):
        for word in [word for word in store if isinstance(word, str) and state_name(word) in how.without]:
            del store[word]
    unknown = null_spin(frame)
    if unknown is not None:
        odd.null_spins[unknown].append(index)
    try:
        return find_states(frame)
    except InputError as error:
        raise InputError(f"{odd.path}: frame {index}: {error}.") from error


def absurd(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> str:
    """Say what is wrong about a frame that no potential and no reference could take; empty if nothing is."""
    unknown = np.flatnonzero((numbers < 1) | (numbers >= len(chemical_symbols)))
    if len(unknown):
        atom = int(unknown[0])
        return f"has atom {atom} of atomic number {int(numbers[atom])}, which is no element"
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        return "has a position or cell that is not finite"
    if max(np.abs(positions).max(initial=0.0), np.abs(cell).max(initial=0.0)) > FARTHEST:
        return f"has a position or cell vector beyond {FARTHEST:g} Å"
    lengths = np.linalg.norm(cell, axis=1)
    missing = np.flatnonzero(pbc & (lengths < 1e-6))
    if len(missing):
        return f"is periodic along cell vector {int(missing[0]) + 1}, which is missing"
    if degenerate_cell(cell, pbc):
        return "is periodic in a cell that is flat"
    return ""


def _shared_site(frame: ase.Atoms) -> str:
    """What shares a site of a CIF file, or fills it in part only; ASE takes what there is most of."""
    sites = frame.info.get("occupancy")
    for site in sites.values() if isinstance(sites, dict) else ():
        if isinstance(site, dict) and (len(site) > 1 or any(share < 1 - 1e-3 for share in site.values())):
            return " and ".join(f"{100 * share:g} % {element}" for element, share in site.items())
    return ""


def _trivial(name: str, value: Any) -> bool:
    """Tell whether leaving out a value loses nothing: zeros, and what is made anew from the rest."""
    if name in MADE_ANEW:
        return True
    array = np.asarray(value)
    return array.dtype.kind in "iufb" and not array.any()


def _prefix(name: str) -> str:
    """What stands before the word of a name that looks like a label."""
    lower = name.lower()
    places = [lower.rfind(word) for word in ("free_energy", "energy", "force", "virial", "stress") if word in lower]
    return name[: min(places)] if places else ""


def _listed(names: dict[str, list[int]]) -> str:
    shown = list(names)[:NAMED]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _frames(indices: list[int]) -> str:
    if len(indices) == 1:
        return f"frame {indices[0]}"
    return f"{len(indices)} frames (first {indices[0]})"
