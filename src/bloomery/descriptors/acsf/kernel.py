"""The kernel of symmetry functions: features, their Jacobian, and the forces of a model."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.acsf.cutoffs import TANH_NORM, polynomial_factor, polynomial_terms
from bloomery.descriptors.acsf.settings import AcsfSettings
from bloomery.descriptors.kernels import CHUNK_ATOMS, AtomTables, ForceKernel
from bloomery.frames.neighbours import Neighbours
from bloomery.native import load_kernel
from bloomery.native.arrays import Integer, Kept, Place, Real, padded, pointer
from bloomery.threads import share_out

if TYPE_CHECKING:
    from bloomery.descriptors.acsf.values import AngularGroup, Gaussians, RadialGroup, SymmetryFunctions

SOURCE = Path(__file__).with_suffix(".c")
KINDS = ("cosine", "tanh", "tanh_normalised", "exponential", "polynomial")
"""Cutoff functions in the order in which the kernel counts them."""


class _Gaussians(ctypes.Structure):
    _fields_ = (("count", Integer), ("eta", Place), ("shift", Place), ("cutoffs", Place))


class _Radial(ctypes.Structure):
    _fields_ = (("species", Integer), ("gaussians", _Gaussians), ("place", Integer))


class _Angular(ctypes.Structure):
    _fields_ = (
        ("first", Integer), ("second", Integer), ("narrow", Integer), ("gaussians", _Gaussians), ("zetas", Integer),
        ("lambdas", Integer), ("zeta", Place), ("lambda", Place), ("place", Integer),
    )  # fmt: skip


class _Centre(ctypes.Structure):
    _fields_ = (
        ("n_radial", Integer), ("n_angular", Integer), ("radial", Place), ("angular", Place), ("terms", Integer),
        ("columns", Place), ("weights", Place),
    )  # fmt: skip


class _Settings(ctypes.Structure):
    _fields_ = (
        ("species", Integer), ("features", Integer), ("cutoff", Real), ("kind", Integer), ("inner", Real),
        ("order", Integer), ("coefficients", Place), ("factor", Real), ("centres", Place),
    )  # fmt: skip


class AcsfKernel(ForceKernel):
    """Given symmetry functions in one precision."""

    def __init__(self, library: ctypes.CDLL, settings: AcsfSettings, tables: SymmetryFunctions, dtype: str) -> None:
        self._kept = Kept()
        self._lanes = int(library.vector_lanes())
        centres = [self._centre(*groups) for groups in zip(tables.radial, tables.angular, strict=True)]
        kind, _, order = settings.cutoff_function.partition("_")
        terms, factor = [0.0], 1.0
        if kind == "polynomial":
            terms, factor = polynomial_terms(int(order)), polynomial_factor(int(order))
        elif settings.cutoff_function == "tanh_normalised":
            factor = TANH_NORM
        number = KINDS.index(kind if kind == "polynomial" else settings.cutoff_function)
        library.jacobian.argtypes = [Place, Place, Integer, Integer, *[Place] * 3]
        cutoff = (settings.cutoff, number, settings.inner_cutoff, len(terms) - 1, self._kept.array(terms), factor)
        filled = _Settings(len(centres), tables.size, *cutoff, self._kept.structures(_Centre, centres))
        super().__init__(library, filled, tables.size, dtype)

    @classmethod
    def make(cls, settings: AcsfSettings, tables: SymmetryFunctions, dtype: str) -> AcsfKernel | None:
        """Return the kernel, or ``None`` where there is none: see `load_kernel`."""
        library = load_kernel(SOURCE, dtype)
        return None if library is None else cls(library, settings, tables, dtype)

    def jacobian(
        self, neighbours: Neighbours, species: NDArray[np.int64]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Features ``(A, F)``, and their derivatives by the vectors to the neighbours, ``(E, 3, F)``."""
        atoms = AtomTables.of(neighbours, species)
        values = np.empty((len(species), self.size), dtype=self._dtype)
        result = np.empty((len(neighbours.vectors), 3, self.size), dtype=self._dtype)

        def work(first: int, last: int) -> None:
            self._run("jacobian", atoms, first, last, pointer(values[first:]), pointer(result), members=1)

        share_out(work, len(species), torch.get_num_threads(), grain=CHUNK_ATOMS)
        return values, result

    def _centre(self, radial: Sequence[RadialGroup], angular: Sequence[AngularGroup]) -> _Centre:
        columns: list[int] = []
        weights: list[float] = []

        def place(count: int) -> int:
            """Make room for so many terms that are part of no feature yet."""
            begin = len(columns)
            columns.extend([-1] * padded(count, self._lanes))
            weights.extend([0.0] * padded(count, self._lanes))
            return begin

        radial_tables = []
        for group in radial:
            begin = place(len(group.columns))
            radial_tables.append(_Radial(group.species, self._gaussians(group.gaussians), begin))
            for n, column in enumerate(group.columns.tolist()):
                columns[begin + n], weights[begin + n] = column, group.weight
        angular_tables = []
        for pairs in angular:
            if not pairs.counts:
                continue
            factors, count = len(pairs.zetas) * len(pairs.lambdas), len(pairs.gaussians.eta)
            row = padded(factors, self._lanes)
            begin = place(count * row)
            sizes = (len(pairs.zetas), len(pairs.lambdas))
            shapes = (self._kept.array(pairs.zetas), self._kept.array(pairs.lambdas.tolist()))
            gaussians = self._gaussians(pairs.gaussians)
            angular_tables.append(_Angular(pairs.first, pairs.second, pairs.narrow, gaussians, *sizes, *shapes, begin))
            for pick, column in zip(pairs.picks.tolist(), pairs.columns.tolist(), strict=True):
                term = begin + pick // factors * row + pick % factors
                columns[term], weights[term] = column, pairs.weight
        radial_place = self._kept.structures(_Radial, radial_tables)
        angular_place = self._kept.structures(_Angular, angular_tables)
        terms = (len(columns), self._kept.array(columns, "int64"), self._kept.array(weights))
        return _Centre(len(radial_tables), len(angular_tables), radial_place, angular_place, *terms)

    def _gaussians(self, gaussians: Gaussians) -> _Gaussians:
        cutoffs = gaussians.cutoffs.double()
        every = cutoffs.expand(len(gaussians.eta)) if gaussians.which is None else cutoffs[gaussians.which]
        parts = (gaussians.eta, gaussians.shift, every)
        return _Gaussians(len(gaussians.eta), *(self._kept.array(part.tolist()) for part in parts))
