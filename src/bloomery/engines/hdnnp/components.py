"""Principal components of the features: what the networks are trained on.

Features of one descriptor are nearly linear combinations of each other, and a step of Adam is taken along each of them
alone. Along principal components steps are independent, and those that hardly vary are left out: a training is several
times faster and ends at smaller errors. What has been learnt is a network of the features themselves again: the
components are linear, and are multiplied into its first layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.engines.hdnnp.model import Parameters

PRIOR_ATOMS = 20
"""An element with few atoms has the components of all elements: so many atoms of the latter count as its own."""
ALIKE = 0.5
"""Elements of which the covariances of the features are so similar share their components. In an alloy of four metals
the least similar two have 0.9, oxygen and hydrogen in water 0.85, in a molecule of carbon, oxygen and hydrogen 0.2:
networks for these learn better along components of their own."""
LEAST_VARIANCE = 1e-11
"""Of the first component: what varies less is a rounding error."""
FIRST_LAYER = ("weight_0", "skip")


@dataclass(frozen=True)
class Components:
    """Linear maps from scaled features to components, one for each element, and back.

    Parameters
    ----------
    table
        ``components = features @ table``, ``(S, F, P)``.
    inverse
        ``(S, P, F)``; ``inverse @ table`` is one.
    alike
        All elements have the same components, so that what one learns of them can say something to the others.
    """

    table: NDArray[np.float64]
    inverse: NDArray[np.float64]
    alike: bool

    @property
    def count(self) -> int:
        """Number of components of an atom, ``P``."""
        return self.table.shape[2]

    @classmethod
    def of(
        cls,
        inputs: NDArray[np.float64],
        species: NDArray[np.int64],
        most: int,
        scaling: float,
        kept: NDArray[np.float64],
    ) -> Components:
        """Learn them from scaled features.

        Parameters
        ----------
        inputs
            Of all atoms of the training frames, each element's about its own mean, ``(A, F)``.
        species
            Element of each atom, ``(A,)``.
        most
            No more components than this.
        scaling
            How far components are brought to equal variance, from 0 to 1.
        kept
            Directions that must not be lost, ``(S, F, K)``: those of a potential that is trained further on frames
            other than its own.
        """
        every = inputs.T @ inputs / max(len(inputs), 1)
        sums = [rows.T @ rows for rows in (inputs[species == element] for element in range(len(kept)))]
        alike = len(kept) > 1 and _similarity(sums) > ALIKE
        if alike or len(kept) == 1:
            principal = [_principal(every, most, scaling)] * len(kept)
        else:
            counts = np.bincount(species, minlength=len(kept))
            shrunk = [(own + PRIOR_ATOMS * every) / (n + PRIOR_ATOMS) for own, n in zip(sums, counts, strict=True)]
            principal = [_principal(covariance, most, scaling) for covariance in shrunk]
        tables, inverses = [], []
        for (first, sizes, rest), directions in zip(principal, kept, strict=True):
            # Within what is left of the space, so that they stand at right angles on the components.
            others = rest @ np.linalg.svd(rest.T @ directions, full_matrices=False)[0]
            axes = np.concatenate([first, others], axis=1)
            lengths = np.concatenate([sizes, np.full(others.shape[1], sizes[-1])])
            tables.append(axes / lengths)
            inverses.append((axes * lengths).T)
        return cls(np.array(tables), np.array(inverses), alike)

    def reduced(self, parameters: Parameters) -> Parameters:
        """Turn networks of features into those of components."""
        return self._mapped(parameters, self.inverse)

    def drawn(self, parameters: Parameters) -> Parameters:
        """Turn weights drawn for features of unit variance into such for components.

        They do not depend on the signs of the components, which are any, nor on the axes among equal ones.
        """
        axes = self.inverse / np.linalg.norm(self.inverse, axis=2, keepdims=True)
        return self._mapped(parameters, axes * (axes.shape[2] / axes.shape[1]) ** 0.5)

    def expanded(self, parameters: Parameters) -> Parameters:
        """Turn networks of components into those of features."""
        return self._mapped(parameters, self.table)

    def _mapped(self, parameters: Parameters, maps: NDArray[np.float64]) -> Parameters:
        of_element = torch.from_numpy(maps)
        return {name: of_element @ value if name in FIRST_LAYER else value for name, value in parameters.items()}


def _similarity(covariances: list[NDArray[np.float64]]) -> float:
    """Cosine between the least similar two."""
    rows = np.stack([covariance.ravel() for covariance in covariances])
    sizes = np.linalg.norm(rows, axis=1)
    return float((rows @ rows.T / np.maximum(np.outer(sizes, sizes), np.finfo(float).tiny)).min())


def _principal(
    covariance: NDArray[np.float64], most: int, scaling: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Axes ``(F, P)``, what components along them are divided by, ``(P,)``, and the axes that are left, ``(F, F - P)``.

    The mean square of the components is then one.
    """
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1][:most], axes[:, ::-1]
    axes, rest = axes[:, :most], axes[:, most:]
    if variances[0] <= 0:
        return axes, np.ones(axes.shape[1]), rest
    variances = np.maximum(variances, LEAST_VARIANCE * variances[0])
    lengths = variances ** (0.5 * scaling)
    return axes, lengths * np.sqrt(np.mean(variances / lengths**2)), rest
