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

Array = NDArray[np.floating]
Arrays = dict[str, Array]
Rows = list[Array | None]
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
        ("activations", Integer * MOST_LAYERS), ("weights", Place), ("stride", Integer), ("together", Place),
        ("mean", Place), ("isolated", Place), ("inverse_magnitude", Place), ("middle", Place), ("inverse_half", Place),
        ("isolation", Real),
    )  # fmt: skip


class _Committee(ctypes.Structure):
    _fields_ = (
        ("elements", Place), ("n_elements", Integer), ("n_atoms", Integer), ("averaged", Integer), ("species", Place),
        ("energies", Place), ("outermost", Place), ("distances", Place), ("rows", Place), ("work", Place),
    )  # fmt: skip


class CommitteeKernel:
    """Networks of all elements in one precision, plain numbers: features in, eV out.

    Use `make`, which knows whether there can be one.

    Parameters
    ----------
    parameters
        As in `Evaluator`, with scales folded in.
    rows
        Of each element, ``(S, F)``: what is subtracted from the features; the features of the isolated atom, and the
        reciprocals of how far features usually are from them, ``None`` where there is no isolation switch; middles of
        the ranges and reciprocals of their half widths, ``None`` where they are not known.
    activations
        Of each hidden layer, by name.
    """

    def __init__(
        self, library: ctypes.CDLL, parameters: Arrays, rows: Rows, activations: tuple[str, ...], dtype: str
    ) -> None:
        self._library, self._dtype = library, dtype
        self._lanes, self._panel = int(library.vector_lanes()), int(library.panel_width())
        self._kept = Kept()
        self.members, n_species = parameters["weight_0"].shape[:2]
        packed = [self._pack(parameters, rows, activations, species) for species in range(n_species)]
        self._networks = (_Networks * n_species)(*packed)
        self._work = max(int(library.committee_work(ctypes.addressof(networks))) for networks in self._networks)
        self._workspace = Workspace()

    @classmethod
    def make(cls, parameters: Arrays, rows: Rows, activations: tuple[str, ...], dtype: str) -> CommitteeKernel | None:
        """Return the kernel, or ``None`` where there is none: see `load_kernel`."""
        library = load_kernel(SOURCE, dtype) if len(activations) <= MOST_LAYERS else None
        if library is None:
            return None
        library.panel_width.argtypes, library.panel_width.restype = [], Integer
        library.committee_work.argtypes, library.committee_work.restype = [Place], Integer
        library.evaluate.argtypes = [Place, Integer, Integer, Place, Place]
        return cls(library, parameters, rows, activations, dtype)

    @property
    def address(self) -> int:
        """Of the function `evaluate` of kernel.c."""
        return ctypes.cast(self._library.evaluate, Place).value or 0

    def context(self, averaged: bool, species: NDArray[np.int64], *results: NDArray[Any]) -> ctypes.Structure:
        """Return the first argument of that function, for one thread; arrays as in `CompiledCommittee`."""
        rows = self._workspace.take("rows", (len(species),), "int64")
        arrays = (species, *results, rows, self._workspace.take("work", (self._work,), self._dtype))
        networks = self._networks
        return _Committee(ctypes.addressof(networks), len(networks), len(species), averaged, *map(pointer, arrays))

    def evaluate(self, context: ctypes.Structure, values: Array, first: int, columns: int) -> Array:
        """See `CompiledCommittee`."""
        derivatives = np.empty((columns, *values.shape), dtype=self._dtype)
        places = (pointer(values), pointer(derivatives))
        self._library.evaluate(ctypes.addressof(context), first, len(values), *places)
        return derivatives

    def _pack(self, parameters: Arrays, rows: Rows, activations: tuple[str, ...], species: int) -> _Networks:
        """Lay out one element's weights as the kernel reads them; see kernel.c."""
        hidden, own = len(activations), {name: values[:, species] for name, values in parameters.items()}
        layers = [(own[f"weight_{layer}"], own[f"bias_{layer}"][:, 0]) for layer in range(hidden + 1)]
        widths = [padded(weight.shape[1], self._lanes) for weight, _ in layers]
        features, parts = layers[0][0].shape[1], []
        for layer, (weight, bias) in enumerate(layers[:-1]):
            forward = np.zeros((self.members, widths[layer], widths[layer + 1]), dtype=self._dtype)
            forward[:, : weight.shape[1], : weight.shape[2]] = weight
            backward = forward.transpose(0, 2, 1)
            parts += [self._panels(forward), self._rows(bias, widths[layer + 1]), self._panels(backward)]
        weight, bias = layers[-1]
        skip = own["skip"][..., 0] if "skip" in own else np.zeros((self.members, features))
        first = np.zeros((widths[0], self.members, widths[1]))
        first[:features, :, : layers[0][0].shape[2]] = layers[0][0].transpose(1, 0, 2) / self.members
        together = (
            self._panels(first.reshape(1, widths[0], -1).transpose(0, 2, 1)),
            self._rows(skip.mean(0)[None], widths[0]),
        )
        parts += [self._rows(weight[:, :, 0], widths[-1]), self._rows(bias, self._lanes), self._rows(skip, widths[0])]
        weights = np.concatenate([part.reshape(self.members, -1) for part in parts], axis=1)
        return _Networks(
            self.members,
            features,
            hidden,
            (Integer * (MOST_LAYERS + 1))(*widths),
            (Integer * MOST_LAYERS)(*(ACTIVATIONS.index(name) for name in activations)),
            self._kept.array(weights, self._dtype),
            weights.shape[1],
            self._kept.array(np.concatenate([part.ravel() for part in together]), self._dtype),
            *(
                None if row is None else self._kept.array(self._rows(row[species, None], widths[0]), self._dtype)
                for row in rows
            ),
            SWITCH,
        )

    def _panels(self, matrices: Array) -> Array:
        """Columns that are read together, one after the other, ``(M, in x out)``; the last ones vector by vector."""
        whole = matrices.shape[2] // self._panel * self._panel
        bounds = [*range(0, whole, self._panel), *range(whole, matrices.shape[2], self._lanes)]
        parts = np.split(matrices, bounds[1:], axis=2)
        return np.concatenate([part.reshape(len(matrices), -1) for part in parts], axis=1)

    def _rows(self, values: Array, width: int) -> Array:
        result = np.zeros((len(values), width), dtype=self._dtype)
        result[:, : values.shape[1]] = values
        return result


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
    averaged
        Derivatives are of the mean energy alone.
    """

    kernel: CommitteeKernel
    species: NDArray[np.int64]
    energies: Array
    outermost: NDArray[np.int64]
    distances: NDArray[np.float64]
    averaged: bool = False

    @property
    def columns(self) -> int:
        """Of how many energies there are derivatives."""
        return 1 if self.averaged else self.kernel.members

    def context(self) -> ctypes.Structure:
        """Return the first argument of the function that evaluates some atoms, for this thread."""
        return self.kernel.context(self.averaged, self.species, self.energies, self.outermost, self.distances)

    def __call__(self, values: Array, first: int) -> Array:
        """Derivatives ``(M, n, F)``, or ``(1, n, F)``, of the atoms from ``first`` on by their features ``(n, F)``."""
        return self.kernel.evaluate(self.context(), values, first, self.columns)
