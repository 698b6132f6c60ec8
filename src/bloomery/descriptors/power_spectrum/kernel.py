"""The power spectrum's kernel: features, and forces contracted without a Jacobian."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.contract import ForceMap
from bloomery.descriptors.kernels import CHUNK_ATOMS, AtomTables, ForceKernel
from bloomery.descriptors.power_spectrum.angular_momenta import couplings
from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.native import load_kernel
from bloomery.native.arrays import Integer, Kept, Place, Real, padded, pointer
from bloomery.threads import share_out

SOURCE = Path(__file__).with_suffix(".c")
MOST_SPECIES = 128


class _Settings(ctypes.Structure):
    _fields_ = (
        ("species", Integer), ("cutoff", Real), ("inner", Real), ("width", Real), ("triples", Place), ("gaunt", Place),
        ("couplings", Integer), ("channels", Integer), ("mixing", Place),
    )  # fmt: skip


class PowerSpectrumKernel(ForceKernel):
    """Features and forces with given settings for ``S`` species in one precision."""

    def __init__(self, library: ctypes.CDLL, settings: PowerSpectrumSettings, n_species: int, dtype: str) -> None:
        found = couplings(settings.four_body_degree)
        entries: dict[tuple[int, ...], float] = {}
        for triple, (of, gaunt) in enumerate(found):
            for orders, value in np.ndenumerate(gaunt):
                # A product of moments does not know the order of its factors.
                places = sorted(degree**2 + order for degree, order in zip(of, orders, strict=True))
                entries[triple, *places] = entries.get((triple, *places), 0.0) + float(value)
        entries = {places: value for places, value in entries.items() if value}
        self._kept = Kept()
        width = (settings.cutoff - settings.first_centre) / settings.radial
        terms = (self._kept.array(list(entries), "int32"), self._kept.array(list(entries.values())), len(entries))
        mixed = settings.mixed_channels(n_species), self._mixing(settings, library.vector_lanes(), dtype)
        filled = _Settings(n_species, settings.cutoff, settings.first_centre, width, *terms, *mixed)
        super().__init__(library, filled, settings.size(n_species), dtype)

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
        library = load_kernel(SOURCE, dtype, tuple(defines.items()))
        if library is None:
            return None
        library.initialise.argtypes = []
        library.initialise()
        library.changes.argtypes = [Place, Place, *[Integer] * 3, *[Place] * 4]
        return cls(library, settings, n_species, dtype)

    def _mixing(self, settings: PowerSpectrumSettings, lanes: int, dtype: str) -> int | None:
        """Address of what channels are mixed by, with the factors of each plain channel side by side."""
        if settings.mixing is None:
            return None
        matrices = np.array(settings.mixing).swapaxes(1, 2)
        channels = matrices.shape[2]
        return self._kept.array(np.pad(matrices, [(0, 0), (0, 0), (0, padded(channels, lanes) - channels)]), dtype)

    def changes(
        self, atoms: AtomTables, moves: NDArray[np.floating], strains: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Apply the transpose of `mapped`: from ``(A, 3, M)`` and ``(n_frames, 3, 3, M)`` to ``(A, F, M)``."""
        moves, strains = (np.ascontiguousarray(given, dtype=self._dtype) for given in (moves, strains))
        members = moves.shape[2]
        result = np.empty((atoms.count, self.size, members), dtype=self._dtype)

        def work(first: int, last: int) -> None:
            places = (pointer(moves), pointer(strains), pointer(result))
            self._run("changes", atoms, first, last, members, *places, members=members)

        share_out(work, atoms.count, torch.get_num_threads(), grain=CHUNK_ATOMS)
        return result


@dataclass(frozen=True)
class PowerSpectrumMap(ForceMap):
    """See `ForceMap`: harmonics are computed anew each time, which costs less than reading a Jacobian does."""

    kernel: PowerSpectrumKernel
    atoms: AtomTables
    n_frames: int

    def forces(self, by_feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ForceMap.forces`."""
        forces, virials = self.kernel.mapped(self.atoms, by_feature.contiguous().numpy(), self.n_frames)
        return torch.from_numpy(forces), torch.from_numpy(virials).to(by_feature.dtype)

    def transposed(self, forces: torch.Tensor, virials: torch.Tensor) -> torch.Tensor:
        """See `ForceMap.transposed`."""
        strains = (0.5 * (virials + virials.transpose(1, 2))).numpy()
        return torch.from_numpy(self.kernel.changes(self.atoms, forces.numpy(), strains)).permute(2, 0, 1)
