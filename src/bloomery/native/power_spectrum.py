"""The power spectrum's kernel: features, and forces contracted without a Jacobian."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.angular_momenta import couplings
from bloomery.descriptors.contract import ForceMap
from bloomery.native import load_kernel
from bloomery.native.arrays import Workspace, padded, pointer
from bloomery.neighbours import Neighbours

if TYPE_CHECKING:
    from bloomery.descriptors.power_spectrum import PowerSpectrumSettings

CHUNK_ATOMS = 64
"""Centres that are worked on at a time: their neighbours' harmonics stay in the cache."""
MOST_SPECIES = 128

Result = TypeVar("Result")
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


@dataclass(frozen=True)
class _Chunk:
    """Some centres after their features: what their forces need. Valid until the thread's next chunk."""

    first: int
    n_atoms: int
    rows: NDArray[np.int64]
    tiles: NDArray[np.floating]
    lanes: NDArray[np.int64]
    moments: NDArray[np.floating]


class PowerSpectrumKernel:
    """Features and forces with given settings for ``S`` species in one precision.

    Use `make`, which knows whether there can be one.
    """

    def __init__(self, library: ctypes.CDLL, settings: PowerSpectrumSettings, n_species: int, dtype: str) -> None:
        self._library, self._dtype, self._n_species = library, dtype, n_species
        self._lanes = int(library.vector_lanes())
        self._radial, degrees = settings.radial, settings.max_degree + 1
        self._channels = n_species * settings.radial
        found = couplings(settings.four_body_degree)
        self.size = self._channels * (1 + len(found)) + degrees * self._channels * (self._channels + 1) // 2
        self._moments = padded(degrees**2, self._lanes)
        self._tile = 4 + 2 * settings.radial + 4 * degrees**2
        entries = [
            (triple, *(degree**2 + order for degree, order in zip(of, orders, strict=True)), value)
            for triple, (of, gaunt) in enumerate(found)
            for orders, value in np.ndenumerate(gaunt)
            if value
        ]
        self._triples = np.array([entry[:4] for entry in entries], dtype=np.int32).reshape(-1, 4)
        self._gaunt = np.array([entry[4] for entry in entries], dtype=np.float64)
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
        library.layout.argtypes = [place, integer, place, place, place, place]
        library.layout.restype = integer
        library.features.argtypes = [place, integer, *[place] * 9]
        library.forces_work.argtypes = [place, integer]
        library.forces_work.restype = integer
        library.forces.argtypes = [place, integer, integer, integer, *[place] * 9]
        library.changes_work.argtypes = [place, integer, integer]
        library.changes_work.restype = integer
        library.changes.argtypes = [place, integer, integer, integer, integer, *[place] * 9]
        return cls(library, settings, n_species, dtype)

    def features(self, neighbours: Neighbours, species: NDArray[np.int64]) -> NDArray[np.floating]:
        """Features of every atom, ``(A, F)``."""
        values = np.empty((len(species), self.size), dtype=self._dtype)
        starts = _starts(neighbours, len(species))
        for first in range(0, len(species), CHUNK_ATOMS):
            self._features(neighbours, species, starts, first, values[first : first + CHUNK_ATOMS])
        return values

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

        Chunks of atoms are shared out among as many threads as torch may use; sums are in the same order every time.

        Parameters
        ----------
        frames
            Frame of each atom, ``(A,)``.
        model
            As in `Descriptor.edge_gradients`; with several threads it is called by all of them.
        n_frames
            For so many frames virials are wanted.

        Returns
        -------
        forces, virials
            ``(A, 3, M)`` and, symmetric, ``(n_frames, 3, 3, M)``.
        """
        starts = _starts(neighbours, len(species))

        def work(chunks: NDArray[np.int64]) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
            forces = virials = None
            with torch.inference_mode():
                for first in chunks.tolist():
                    n_atoms = min(CHUNK_ATOMS, len(species) - first)
                    values = self._workspace.take("values", (n_atoms, self.size), self._dtype)
                    chunk = self._features(neighbours, species, starts, first, values)
                    given = model(torch.from_numpy(values), slice(first, first + n_atoms)).contiguous().numpy()
                    if forces is None or virials is None:
                        forces = np.zeros((len(species), 3, len(given)), dtype=self._dtype)
                        virials = np.zeros((n_frames, 3, 3, len(given)))
                    self._forces(chunk, given, frames, forces, virials)
            if forces is None or virials is None:
                raise AssertionError("a thread without work")
            return forces, virials

        parts = _shared_out(work, len(species))
        for forces, virials in parts[1:]:
            parts[0][0].__iadd__(forces)
            parts[0][1].__iadd__(virials)
        forces, virials = parts[0]
        return forces, 0.5 * (virials + virials.swapaxes(1, 2))

    def changes(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        frames: NDArray[np.int64],
        moves: NDArray[np.floating],
        strains: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """Apply the transpose of `forces`: from ``(A, 3, M)`` and ``(n_frames, 3, 3, M)`` to ``(A, F, M)``."""
        starts, members = _starts(neighbours, len(species)), moves.shape[2]
        moves, strains = (np.ascontiguousarray(given, dtype=self._dtype) for given in (moves, strains))
        result = np.empty((len(species), self.size, members), dtype=self._dtype)
        settings = ctypes.addressof(self._settings)

        def work(chunks: NDArray[np.int64]) -> None:
            for first in chunks.tolist():
                n_atoms = min(CHUNK_ATOMS, len(species) - first)
                values = self._workspace.take("values", (n_atoms, self.size), self._dtype)
                chunk = self._features(neighbours, species, starts, first, values)
                most = int(np.diff(chunk.rows).max(initial=0))
                size = self._library.changes_work(settings, members, most)
                self._library.changes(
                    settings,
                    n_atoms,
                    first,
                    members,
                    most,
                    pointer(chunk.rows),
                    pointer(chunk.tiles),
                    pointer(chunk.lanes),
                    pointer(chunk.moments),
                    pointer(frames[first:]),
                    pointer(moves),
                    pointer(strains),
                    pointer(result[first:]),
                    pointer(self._workspace.take("work", (size,), self._dtype)),
                )

        _shared_out(work, len(species))
        return result

    def _features(
        self,
        neighbours: Neighbours,
        species: NDArray[np.int64],
        starts: NDArray[np.int64],
        first: int,
        values: NDArray[np.floating],
    ) -> _Chunk:
        n_atoms = len(values)
        rows = np.empty(n_atoms * self._n_species + 1, dtype=np.int64)
        settings = ctypes.addressof(self._settings)
        where, others, kinds = (pointer(starts[first:]), pointer(neighbours.pairs[1]), pointer(species))
        n_tiles = self._library.layout(settings, n_atoms, where, others, kinds, pointer(rows))
        chunk = _Chunk(
            first,
            n_atoms,
            rows,
            self._workspace.take("tiles", (n_tiles, self._tile, self._lanes), self._dtype),
            self._workspace.take("lanes", (n_tiles, self._lanes), "int64"),
            self._workspace.take("moments", (n_atoms, self._channels, self._moments), self._dtype),
        )
        self._library.features(
            settings,
            n_atoms,
            where,
            others,
            kinds,
            pointer(neighbours.vectors),
            pointer(rows),
            pointer(chunk.tiles),
            pointer(chunk.lanes),
            pointer(chunk.moments),
            pointer(values),
        )
        return chunk

    def _forces(
        self,
        chunk: _Chunk,
        given: NDArray[np.floating],
        frames: NDArray[np.int64],
        forces: NDArray[np.floating],
        virials: NDArray[np.float64],
    ) -> None:
        settings, members = ctypes.addressof(self._settings), len(given)
        work = self._workspace.take("work", (self._library.forces_work(settings, members),), self._dtype)
        self._library.forces(
            settings,
            chunk.n_atoms,
            chunk.first,
            members,
            pointer(chunk.rows),
            pointer(chunk.tiles),
            pointer(chunk.lanes),
            pointer(chunk.moments),
            pointer(given),
            pointer(frames[chunk.first :]),
            pointer(forces),
            pointer(virials) if len(virials) else None,
            pointer(work),
        )


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
        forces, virials = self.kernel.forces(
            self.neighbours, self.species, self.frames, lambda _, atoms: by_feature[:, atoms], n_frames=self.n_frames
        )
        return torch.from_numpy(forces), torch.from_numpy(virials).to(by_feature.dtype)

    def transposed(self, forces: torch.Tensor, virials: torch.Tensor) -> torch.Tensor:
        """See `ForceMap.transposed`."""
        strains = (0.5 * (virials + virials.transpose(1, 2))).numpy()
        changes = self.kernel.changes(self.neighbours, self.species, self.frames, forces.numpy(), strains)
        return torch.from_numpy(changes).permute(2, 0, 1)


def _shared_out(work: Callable[[NDArray[np.int64]], Result], n_atoms: int) -> list[Result]:
    """Give each thread that torch may use its share of the chunks, which begin at these atoms; results in order."""
    chunks = np.arange(0, max(n_atoms, 1), CHUNK_ATOMS)
    shares = np.array_split(chunks, max(1, min(torch.get_num_threads(), len(chunks))))
    if len(shares) == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(work, shares))


def _starts(neighbours: Neighbours, n_atoms: int) -> NDArray[np.int64]:
    """Return where the pairs of each centre begin, ``(A + 1,)``."""
    starts = np.zeros(n_atoms + 1, dtype=np.int64)
    np.cumsum(np.bincount(neighbours.pairs[0], minlength=n_atoms), out=starts[1:])
    return starts
