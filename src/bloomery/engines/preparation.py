"""What engines do to labelled frames before a code of their own sees them: checks, committees by resampling, boxes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ase
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.engines.contract import TrainingData
from bloomery.errors import InputError
from bloomery.frames.census import labelled
from bloomery.frames.configurations import Configurations, bad_label
from bloomery.frames.energy_reference import check_energy_reference
from bloomery.potentials.contract import UNREADABLE, Potential, TrainedOn
from bloomery.seeds import derive_seed, digest_of, draw

Kind = TypeVar("Kind", bound=Potential)


@dataclass(frozen=True)
class Prepared:
    """Frames with atoms and at least one label, which can be fitted, and what is known of them."""

    train: Configurations
    early_stopping: Configurations
    """These hold elements of the training frames only."""
    elements: list[str]
    """Of the training frames."""
    energy_reference: dict[str, float]
    """Energy of an atom of each of them in eV."""
    digest: str
    """Of the training frames that were given."""

    @property
    def trained_on(self) -> TrainedOn:
        """What a potential says of the frames that it is fitted to."""
        return TrainedOn(digest=self.digest, frames=len(self.train), early_stopping=len(self.early_stopping))


def prepare(data: TrainingData) -> Prepared:
    """Check the data and leave out what says nothing.

    Raises
    ------
    InputError
        If a label is not finite (the frame is named), no training frame has a label, or an element has no reference.
    """
    parts = []
    for role, frames in (("train", data.train), ("early_stopping", data.early_stopping)):
        wrong = bad_label(frames)
        if wrong is not None:
            raise InputError(
                f"frame {wrong[0]} of the role {role} has a label {wrong[1]} that is not finite; remove the label or "
                "the frame."
            )
        parts.append(frames[labelled(frames) & (frames.counts > 0)])
    train, early = parts
    if not len(train):
        raise InputError("there is no labelled frame of the role train; label frames before training.")
    elements = train.elements
    reference = check_energy_reference(data.energy_reference, elements)
    return Prepared(train, early[only(early, train.numbers)], elements, reference, data.train.digest())


def usable_start(
    start: Potential | None, kind: type[Kind], told: Callable[[Kind], Mapping[str, tuple[object, object]]]
) -> Kind | None:
    """Return the potential that a training starts from, if it is of the engine's own ``kind``.

    ``told`` says by name what must be the same: as it is there, and in this training.

    Raises
    ------
    InputError
        If something differs, which is named.
    """
    if start is None:
        return None
    if not isinstance(start, kind):
        raise InputError(
            f"start_from: is a potential of the engine {start.engine!r}; give one of {kind.engine!r}, or train from "
            "scratch."
        )
    try:
        compared = told(start)
    except UNREADABLE as error:
        raise InputError(f"start_from: does not say how it was trained ({error}); train from scratch.") from error
    for what, (old, new) in compared.items():
        if old != new:
            values = "" if isinstance(new, dict) else f" ({old} there, {new} in this training)"
            raise InputError(f"start_from: its {what.replace('_', ' ')} differ{values}; train from scratch.")
    return start


def membership_seed(seed: int, start: Potential | None) -> int:
    """Return the seed of the draw of which member sees which frame: that of the start, if there is one."""
    return derive_seed(seed, "members") if start is None else int(start.details["membership_seed"])


def member_frames(hashes: list[str], members: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which member of a committee sees which frame, ``(M, N)``: a share of the members each, by the frame's content.

    A frame is seen by the same members in every training with this seed: one that starts from an earlier member has not
    seen, through it, what it should not see. Every frame is seen by one member at least, and a single one sees all. A
    member that would see no frame at all, as may happen with very few, sees all.
    """
    wanted = share * members
    result = np.zeros((members, len(hashes)), dtype=bool)
    for frame, text in enumerate(hashes):
        ranks = [digest_of(f"{seed}|{member}|{text}", size=8) for member in range(members)]
        # Where rounding would let all members see all frames, as many frames lack one member as the share says.
        spared = round(wanted) == members and draw(seed, text) < members - wanted
        result[np.argsort(ranks)[: max(1, round(wanted) - spared)], frame] = True
    result[~result.any(axis=1)] = True
    return result


def energies_above_lowest(frames: Configurations, n_train: int | None = None) -> NDArray[np.float64]:
    """Energy per atom in eV above the lowest of the training frames of the same composition, ``(N,)``.

    Zero where a frame has no energy, or no training frame has its composition; cells of one compound are of one
    composition. The first ``n_train`` frames are training frames, all by default.
    """
    energies, mask = frames.label("energy")
    per_atom = energies / np.maximum(frames.counts, 1)
    offsets = frames.offsets
    kinds = np.array([_ratios(frames.numbers[offsets[i] : offsets[i + 1]]) for i in range(len(frames))], dtype=str)
    fitted = np.arange(len(frames)) < (len(frames) if n_train is None else n_train)
    result = np.zeros(len(frames))
    for kind in np.unique(kinds):
        rows = (kinds == kind) & mask
        if (rows & fitted).any():
            result[rows] = np.maximum(per_atom[rows] - per_atom[rows & fitted].min(), 0.0)
    return result


def _ratios(numbers: NDArray[np.int64]) -> str:
    found, counts = np.unique(numbers, return_counts=True)
    least = int(np.gcd.reduce(counts)) if len(counts) else 1
    return " ".join(f"{chemical_symbols[z]}{n // least}" for z, n in zip(found, counts, strict=True))


def boxed(atoms: ase.Atoms, reach: float) -> ase.Atoms:
    """Return bare atoms with three full cell vectors, for codes that take every cell for periodic.

    Across directions that are not periodic the copies are farther apart than ``reach`` in Å, so that they do not feel
    each other. Energies and forces are those of the frame as it was.
    """
    cell = atoms.cell.array.copy()
    bare = ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=cell, pbc=True)
    open_directions = np.flatnonzero(~atoms.pbc)
    if not len(open_directions):
        return bare
    # Vectors across the open directions: orthogonal to the periodic ones and to each other.
    kept = cell[atoms.pbc]
    basis = np.linalg.svd(kept)[2][len(kept) :] if len(kept) else np.eye(3)
    for direction, axis in zip(open_directions, basis, strict=True):
        along = bare.positions @ axis
        extent = float(np.ptp(along)) if len(bare) else 0.0
        cell[direction] = axis * (extent + reach + 1.0)
    if np.linalg.det(cell) < 0:
        cell[open_directions[0]] *= -1
    bare.set_cell(cell)
    return bare


def closed_or_open(atoms: ase.Atoms, reach: float) -> ase.Atoms:
    """Return atoms that are periodic along all directions or along none, for codes that know nothing between.

    Slabs and wires are `boxed`; other frames are left as they are.
    """
    return boxed(atoms, reach) if atoms.pbc.any() and not atoms.pbc.all() else atoms


def only(frames: Configurations, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which frames hold no other elements than these, ``(N,)``."""
    foreign = np.zeros(len(frames), dtype=bool)
    np.logical_or.at(foreign, frames.frame_of_atom, ~np.isin(frames.numbers, np.unique(numbers)))
    return ~foreign


@contextmanager
def working_folder(given: Path | None) -> Iterator[Path]:
    """Make the folder that was given, or one that is gone afterwards."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bloomery-") as temporary:
        yield Path(temporary)
