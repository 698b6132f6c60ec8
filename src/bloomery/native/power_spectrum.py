"""The power spectrum's kernel: features, and forces contracted without a Jacobian."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.angular_momenta import couplings
from bloomery.descriptors.contract import ForceMap
from bloomery.native import load_kernel
from bloomery.native.arrays import Workspace, pointer
from bloomery.neighbours import Neighbours
from bloomery.threads import share_out

if TYPE_CHECKING:
    from bloomery.descriptors.power_spectrum import PowerSpectrumSettings

CHUNK_ATOMS = 48
"""Atoms that a model in Python is asked for at a time, and the least that a thread is given."""
MOST_SPECIES = 128

_Integer = ctypes.c_int64


class _Settings(ctypes.Structure):
    _fields_ = (
        ("species", _Integer),
        ("cutoff", ctypes.c_double),
        ("inner", ctypes.c_double),
        ("width", ctypes.c_double),
        ("triples", ctypes.c_void_p),
        ("gaunt", ctypes.c_void_p),
        ("couplings", _Integer),
    )


class _Atoms(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("starts", "neighbours", "vectors", "species", "frames"))

    @classmethod
    def of(cls, neighbours: Neighbours, species: NDArray[np.int64], frames: NDArray[np.int64] | None = None) -> _Atoms:
        """Return the addresses of these arrays, and keep them alive."""
        starts = _starts(neighbours, len(species))
        arrays = (starts, neighbours.pairs[1], neighbours.vectors, species)
        atoms = cls(*map(pointer, arrays), None if frames is None else pointer(frames))
        atoms.kept = (*arrays, frames)
        return atoms


class PowerSpectrumKernel:
    """Features and forces with given settings for ``S`` species in one precision.

    Use `make`, which knows whether there can be one.
    """

    def __init__(self, library: ctypes.CDLL, settings: PowerSpectrumSettings, n_species: int, dtype: str) -> None:
        self._library, self._dtype = library, dtype
        channels, degrees = n_species * settings.radial, settings.max_degree + 1
        found = couplings(settings.four_body_degree)
        self.size = channels * (1 + len(found)) + degrees * channels * (channels + 1) // 2
        entries: dict[tuple[int, ...], float] = {}
        for triple, (of, gaunt) in enumerate(found):
            for orders, value in np.ndenumerate(gaunt):
                # A product of moments does not know the order of its factors.
                places = sorted(degree**2 + order for degree, order in zip(of, orders, strict=True))
                entries[triple, *places] = entries.get((triple, *places), 0.0) + float(value)
        entries = {places: value for places, value in entries.items() if value}
        self._triples = np.array(list(entries), dtype=np.int32).reshape(-1, 4)
        self._gaunt = np.array(list(entries.values()), dtype=np.float64)
        self._settings = _Settings(
            n_species,
            settings.cutoff,
            settings.first_centre,
            (settings.cutoff - settings.first_centre) / settings.radial,
            pointer(self._triples),
            pointer(self._gaunt),
            len(entries),
        )
        self._workspace = Workspace()

    @classmethod
    def make(cls, settings: PowerSpectrumSettings, n_species: int, dtype: str) -> PowerSpectrumKernel | None:
        """Return the kernel, or ``None`` where there is none: see `load_kernel`."""
        if n_species > MOST_SPECIES:
            return None
        defines = {
            "RADIAL": settings.radial,
            "DEGREE": settings.max_degree,
            "TRIPLES": len(couplings(settings.four_body_degree)),
            "FOUR_DEGREE": settings.four_body_degree,
        }
        library = load_kernel("power_spectrum.c", dtype, tuple(defines.items()))
        if library is None:
            return None
        library.initialise.argtypes = []
        library.initialise()
        place, integer = ctypes.c_void_p, _Integer
        library.work_bytes.argtypes = [place, place, integer, integer, integer]
        library.work_bytes.restype = integer
        library.features.argtypes = [place, place, integer, integer, place, place]
        library.forces.argtypes = [place, place, *[integer] * 3, *[place] * 3, integer, *[place] * 3]
        library.changes.argtypes = [place, place, *[integer] * 3, *[place] * 4]
        return cls(library, settings, n_species, dtype)

    def features(self, neighbours: Neighbours, species: NDArray[np.int64]) -> NDArray[np.floating]:
        """Features of every atom, ``(A, F)``."""
        return self._features(_Atoms.of(neighbours, species), 0, len(species))

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
        atoms, compiled = _Atoms.of(neighbours, species, frames), getattr(model, "compiled", None)

        def work(first: int, last: int) -> _Results:
            if compiled is not None:
                found = _Results.zeros(len(species), n_frames, compiled.members, self._dtype)
                context = compiled.context()
                self._forces(atoms, first, last, found, compiled.address, ctypes.addressof(context))
                return found
            results: _Results | None = None
            with torch.inference_mode():
                for begin in range(first, max(last, first + 1), CHUNK_ATOMS):
                    end = min(begin + CHUNK_ATOMS, last)
                    given = model(torch.from_numpy(self._features(atoms, begin, end)), slice(begin, end))
                    by_feature = given.contiguous().numpy()
                    if results is None:
                        results = _Results.zeros(len(species), n_frames, len(by_feature), self._dtype)
                    self._forces(atoms, begin, end, results, given=by_feature, offset=begin)
            if results is None:
                raise AssertionError("a thread without work")
            return results

        return _added_up(share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS))

    def mapped(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        frames: NDArray[np.int64],
        by_feature: NDArray[np.floating],
        n_frames: int,
    ) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
        """The same from derivatives that are known already, ``(M, A, F)``."""
        atoms = _Atoms.of(neighbours, species, frames)

        def work(first: int, last: int) -> _Results:
            results = _Results.zeros(len(species), n_frames, len(by_feature), self._dtype)
            self._forces(atoms, first, last, results, given=by_feature)
            return results

        return _added_up(share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS))

    def changes(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        frames: NDArray[np.int64],
        moves: NDArray[np.floating],
        strains: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """Apply the transpose of `forces`: from ``(A, 3, M)`` and ``(n_frames, 3, 3, M)`` to ``(A, F, M)``."""
        atoms, members = _Atoms.of(neighbours, species, frames), moves.shape[2]
        moves, strains = (np.ascontiguousarray(given, dtype=self._dtype) for given in (moves, strains))
        result = np.empty((len(species), self.size, members), dtype=self._dtype)

        def work(first: int, last: int) -> None:
            settings, space = self._space(atoms, first, last, members)
            places = (pointer(moves), pointer(strains), pointer(result))
            self._library.changes(settings, ctypes.addressof(atoms), first, last, members, *places, space)

        share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS)
        return result

    def _space(self, atoms: _Atoms, first: int, last: int, members: int) -> tuple[int, int]:
        """Addresses of the settings, and of memory to work with."""
        settings = ctypes.addressof(self._settings)
        size = self._library.work_bytes(settings, ctypes.addressof(atoms), first, last, members)
        return settings, pointer(self._workspace.take("work", (size,), "uint8"))

    def _features(self, atoms: _Atoms, first: int, last: int) -> NDArray[np.floating]:
        values = np.empty((last - first, self.size), dtype=self._dtype)
        settings, space = self._space(atoms, first, last, 1)
        self._library.features(settings, ctypes.addressof(atoms), first, last, pointer(values), space)
        return values

    def _forces(
        self,
        atoms: _Atoms,
        first: int,
        last: int,
        results: _Results,
        model: int | None = None,
        context: int | None = None,
        *,
        given: NDArray[np.floating] | None = None,
        offset: int = 0,
    ) -> None:
        """Add what some atoms give; the derivatives begin with those of the atom at ``offset``."""
        members = results.forces.shape[2]
        settings, space = self._space(atoms, first, last, members)
        self._library.forces(
            settings,
            ctypes.addressof(atoms),
            first,
            last,
            members,
            model,
            context,
            None if given is None else pointer(given) - offset * self.size * given.itemsize,
            0 if given is None else given.shape[1] * self.size,
            pointer(results.forces),
            pointer(results.virials) if len(results.virials) else None,
            space,
        )


@dataclass(frozen=True)
class _Results:
    """Forces ``(A, 3, M)`` and virials ``(N, 3, 3, M)``."""

    forces: NDArray[np.floating]
    virials: NDArray[np.float64]

    @classmethod
    def zeros(cls, n_atoms: int, n_frames: int, members: int, dtype: str) -> _Results:
        """Return zeros to add to."""
        return cls(np.zeros((n_atoms, 3, members), dtype=dtype), np.zeros((n_frames, 3, 3, members)))


@dataclass(frozen=True)
class PowerSpectrumMap(ForceMap):
    """See `ForceMap`: harmonics are computed anew each time, which costs less than reading a Jacobian does."""

    kernel: PowerSpectrumKernel
    neighbours: Neighbours
    species: NDArray[np.int64]
    frames: NDArray[np.int64]
    n_frames: int

    def forces(self, by_feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ForceMap.forces`."""
        given = by_feature.contiguous().numpy()
        forces, virials = self.kernel.mapped(self.neighbours, self.species, self.frames, given, self.n_frames)
        return torch.from_numpy(forces), torch.from_numpy(virials).to(by_feature.dtype)

    def transposed(self, forces: torch.Tensor, virials: torch.Tensor) -> torch.Tensor:
        """See `ForceMap.transposed`."""
        strains = (0.5 * (virials + virials.transpose(1, 2))).numpy()
        changes = self.kernel.changes(self.neighbours, self.species, self.frames, forces.numpy(), strains)
        return torch.from_numpy(changes).permute(2, 0, 1)


def _added_up(parts: list[_Results]) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Sums over threads; virials are made symmetric."""
    forces, virials = parts[0].forces, parts[0].virials
    for part in parts[1:]:
        forces += part.forces
        virials += part.virials
    return forces, 0.5 * (virials + virials.swapaxes(1, 2))


def _starts(neighbours: Neighbours, n_atoms: int) -> NDArray[np.int64]:
    """Return where the pairs of each centre begin, ``(A + 1,)``."""
    starts = np.zeros(n_atoms + 1, dtype=np.int64)
    np.cumsum(np.bincount(neighbours.pairs[0], minlength=n_atoms), out=starts[1:])
    return starts
