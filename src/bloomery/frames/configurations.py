"""Many atomic configurations as ragged arrays, with the labels they have and where they came from."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import ase
import numpy as np
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike, NDArray

from bloomery.errors import InputError
from bloomery.frames.file_units import FileUnits
from bloomery.frames.formats import EXTXYZ, ReadAs, check_heeded
from bloomery.frames.input_data import is_input_data, read_arrays
from bloomery.frames.labels import ABSURD, LABELS, PROPERTIES, common_info, labels_of
from bloomery.frames.mapped import join, load_arrays, put, take, take_runs
from bloomery.frames.opening import kind_of
from bloomery.frames.reading import absurd, pieces
from bloomery.frames.states import STATE_GRID, STATES, find_states, first_problem, identity_parts, plain, state_name
from bloomery.seeds import digest_of

ARRAYS: dict[str, Any] = {"counts": np.int64, "numbers": np.int64, "positions": float, "cells": float, "pbc": bool}
"""Arrays that all frames have, and the kind of their values."""

GRID = 1e-6
"""Positions and cells are compared, hashed and stored on a grid of this many Å."""

WRITTEN = {"dipole", "charges"}
"""Properties that ASE writes into extended XYZ; of its others it says nothing, and leaves them out."""

HASHED = 1024
"""Frames that are put on the grid at a time."""


@dataclass(frozen=True)
class Configurations:
    """``N`` frames with ``A`` atoms in all, stored one after the other.

    Immutable by convention: every method returns a new object, and arrays may be shared between objects.
    """

    counts: NDArray[np.int64]
    """Number of atoms of each frame, ``(N,)``."""
    numbers: NDArray[np.int64]
    """Atomic numbers, ``(A,)``."""
    positions: NDArray[np.float64]
    """Cartesian positions in Å, ``(A, 3)``."""
    cells: NDArray[np.float64]
    """Cell vectors as rows in Å, ``(N, 3, 3)``; zero for a frame without a cell."""
    pbc: NDArray[np.bool_]
    """Periodicity along each cell vector, ``(N, 3)``."""
    labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Label name (see `LABELS`) to values, ``(N, *shape)`` or ``(A, *shape)``; zero where a frame has none."""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Label name to ``(N,)``: which frames have that label. Absence is said here, never by a NaN."""
    info: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Name to one value per frame, ``(N, ...)``: numbers, booleans or text. Origin, role and score of a frame are kept
    here."""
    states: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """State (see `bloomery.frames.states.STATES`) to values, ``(N,)`` or ``(A,)``; zero where a frame says none. Names
    that no frame says anything of are left out."""
    stated: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """State to ``(N,)``: which frames say it. A charge of zero that is said is not one that is not."""

    # -- making ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_atoms(cls, frames: Iterable[ase.Atoms], info_keys: Sequence[str] | None = None) -> Configurations:
        """Collect ASE atoms, with the labels of their calculators or of ``REF_energy``-like keys, and their states.

        Of ``Atoms.info`` these keys are kept as per-frame arrays; ``None`` keeps every number, text and truth value.

        Raises
        ------
        InputError
            If a label is no number, of another shape, or not finite, or a state cannot be; the frame is named.
        """
        atoms = list(frames)
        found, states = [], []
        for index, frame in enumerate(atoms):
            try:
                found.append(labels_of(frame))
                states.append(find_states(frame))
            except InputError as error:
                raise InputError(f"frame {index}: {error}.") from error
        return cls._of_labelled(atoms, found, states, info_keys)

    @classmethod
    def _of_labelled(
        cls,
        atoms: Sequence[ase.Atoms],
        found: Sequence[Mapping[str, ArrayLike]],
        states: Sequence[Mapping[str, NDArray[np.float64]]],
        info_keys: Sequence[str] | None,
        prefix: str | None = None,
    ) -> Configurations:
        """Collect ASE atoms, whose labels and states have been found already."""
        counts = np.array([len(frame) for frame in atoms], dtype=np.int64)
        labels, masks = columns_of(found, counts)
        stated = {name: np.array([name in said for said in states], dtype=bool) for name in STATES}
        stated = {name: mask for name, mask in stated.items() if mask.any()}
        values = {name: _column(name, [said.get(name) for said in states], counts) for name in stated}
        return cls(
            counts=counts,
            numbers=np.concatenate([frame.numbers for frame in atoms] or [np.zeros(0)]).astype(np.int64),
            positions=np.concatenate([frame.positions for frame in atoms] or [np.zeros((0, 3))]).astype(float),
            cells=np.array([frame.cell.array for frame in atoms], dtype=float).reshape(-1, 3, 3),
            pbc=np.array([frame.pbc for frame in atoms], dtype=bool).reshape(-1, 3),
            labels=labels,
            masks=masks,
            info=common_info(atoms, info_keys, prefix),
            states=values,
            stated=stated,
        )

    @classmethod
    def empty(cls) -> Configurations:
        """Return no frames at all."""
        return cls.from_atoms([])

    @classmethod
    def concatenate(cls, parts: Sequence[Configurations]) -> Configurations:
        """Join frames in order. Labels and states are united (masked where absent); ``info`` keeps what all have."""
        parts = [part for part in parts if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else cls.empty()
        labelled = [name for name in LABELS if any(name in part.labels for part in parts)]
        said = [name for name in STATES if any(name in part.states for part in parts)]
        shared = [key for key in parts[0].info if all(key in part.info for part in parts)]
        return cls(
            **{name: join([getattr(part, name) for part in parts]) for name in ARRAYS},
            labels={name: join([part.label(name)[0] for part in parts]) for name in labelled},
            masks={name: join([part.label(name)[1] for part in parts]) for name in labelled},
            info={key: join([part.info[key] for part in parts]) for key in shared},
            states={name: join([part.state(name)[0] for part in parts]) for name in said},
            stated={name: join([part.state(name)[1] for part in parts]) for name in said},
        )

    @classmethod
    def united(cls, parts: Sequence[Configurations]) -> Configurations:
        """Join frames of several origins in order, as `concatenate`, and keep what only some of them say.

        A text of ``info`` that a part does not have is empty there, a number is NaN. What is text in one part and a
        number in another, or has other shapes, is left out.
        """
        parts = [part for part in parts if len(part)]
        keys = dict.fromkeys(key for part in parts for key in part.info)
        columns: dict[str, list[NDArray[Any]]] = {}
        for key in keys:
            present = [part.info[key] for part in parts if key in part.info]
            kinds = {"text" if array.dtype.kind == "U" else "number" for array in present}
            if len(kinds) > 1 or len({array.shape[1:] for array in present}) > 1:
                continue
            empty = "" if kinds == {"text"} else np.nan
            columns[key] = [part.info.get(key, np.full((len(part), *present[0].shape[1:]), empty)) for part in parts]
        whole = [
            replace(part, info={key: column[place] for key, column in columns.items()})
            for place, part in enumerate(parts)
        ]
        return cls.concatenate(whole)

    # -- looking --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all frames together, ``A``."""
        return len(self.numbers)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each frame begins in the per-atom arrays, ``(N + 1,)``; the last entry is ``A``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @property
    def frame_of_atom(self) -> NDArray[np.int64]:
        """The frame each atom belongs to, ``(A,)``."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols that occur, in the order of their atomic numbers."""
        occurs = np.zeros(len(chemical_symbols), dtype=bool)
        occurs[self.numbers] = True
        return [chemical_symbols[number] for number in np.flatnonzero(occurs)]

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Cell volumes in Å^3, ``(N,)``; zero for a frame without a cell."""
        return np.abs(np.linalg.det(self.cells)) if len(self) else np.zeros(0)

    def label(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values and mask of a label; zeros and ``False`` where nothing is known of it.

        Raises
        ------
        KeyError
            If ``name`` is not in `LABELS`.
        """
        shape = self._shape(name)
        if name in self.labels:
            return self.labels[name], self.masks[name]
        return np.zeros(shape), np.zeros(len(self), dtype=bool)

    def frames_of(self, name: str) -> NDArray[np.int64]:
        """The frame that each row of a label's values belongs to."""
        return self.frame_of_atom if LABELS[name].per == "atom" else np.arange(len(self))

    def _shape(self, name: str) -> tuple[int, ...]:
        """Shape of the values of a label."""
        return (self.n_atoms if LABELS[name].per == "atom" else len(self), *LABELS[name].shape)

    def has(self, name: str) -> NDArray[np.bool_]:
        """Which frames carry the label, ``(N,)``."""
        return self.label(name)[1]

    def state(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values and mask of a state, ``(N,)`` or ``(A,)`` and ``(N,)``; zeros and ``False`` where none is said.

        Raises
        ------
        KeyError
            If ``name`` is not in `bloomery.frames.states.STATES`.
        """
        n = self.n_atoms if STATES[name].per == "atom" else len(self)
        if name in self.states:
            return self.states[name], self.stated[name]
        return np.zeros(n), np.zeros(len(self), dtype=bool)

    def state_of(self, frame: int) -> dict[str, Any]:
        """What one frame says that counts for its labels: plain numbers, and arrays of one number an atom."""
        found: dict[str, Any] = {}
        for name, values in self._said_by(frame, self.offsets):
            if identity_parts(name, values):
                found[name] = values if STATES[name].per == "atom" else plain(name, values)
        return found

    def state_keys(self) -> list[str]:
        """A text for each frame that is the same for frames in the same state, and empty where none is said."""
        return [digest_of(*parts) if parts else "" for parts in self._state_parts()]

    @property
    def masses(self) -> NDArray[np.float64]:
        """Mass of each atom in u, ``(A,)``: what its frame says, else its element's."""
        known = np.asarray(atomic_masses[self.numbers], dtype=float)
        values, mask = self.state("masses")
        return np.where(mask[self.frame_of_atom], values, known) if mask.any() else known

    def _said_by(self, frame: int, offsets: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """What a frame says, in the order of `STATES`."""
        own = slice(int(offsets[frame]), int(offsets[frame + 1]))
        for name, kind in STATES.items():
            if name in self.states and self.stated[name][frame]:
                yield name, np.asarray(self.states[name][own if kind.per == "atom" else frame])

    def _state_parts(self) -> list[list[bytes]]:
        """What the state of each frame adds to its content hash; nothing where it says none."""
        if not any(STATES[name].counts for name in self.states):
            return [[] for _ in range(len(self))]
        offsets = self.offsets
        said = (self._said_by(frame, offsets) for frame in range(len(self)))
        return [[part for name, values in one for part in identity_parts(name, values)] for one in said]

    def hashes(self) -> list[str]:
        """Content hash of each frame: of species, periodicity, cell and positions on the grid, and of its state.

        Labels and masses have no say. Frames that say nothing of their state, or a charge of zero, have the hash that
        they had before states were known (`bloomery.frames.states` says why).
        """
        offsets, states = self.offsets, self._state_parts()
        result = []
        for start in range(0, len(self), HASHED):
            end = min(start + HASHED, len(self))
            atoms = slice(offsets[start], offsets[end])
            numbers, positions = self.numbers[atoms], _on_grid(self.positions[atoms])
            cells = _on_grid(self.cells[start:end])
            for frame in range(start, end):
                own = slice(offsets[frame] - offsets[start], offsets[frame + 1] - offsets[start])
                parts = (numbers[own], self.pbc[frame], cells[frame - start], positions[own])
                content = (np.ascontiguousarray(part, dtype="<i8").tobytes() for part in parts)
                result.append(digest_of(*content, *states[frame]))
        return result

    def digest(self) -> str:
        """Hash of all frames in their order, with labels and info: equal for equal content."""
        whole = hashlib.blake2b(digest_size=16)
        for name, array in self.to_arrays().items():
            whole.update(f"{name}|{array.dtype.kind}|{array.shape}".encode())
            if array.dtype.kind == "U":
                whole.update("\0".join(array.ravel().tolist()).encode())
            else:
                whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()

    # -- changing -------------------------------------------------------------------------------------------------

    def __getitem__(self, key: int | slice | Sequence[int] | NDArray[Any]) -> Configurations:
        """Take frames by index, slice, list of indices or boolean mask; the result is always `Configurations`."""
        if isinstance(key, list | tuple):
            key = np.asarray(key) if len(key) else slice(0)
        frames = np.atleast_1d(np.arange(len(self))[key])
        starts, counts = self.offsets[frames], self.counts[frames]
        return Configurations(
            counts=counts,
            numbers=take_runs(self.numbers, starts, counts),
            positions=take_runs(self.positions, starts, counts),
            cells=take(self.cells, frames),
            pbc=take(self.pbc, frames),
            labels={
                k: take_runs(v, starts, counts) if LABELS[k].per == "atom" else take(v, frames)
                for k, v in self.labels.items()
            },
            masks={k: v[frames] for k, v in self.masks.items()},
            info={k: v[frames] for k, v in self.info.items()},
            states={
                k: take_runs(v, starts, counts) if STATES[k].per == "atom" else take(v, frames)
                for k, v in self.states.items()
                if self.stated[k][frames].any()
            },
            stated={k: v[frames] for k, v in self.stated.items() if v[frames].any()},
        )

    def __iter__(self) -> Iterator[Configurations]:
        for frame in range(len(self)):
            yield self[frame]

    def with_info(self, **arrays: ArrayLike) -> Configurations:
        """Return the same frames with further (or other) per-frame arrays; a scalar is repeated for every frame.

        Raises
        ------
        ValueError
            If an array has another length than there are frames, or its name is that of a state.
        """
        info = dict(self.info)
        for key, value in arrays.items():
            if state_name(key) is not None:
                raise ValueError(f"{key!r} is the name of a state; give it by with_states")
            array = np.asarray(value)
            array = np.repeat(array, len(self)) if array.ndim == 0 else array
            if len(array) != len(self):
                raise ValueError(f"info {key!r} has {len(array)} values for {len(self)} frames")
            info[key] = array
        return replace(self, info=info)

    def without_info(self, *keys: str) -> Configurations:
        """Return the same frames without these per-frame arrays."""
        return replace(self, info={k: v for k, v in self.info.items() if k not in keys})

    def with_labels(self, *, masks: Mapping[str, ArrayLike] | None = None, **values: ArrayLike) -> Configurations:
        """Return the same frames with further labels; ``masks`` says which frames have them (default: all).

        Raises
        ------
        ValueError
            If a shape does not fit, or a value that the mask declares present is not finite; the frame is named.
        """
        labels, all_masks = dict(self.labels), dict(self.masks)
        for name, value in values.items():
            array, shape = np.asarray(value, dtype=float), self._shape(name)
            if array.shape != shape:
                raise ValueError(f"label {name!r} has shape {array.shape}, expected {shape}")
            mask = np.asarray((masks or {}).get(name, np.ones(len(self))), dtype=bool)
            frames = self.frames_of(name)
            present = mask[frames]
            bad = frames[present & _not_finite(array)]
            if len(bad):
                raise ValueError(f"frame {bad[0]} has a label {name} that is not finite")
            labels[name] = np.where(present.reshape(-1, *[1] * (len(shape) - 1)), array, 0.0)
            all_masks[name] = mask
        return replace(self, labels=labels, masks=all_masks)

    def without_labels(self) -> Configurations:
        """Return the bare frames."""
        return replace(self, labels={}, masks={})

    def with_states(self, *, stated: Mapping[str, ArrayLike] | None = None, **values: ArrayLike) -> Configurations:
        """Return the same frames in other states; ``stated`` says which frames say a state (default: all).

        Parameters
        ----------
        values
            By the names of `bloomery.frames.states.STATES`: ``(N,)`` or ``(A,)``, or a number for all.

        Raises
        ------
        KeyError
            If there is no such state.
        ValueError
            If a shape does not fit.
        InputError
            If a state cannot be, such as a multiplicity of 1.5; the frame is named.
        """
        states, masks = dict(self.states), dict(self.stated)
        for name, value in values.items():
            per_atom = STATES[name].per == "atom"
            shape = (self.n_atoms if per_atom else len(self),)
            array = np.asarray(value)
            if array.dtype.kind not in "iuf":
                raise ValueError(f"state {name!r} is {array.dtype}, where numbers are wanted")
            array = np.full(shape, array, dtype=float) if array.ndim == 0 else array.astype(float)
            if array.shape != shape:
                raise ValueError(f"state {name!r} has shape {array.shape}, expected {shape}")
            mask = np.asarray((stated or {}).get(name, np.ones(len(self))), dtype=bool)
            if mask.shape != (len(self),):
                raise ValueError(f"stated {name!r} has shape {mask.shape}, expected {(len(self),)}")
            states.pop(name, None), masks.pop(name, None)
            if mask.any():
                states[name] = np.where(mask[self.frame_of_atom] if per_atom else mask, array, 0.0)
                masks[name] = mask
        result = replace(self, states=states, stated=masks)
        wrong = first_problem(states, masks, self.counts, self.numbers)
        if wrong is not None:
            raise InputError(f"frame {wrong[0]}: {wrong[1]}.")
        return result

    def exchanged(self, first: int, second: int) -> Configurations:
        """Return the bare frames with two atoms, by their rows, in each other's places; what is theirs goes along."""
        order = np.arange(self.n_atoms)
        order[[first, second]] = second, first
        states = {name: v[order] if STATES[name].per == "atom" else v for name, v in self.states.items()}
        return replace(self.without_labels(), numbers=self.numbers[order], states=states)

    def without_states(self, *names: str) -> Configurations:
        """Return the same frames, which say nothing of these states; of none at all if none is named."""
        left = [name for name in self.states if names and name not in names]
        states, stated = {name: self.states[name] for name in left}, {name: self.stated[name] for name in left}
        return replace(self, states=states, stated=stated)

    def snapped(self) -> Configurations:
        """Return the frames with positions, cells and states moved onto their grids, where hashes are stable."""
        positions, cells = (np.rint(values / GRID) * GRID + 0.0 for values in (self.positions, self.cells))
        per_unit = round(1 / STATE_GRID)
        states = {name: np.rint(values * per_unit) / per_unit + 0.0 for name, values in self.states.items()}
        return replace(self, positions=positions, cells=cells, states=states)

    def in_files(self, folder: Path) -> Configurations:
        """Return the frames with large arrays in files in ``folder`` (`bloomery.frames.mapped`)."""
        return self.from_arrays({name: put(array, folder) for name, array in self.to_arrays().items()})

    # -- ASE and files --------------------------------------------------------------------------------------------

    def to_atoms(self) -> list[ase.Atoms]:
        """Return ASE atoms; labels go into a `SinglePointCalculator`, per-frame arrays into ``Atoms.info``.

        States are where ASE and the field have them: ``charge``, ``spin`` and the like in ``Atoms.info``,
        ``initial_magmoms`` and ``masses`` in ``Atoms.arrays``. Per-frame arrays that have the name of a state, as those
        of archives from before states were known, are left out: they are none.
        """
        offsets = self.offsets
        result = []
        for frame in range(len(self)):
            rows = slice(offsets[frame], offsets[frame + 1])
            atoms = ase.Atoms(
                numbers=self.numbers[rows], positions=self.positions[rows], cell=self.cells[frame], pbc=self.pbc[frame]
            )
            for key, values in self.info.items():
                if state_name(key) is None:
                    value = values[frame]
                    atoms.info[key] = value.item() if isinstance(value, np.generic) else value
            for name, values in self.states.items():
                if self.stated[name][frame]:
                    if STATES[name].per == "atom":
                        atoms.arrays[name] = np.array(values[rows])
                    else:
                        atoms.info[name] = plain(name, values[frame])
            present = {
                name: values[rows] if LABELS[name].per == "atom" else values[frame]
                for name, values in self.labels.items()
                if self.masks[name][frame]
            }
            if "energy" in present:
                present["energy"] = present["free_energy"] = float(present["energy"])
            # What ASE has no name for stands among what is of the frame.
            for name in sorted({*present} - {*all_properties, "free_energy"}):
                value = present.pop(name)
                if LABELS[name].per == "atom":
                    atoms.arrays[name] = np.array(value)
                else:
                    atoms.info[name] = value if LABELS[name].shape else float(value)
            if present:
                atoms.calc = SinglePointCalculator(atoms, **present)
            result.append(atoms)
        return result

    def write_extxyz(self, path: str | Path | IO[str]) -> None:
        """Write extended XYZ: labels as ``energy``, ``forces``, ``stress``, per-frame arrays in the comment line.

        States have the names of the field: ``charge``, ``spin`` (2S+1) and the like in the comment line, columns
        ``initial_magmoms`` and ``masses``.
        """
        from ase.io import write  # noqa: PLC0415  it imports half of ASE, which jobs on arrays never need

        frames = self.to_atoms()
        old = {key: values for key, values in self.info.items() if state_name(key) is not None}
        for index, frame in enumerate(frames):
            if frame.calc is not None:
                frame.calc.results.pop("free_energy", None)
            _write_tensors_as_rows(frame)
            frame.info |= {key: values[index] for key, values in old.items() if key not in frame.info}
            frame.info = {key: value for key, value in frame.info.items() if not _absent(value)}
        write(path, frames, format="extxyz")

    @classmethod
    def read(
        cls,
        path: str | Path,
        info_keys: Sequence[str] | None = None,
        units: FileUnits | None = None,
        folder: Path | None = None,
        elements: Sequence[str] = (),
        prefix: str | None = None,
        without: Collection[str] = (),
    ) -> Configurations:
        """Read frames from our own ``.npz``, n2p2's ``input.data``, or what `frames.formats` knows: most of the field.

        Parameters
        ----------
        units, elements, prefix, without
            What the file does not say itself, and states that are left out: see `frames.formats.ReadAs`.
        folder
            Keep large arrays in files in this folder (`bloomery.frames.mapped`); by default all are in memory.

        Raises
        ------
        InputError
            If the file is missing, cannot be read, holds no frame, or a frame or label in it is none; file and frame
            are named.

        Warns
        -----
        DataWarning
            Where labels contradict each other, look like some and are none, or something of a frame is left out.
        """
        path = Path(path)
        try:
            there = path.exists()
        except OSError as error:  # a name that is too long, a folder that is closed
            raise InputError(f"{path}: cannot be used: {str(error.strerror).lower()}; check the path.") from error
        if not there:
            raise InputError(
                f"{path}: there is no such file; check the path, which is relative to the file that names it."
            )
        how = ReadAs(units, elements, prefix, without)
        if units is not None or elements:
            check_heeded(path, how)
        if kind_of(path) == ".npz":
            found = cls.load(path, folder)
            return found.without_states(*without) if without else found
        if kind_of(path) not in EXTXYZ and is_input_data(path):
            found = _possible(cls.from_arrays(read_arrays(path, units)), path)
            return _labelled(_in_states(found.without_states(*without) if without else found, path), path)
        parts = []
        for piece in pieces(path, how):
            part = cls._of_labelled(piece.atoms, piece.labels, piece.states, info_keys, prefix)
            parts.append(part if folder is None else part.in_files(folder))
        if not parts:
            raise InputError(f"{path}: holds no frame; give a file with at least one structure.")
        return cls.united(parts)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as flat, named arrays (``label:energy``, ``mask:energy``, ``info:step``, ...)."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in ARRAYS}
        for name in sorted(self.labels):
            arrays[f"label:{name}"] = self.labels[name]
            arrays[f"mask:{name}"] = self.masks[name]
        for key in sorted(self.info):
            arrays[f"info:{key}"] = np.asarray(self.info[key])
        for name in sorted(self.states):
            arrays[f"state:{name}"] = self.states[name]
            arrays[f"stated:{name}"] = self.stated[name]
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Configurations:
        """Inverse of `to_arrays`."""

        def group(prefix: str, kind: type | None = None) -> dict[str, NDArray[Any]]:
            found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            return {name: np.asanyarray(array, dtype=kind) for name, array in found.items()}

        return cls(
            **{name: np.asanyarray(arrays[name], dtype=kind) for name, kind in ARRAYS.items()},
            labels=group("label:", float),
            masks=group("mask:", bool),
            info=group("info:"),
            states=group("state:", float),
            stated=group("stated:", bool),
        )

    def save(self, path: str | Path | IO[bytes]) -> None:
        """Write a compressed ``.npz`` without pickles."""
        np.savez_compressed(path, allow_pickle=False, **self.to_arrays())

    @classmethod
    def load(cls, path: str | Path | IO[bytes], folder: Path | None = None) -> Configurations:
        """Read what `save` wrote, with large arrays in ``folder`` as by `read`; pickled content is refused.

        Raises
        ------
        InputError
            If the file is not such an archive.
        """
        try:
            arrays = load_arrays(path, folder)
            problem = _misshapen(arrays)
            if problem:
                raise InputError(f"{path}: is not an archive of configurations: {problem}.")
            frames = cls.from_arrays(arrays)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, MemoryError, zlib.error) as error:
            raise InputError(f"{path}: is not an archive of configurations ({error}).") from error
        return _labelled(_in_states(frames, path), path)


def columns_of(
    found: Sequence[Mapping[str, ArrayLike]], counts: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
    """Labels of frames that have so many atoms, ``(N,)``, as columns with their masks: zeros where a frame has none."""
    labels: dict[str, NDArray[np.float64]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, kind in LABELS.items():
        mask = np.array([name in present for present in found], dtype=bool)
        if not mask.any():
            continue
        masks[name] = mask
        rows = []
        for n, present in zip(counts.tolist(), found, strict=True):
            shape = (n, *kind.shape) if kind.per == "atom" else kind.shape
            rows.append(np.asarray(present.get(name, np.zeros(shape)), dtype=float).reshape(shape))
        labels[name] = np.concatenate(rows) if kind.per == "atom" else np.array(rows)
    return labels, masks


def _column(name: str, said: Sequence[NDArray[np.float64] | None], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of a state of all frames, zero where one says none, ``(N,)`` or ``(A,)``."""
    if STATES[name].per == "frame":
        return np.array([0.0 if value is None else float(value) for value in said])
    rows = [np.zeros(n) if value is None else value for value, n in zip(said, counts.tolist(), strict=True)]
    return np.concatenate(rows)


def _write_tensors_as_rows(frame: ase.Atoms) -> None:
    """Put properties where ASE writes them, tensors as rows of nine numbers, which everybody reads."""
    results = {} if frame.calc is None else frame.calc.results
    for name in PROPERTIES:
        own, rows = (frame.arrays, (len(frame), -1)) if LABELS[name].per == "atom" else (frame.info, (-1,))
        if name in results and name not in WRITTEN:
            own[name] = results.pop(name)
        if name in own:
            own[name] = np.reshape(own[name], rows)


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to the grid; what is not finite becomes some number, for it has a hash too until `sanity` drops it."""
    with np.errstate(invalid="ignore"):
        return np.rint(values / GRID).astype(np.int64)


def in_order(symbols: Iterable[str]) -> list[str]:
    """Each chemical symbol once, in the order of the atomic numbers."""
    return sorted(set(symbols), key=chemical_symbols.index)


def symbols_to_numbers(symbols: Iterable[str]) -> list[int]:
    """Translate chemical symbols; `InputError` if one is not an element."""
    numbers = []
    for symbol in symbols:
        if symbol not in atomic_numbers or symbol == "X":
            raise InputError(f"{symbol!r} is not a chemical element.")
        numbers.append(int(atomic_numbers[symbol]))
    return numbers


def bad_label(configurations: Configurations) -> tuple[int, str] | None:
    """Return the first frame with a label that is not finite, and which label; ``None`` if all are."""
    for name, values in configurations.labels.items():
        frames = configurations.frames_of(name)
        wrong = frames[_not_finite(values, ABSURD) & configurations.masks[name][frames]]
        if len(wrong):
            return int(wrong[0]), name
    return None


def _not_finite(values: NDArray[np.float64], below: float = np.inf) -> NDArray[np.bool_]:
    """Which rows hold a value that is not finite, or not below a bound."""
    return np.asarray(~(np.abs(values) < below).all(axis=tuple(range(1, values.ndim))))


def _absent(value: object) -> bool:
    """Tell whether a value of ``info`` says that a frame has none."""
    return value == "" if isinstance(value, str) else isinstance(value, float) and bool(np.isnan(value))


def _misshapen(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Say which array of an archive is missing, of another shape or type, or holds what cannot be; empty if none is."""
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        return f"there is no array {missing[0]}"
    counts = arrays["counts"]
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any():
        return "array counts does not hold a number of atoms for each frame"
    n, n_atoms = len(counts), int(counts.sum())
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "numbers": ("iu", (n_atoms,)), "positions": ("iuf", (n_atoms, 3)), "cells": ("iuf", (n, 3, 3)),
        "pbc": ("b", (n, 3)), "counts": ("iu", (n,)),
    }  # fmt: skip
    known = {"label": {name: (kind.per, kind.shape) for name, kind in LABELS.items()}}
    known["state"] = {name: (kind.per, ()) for name, kind in STATES.items()}
    for group, mask in (("label", "mask"), ("state", "stated")):
        named = {name.partition(":")[2] for name in arrays if name.startswith((f"{group}:", f"{mask}:"))}
        for name in sorted(named):
            if name not in known[group] or not {f"{group}:{name}", f"{mask}:{name}"} <= arrays.keys():
                return f"array {group}:{name} is no {group} that is known, or it or array {mask}:{name} is missing"
            per, shape = known[group][name]
            shapes[f"{group}:{name}"] = ("iuf", (n_atoms if per == "atom" else n, *shape))
            shapes[f"{mask}:{name}"] = ("b", (n,))
    for name, array in arrays.items():
        kinds, shape = shapes.get(name, ("biufU", (n, *array.shape[1:])))
        if array.shape != shape or array.dtype.kind not in kinds:
            return f"array {name} is {array.dtype} of shape {array.shape}, where the shape is {shape}"
    unknown = np.flatnonzero((arrays["numbers"] < 1) | (arrays["numbers"] >= len(chemical_symbols)))
    frame = int(np.searchsorted(np.cumsum(counts), unknown[0], side="right")) if len(unknown) else 0
    return f"frame {frame} has an atom whose number is no element's" if len(unknown) else ""


def _labelled(frames: Configurations, path: str | Path | IO[bytes]) -> Configurations:
    """Return frames of a file, all labels of which are numbers that can be meant."""
    wrong = bad_label(frames)
    if wrong is not None:
        raise InputError(
            f"{path}: frame {wrong[0]} has a label {wrong[1]} that is not finite, or beyond {ABSURD:g}; remove the "
            "label or the frame."
        )
    return frames


def _in_states(frames: Configurations, path: str | Path | IO[bytes]) -> Configurations:
    """Return frames of a file, all states of which can be."""
    wrong = first_problem(frames.states, frames.stated, frames.counts, frames.numbers) if frames.states else None
    if wrong is not None:
        raise InputError(f"{path}: frame {wrong[0]}: {wrong[1]}.")
    return frames


def _possible(frames: Configurations, path: Path) -> Configurations:
    """Return frames of a file, none of which is absurd."""
    offsets = frames.offsets
    for index in range(len(frames)):
        own = slice(offsets[index], offsets[index + 1])
        problem = absurd(frames.numbers[own], frames.positions[own], frames.cells[index], frames.pbc[index])
        if problem:
            raise InputError(f"{path}: frame {index} {problem}; mend or remove the frame.")
    return frames
