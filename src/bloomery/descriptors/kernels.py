"""What the kernels of descriptors share: features, and the forces of a model of them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.species import species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import Neighbours, find_neighbours
from bloomery.native.arrays import Integer, Place, Workspace, pointer
from bloomery.threads import share_out

CHUNK_ATOMS = 48
"""Atoms that a model in Python is asked for at a time, and the least that a thread is given."""


class AtomTables(ctypes.Structure):
    """`Atoms` of atoms.h."""

    _fields_ = tuple((name, Place) for name in ("starts", "neighbours", "vectors", "species", "frames"))

    @classmethod
    def of(
        cls, neighbours: Neighbours, species: NDArray[np.int64], frames: NDArray[np.int64] | None = None
    ) -> AtomTables:
        """Return the addresses of these arrays, and keep them alive."""
        counts = np.bincount(neighbours.pairs[0], minlength=len(species))
        arrays = (np.concatenate([[0], np.cumsum(counts)]), neighbours.pairs[1], neighbours.vectors, species)
        atoms = cls(*map(pointer, arrays), None if frames is None else pointer(frames))
        atoms.kept = (*arrays, frames)
        return atoms


@dataclass(frozen=True)
class Results:
    """Forces ``(A, 3, M)`` and virials ``(N, 3, 3, M)``."""

    forces: NDArray[np.floating]
    virials: NDArray[np.float64]

    @classmethod
    def zeros(cls, n_atoms: int, n_frames: int, members: int, dtype: str) -> Results:
        """Return zeros to add to."""
        return cls(np.zeros((n_atoms, 3, members), dtype=dtype), np.zeros((n_frames, 3, 3, members)))


class ForceKernel:
    """Features of ``size`` numbers for each atom, and forces, with given settings in one precision.

    Parameters
    ----------
    library
        It has the functions `work_bytes`, `features` and `forces`.
    settings
        Their first argument.
    """

    def __init__(self, library: ctypes.CDLL, settings: ctypes.Structure, size: int, dtype: str) -> None:
        self.size, self._library, self._settings, self._dtype = size, library, settings, dtype
        self._workspace = Workspace()
        library.work_bytes.argtypes, library.work_bytes.restype = [Place, Place, *[Integer] * 3], Integer
        library.features.argtypes = [Place, Place, Integer, Integer, Place, Place]
        library.forces.argtypes = [Place, Place, *[Integer] * 3, *[Place] * 3, Integer, *[Place] * 3]

    def features(self, neighbours: Neighbours, species: NDArray[np.int64]) -> NDArray[np.floating]:
        """Features of every atom, ``(A, F)``."""
        return self._features(AtomTables.of(neighbours, species), 0, len(species))

    def forces_of(
        self,
        configurations: Configurations,
        elements: list[str],
        model: Callable[[torch.Tensor, slice], torch.Tensor],
        *,
        virials: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what `Descriptor.forces` returns."""
        species, frames = species_of(configurations, elements), configurations.frame_of_atom
        neighbours = find_neighbours(configurations, self._settings.cutoff, threads=torch.get_num_threads())
        wanted = len(configurations) if virials else 0
        forces, found = self.forces(neighbours, species, frames, model, n_frames=wanted)
        return torch.from_numpy(forces), torch.from_numpy(found) if virials else None

    def forces(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        frames: NDArray[np.int64],
        model: Callable[[torch.Tensor, slice], torch.Tensor],
        *,
        n_frames: int = 0,
    ) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
        """Minus the derivatives of ``M`` functions of the features by all positions, and their virials.

        Atoms are shared out among as many threads as torch may use; sums are in the same order every time.

        Parameters
        ----------
        frames
            Frame of each atom, ``(A,)``.
        model
            As in `Descriptor.edge_gradients`; with several threads it is called by all of them. What it has in C, as
            ``model.compiled``, is called in its place.
        n_frames
            For so many frames virials are wanted.

        Returns
        -------
        forces, virials
            ``(A, 3, M)`` and, symmetric, ``(n_frames, 3, 3, M)``.
        """
        atoms, compiled = AtomTables.of(neighbours, species, frames), getattr(model, "compiled", None)

        def work(first: int, last: int) -> Results:
            if compiled is not None:
                found = Results.zeros(len(species), n_frames, compiled.kernel.members, self._dtype)
                context = compiled.context()
                self._forces(atoms, first, last, found, compiled.kernel.address, ctypes.addressof(context))
                return found
            results: Results | None = None
            with torch.inference_mode():
                for begin in range(first, max(last, first + 1), CHUNK_ATOMS):
                    end = min(begin + CHUNK_ATOMS, last)
                    given = model(torch.from_numpy(self._features(atoms, begin, end)), slice(begin, end))
                    by_feature = given.contiguous().numpy()
                    if results is None:
                        results = Results.zeros(len(species), n_frames, len(by_feature), self._dtype)
                    self._forces(atoms, begin, end, results, given=by_feature, offset=begin)
            if results is None:
                raise AssertionError("a thread without work")
            return results

        return added_up(share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS))

    def mapped(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        frames: NDArray[np.int64],
        by_feature: NDArray[np.floating],
        n_frames: int,
    ) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
        """The same from derivatives that are known already, ``(M, A, F)``."""
        atoms = AtomTables.of(neighbours, species, frames)

        def work(first: int, last: int) -> Results:
            results = Results.zeros(len(species), n_frames, len(by_feature), self._dtype)
            self._forces(atoms, first, last, results, given=by_feature)
            return results

        return added_up(share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS))

    def _run(self, name: str, atoms: AtomTables, first: int, last: int, *arguments: int | None, members: int) -> None:
        """Call a function of the library for some atoms; its last argument is memory to work with."""
        settings, place = ctypes.addressof(self._settings), ctypes.addressof(atoms)
        size = self._library.work_bytes(settings, place, first, last, members)
        space = self._workspace.take("work", (size,), "uint8")
        getattr(self._library, name)(settings, place, first, last, *arguments, pointer(space))

    def _features(self, atoms: AtomTables, first: int, last: int) -> NDArray[np.floating]:
        values = np.empty((last - first, self.size), dtype=self._dtype)
        self._run("features", atoms, first, last, pointer(values), members=1)
        return values

    def _forces(
        self,
        atoms: AtomTables,
        first: int,
        last: int,
        results: Results,
        model: int | None = None,
        context: int | None = None,
        *,
        given: NDArray[np.floating] | None = None,
        offset: int = 0,
    ) -> None:
        """Add what some atoms give; the derivatives begin with those of the atom at ``offset``."""
        members = results.forces.shape[2]
        begin = None if given is None else pointer(given) - offset * self.size * given.itemsize
        stride = 0 if given is None else given.shape[1] * self.size
        places = (pointer(results.forces), pointer(results.virials) if len(results.virials) else None)
        self._run("forces", atoms, first, last, members, model, context, begin, stride, *places, members=members)


def added_up(parts: list[Results]) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Sums over threads; virials are made symmetric."""
    forces, virials = parts[0].forces, parts[0].virials
    for part in parts[1:]:
        forces += part.forces
        virials += part.virials
    return forces, 0.5 * (virials + virials.swapaxes(1, 2))
