"""What the kernels of descriptors share: features, and the forces of a model of them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.layouts import Model, Watch
from bloomery.descriptors.species import species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import NeighbourMemory, Neighbours
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
        """Return the addresses of these arrays, and keep them alive; ``frames`` is the frame of each atom, ``(A,)``."""
        counts = np.bincount(neighbours.pairs[0], minlength=len(species))
        arrays = (np.concatenate([[0], np.cumsum(counts)]), neighbours.pairs[1], neighbours.vectors, species)
        atoms = cls(*map(pointer, arrays), None if frames is None else pointer(frames))
        atoms.kept, atoms.count = (*arrays, frames), len(species)
        return atoms


Results = tuple[NDArray[np.floating], NDArray[np.float64]]
"""Forces ``(A, 3, M)`` and virials ``(N, 3, 3, M)``."""


def _zeros(n_atoms: int, n_frames: int, members: int, dtype: str) -> Results:
    """Return results to add to."""
    return np.zeros((n_atoms, 3, members), dtype=dtype), np.zeros((n_frames, 3, 3, members))


class ForceKernel:
    """Features of ``size`` numbers for each atom, and forces, with given settings in one precision.

    Kernels are made by ``make``, which knows whether there can be one.

    Parameters
    ----------
    library
        It has the functions `work_bytes`, `features` and `forces`.
    settings
        Their first argument.
    """

    def __init__(self, library: ctypes.CDLL, settings: ctypes.Structure, size: int, dtype: str) -> None:
        self.size, self._library, self._settings, self._dtype = size, library, settings, dtype
        self._workspace, self._memory = Workspace(), NeighbourMemory(settings.cutoff)
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
        model: Model,
        *,
        virials: bool,
        watch: Watch | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what `Descriptor.forces` returns.

        Atoms are shared out among as many threads as torch may use, and the model is called by all of them; what it has
        in C, as ``model.compiled``, is called in its place.
        """
        species, frames = species_of(configurations, elements), configurations.frame_of_atom
        neighbours = self._memory.neighbours(configurations, threads=torch.get_num_threads())
        if watch is not None and neighbours.shortest < watch.reach:
            watch(torch.from_numpy(neighbours.pairs), torch.from_numpy(neighbours.vectors))
        atoms, compiled = AtomTables.of(neighbours, species, frames), getattr(model, "compiled", None)
        n_frames = len(configurations) if virials else 0

        def work(first: int, last: int) -> Results:
            if compiled is not None:
                found = _zeros(len(species), n_frames, compiled.columns, self._dtype)
                context = compiled.context()
                self._forces(atoms, first, last, found, compiled.kernel.address, ctypes.addressof(context), None, 0)
                return found
            results: Results | None = None
            with torch.inference_mode():
                for begin in range(first, max(last, first + 1), CHUNK_ATOMS):
                    end = min(begin + CHUNK_ATOMS, last)
                    given = model(torch.from_numpy(self._features(atoms, begin, end)), slice(begin, end))
                    by_feature = given.contiguous().numpy()
                    if results is None:
                        results = _zeros(len(species), n_frames, len(by_feature), self._dtype)
                    self._forces(atoms, begin, end, results, *self._derivatives(by_feature, begin))
            if results is None:
                raise AssertionError("a thread without work")
            return results

        forces, found = self._added_up(work, atoms)
        return torch.from_numpy(forces), torch.from_numpy(found) if virials else None

    def mapped(self, atoms: AtomTables, by_feature: NDArray[np.floating], n_frames: int) -> Results:
        """Forces and virials, which are symmetric, from derivatives that are known, ``(M, A, F)``."""

        def work(first: int, last: int) -> Results:
            results = _zeros(atoms.count, n_frames, len(by_feature), self._dtype)
            self._forces(atoms, first, last, results, *self._derivatives(by_feature, 0))
            return results

        return self._added_up(work, atoms)

    def _added_up(self, work: Callable[[int, int], Results], atoms: AtomTables) -> Results:
        """Sums over threads, in the same order every time; virials are made symmetric."""
        (forces, virials), *others = share_out(work, atoms.count, torch.get_num_threads(), grain=CHUNK_ATOMS)
        for more_forces, more_virials in others:
            forces += more_forces
            virials += more_virials
        return forces, 0.5 * (virials + virials.swapaxes(1, 2))

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

    def _derivatives(self, given: NDArray[np.floating], first: int) -> tuple[None, None, int, int]:
        """Where `_forces` finds derivatives ``(M, a, F)`` that begin with those of an atom."""
        return None, None, pointer(given) - first * self.size * given.itemsize, given.shape[1] * self.size

    def _forces(self, atoms: AtomTables, first: int, last: int, results: Results, *source: int | None) -> None:
        """Add what some atoms give; the source are a function and its context, or derivatives and their stride."""
        (forces, virials), members = results, results[0].shape[2]
        places = (pointer(forces), pointer(virials) if len(virials) else None)
        self._run("forces", atoms, first, last, members, *source, *places, members=members)
