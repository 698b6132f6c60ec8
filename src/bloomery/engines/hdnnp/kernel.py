"""The committee's kernel: atomic energies of all members and their derivatives by the features."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.hdnnp.model import SWITCH
from bloomery.native import load_kernel
from bloomery.native.arrays import Integer, Kept, Place, Real, Workspace, padded, pointer

SOURCE = Path(__file__).with_suffix(".c")
ACTIVATIONS = (
    "silu", "tanh", "logistic", "reverse_logistic", "softplus", "relu", "gaussian", "cosine", "exponential", "square",
    "identity",
)  # fmt: skip
"""Names in the order in which the kernel counts them."""
MOST_LAYERS = 8


class _Networks(ctypes.Structure):
    _fields_ = (
        ("members", Integer), ("features", Integer), ("layers", Integer), ("widths", Integer * (MOST_LAYERS + 1)),
        ("activations", Integer * MOST_LAYERS), ("weights", Place), ("stride", Integer), ("mean", Place),
        ("isolated", Place), ("inverse_magnitude", Place), ("middle", Place), ("inverse_half", Place),
        ("isolation", Real),
    )  # fmt: skip


class _Committee(ctypes.Structure):
    _fields_ = (
        ("elements", Place), ("n_elements", Integer), ("n_atoms", Integer), ("species", Place), ("energies", Place),
        ("outermost", Place), ("distances", Place), ("rows", Place), ("work", Place),
    )  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """Plain numbers of one element's networks: features in, eV out.

    Parameters
    ----------
    weights, biases
        Of each layer: ``(M, in, out)`` and ``(M, out)``.
    skip
        ``(M, F)``, or ``None``.
    mean, isolated, inverse_magnitude
        ``(F,)``: what is subtracted from the features, and those of the isolated atom with the reciprocals of how far
        features usually are from them; the latter two are ``None`` where there is no isolation switch.
    middle, inverse_half
        Of the ranges, ``(F,)``; ``None`` where they are not known.
    """

    weights: list[NDArray[np.floating]]
    biases: list[NDArray[np.floating]]
    skip: NDArray[np.floating] | None
    mean: NDArray[np.floating]
    isolated: NDArray[np.floating] | None
    inverse_magnitude: NDArray[np.floating] | None
    middle: NDArray[np.floating] | None
    inverse_half: NDArray[np.floating] | None


class CommitteeKernel:
    """Networks of all elements in one precision, with the names of the activations of each hidden layer.

    Use `make`, which knows whether there can be one.
    """

    def __init__(self, library: ctypes.CDLL, elements: list[Tables], activations: tuple[str, ...], dtype: str) -> None:
        self._library, self._dtype = library, dtype
        self._lanes, self._panel = int(library.vector_lanes()), int(library.panel_width())
        self._kept = Kept()
        packed = [self._pack(tables, activations) for tables in elements]
        self._networks = (_Networks * len(packed))(*packed)
        self._work = max(int(library.committee_work(ctypes.addressof(networks))) for networks in self._networks)
        self.members = len(elements[0].weights[0])
        self._workspace = Workspace()

    @classmethod
    def make(cls, elements: list[Tables], activations: tuple[str, ...], dtype: str) -> CommitteeKernel | None:
        """Return the kernel, or ``None`` where there is none: see `load_kernel`."""
        library = load_kernel(SOURCE, dtype) if len(activations) <= MOST_LAYERS else None
        if library is None:
            return None
        library.panel_width.argtypes, library.panel_width.restype = [], Integer
        library.committee_work.argtypes, library.committee_work.restype = [Place], Integer
        library.evaluate.argtypes = [Place, Integer, Integer, Place, Place]
        return cls(library, elements, activations, dtype)

    @property
    def address(self) -> int:
        """Of the function `evaluate` of kernel.c."""
        return ctypes.cast(self._library.evaluate, Place).value or 0

    def context(self, species: NDArray[np.int64], *results: NDArray[Any]) -> ctypes.Structure:
        """Return the first argument of that function, for one thread; arrays as in `CompiledCommittee`."""
        rows = self._workspace.take("rows", (len(species),), "int64")
        arrays = (species, *results, rows, self._workspace.take("work", (self._work,), self._dtype))
        networks = self._networks
        return _Committee(ctypes.addressof(networks), len(networks), len(species), *map(pointer, arrays))

    def evaluate(self, context: ctypes.Structure, values: NDArray[np.floating], first: int) -> NDArray[np.floating]:
        """See `CompiledCommittee`."""
        derivatives = np.empty((self.members, *values.shape), dtype=self._dtype)
        places = (pointer(values), pointer(derivatives))
        self._library.evaluate(ctypes.addressof(context), first, len(values), *places)
        return derivatives

    def _pack(self, tables: Tables, activations: tuple[str, ...]) -> _Networks:
        """Lay out weights as the kernel reads them; see kernel.c."""
        members, features, _ = tables.weights[0].shape
        sizes = [weight.shape[1] for weight in tables.weights]
        widths = [padded(size, self._lanes) for size in sizes]
        parts: list[NDArray[np.floating]] = []
        for layer, (weight, bias) in enumerate(zip(tables.weights[:-1], tables.biases[:-1], strict=True)):
            forward = np.zeros((members, widths[layer], widths[layer + 1]), dtype=self._dtype)
            forward[:, : weight.shape[1], : weight.shape[2]] = weight
            backward = forward.transpose(0, 2, 1)
            parts += [self._panels(forward), self._rows(bias, widths[layer + 1]), self._panels(backward)]
        last_bias = np.zeros((members, self._lanes), dtype=self._dtype)
        last_bias[:, 0] = tables.biases[-1][:, 0]
        skip = np.zeros((members, features)) if tables.skip is None else tables.skip
        parts += [self._rows(tables.weights[-1][:, :, 0], widths[-1]), last_bias, self._rows(skip, widths[0])]
        weights = np.concatenate([part.reshape(members, -1) for part in parts], axis=1)
        rows = (tables.mean, tables.isolated, tables.inverse_magnitude, tables.middle, tables.inverse_half)
        return _Networks(
            members,
            features,
            len(activations),
            (Integer * (MOST_LAYERS + 1))(*widths),
            (Integer * MOST_LAYERS)(*(ACTIVATIONS.index(name) for name in activations)),
            self._keep(weights),
            weights.shape[1],
            *map(self._keep, rows),
            SWITCH,
        )

    def _panels(self, matrices: NDArray[np.floating]) -> NDArray[np.floating]:
        """Columns that are read together, one after the other, ``(M, in x out)``; the last ones vector by vector."""
        whole = matrices.shape[2] // self._panel * self._panel
        bounds = [*range(0, whole, self._panel), *range(whole, matrices.shape[2], self._lanes)]
        parts = np.split(matrices, bounds[1:], axis=2)
        return np.concatenate([part.reshape(len(matrices), -1) for part in parts], axis=1)

    def _rows(self, values: NDArray[np.floating], width: int) -> NDArray[np.floating]:
        result = np.zeros((len(values), width), dtype=self._dtype)
        result[:, : values.shape[1]] = values
        return result

    def _keep(self, values: NDArray[np.floating] | None) -> int | None:
        """Address of a copy, in the kernel's precision."""
        return None if values is None else self._kept.array(values, self._dtype)


@dataclass(frozen=True)
class CompiledCommittee:
    """The networks of given atoms. Other kernels call them by their address, without a way through Python.

    Parameters
    ----------
    species
        Which element each atom is of, ``(A,)``.
    energies
        They are written here, ``(M, A)``.
    outermost, distances
        Where ranges are known, which feature is outermost and how far are written here, ``(A,)`` each.
    """

    kernel: CommitteeKernel
    species: NDArray[np.int64]
    energies: NDArray[np.floating]
    outermost: NDArray[np.int64]
    distances: NDArray[np.float64]

    def context(self) -> ctypes.Structure:
        """Return the first argument of the function that evaluates some atoms, for this thread."""
        return self.kernel.context(self.species, self.energies, self.outermost, self.distances)

    def __call__(self, values: NDArray[np.floating], first: int) -> NDArray[np.floating]:
        """Derivatives ``(M, n, F)`` of the atoms from ``first`` on by their features ``(n, F)``."""
        return self.kernel.evaluate(self.context(), values, first)
