"""The fit behind `bloomery.properties.equivariant_ridge`: features, rows for each part of a property, coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.equivariants import Irreducible
from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.descriptors.species import species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, Property
from bloomery.potentials.calibration import scale_factor
from bloomery.properties.contract import FittedProperty, PropertyPrediction, spread
from bloomery.properties.environments import EnvironmentFeatures, Environments, chunked
from bloomery.properties.laws import LAWS, Gather, with_known, without_known
from bloomery.properties.regression import FOLDS, MEMBERS, ByRows, BySums, Regression, halves
from bloomery.properties.tensors import SCALAR, Parts, joined, parts_of, split

MOST_ROWS = 5000
"""Up to so many rows a regression is by rows."""
MOST_COEFFICIENTS = 3000
"""So many coefficients it has at most where it is not."""
MOST_NUMBERS = 2**26
"""So many numbers the rows have at most where it is: half a GiB."""


@dataclass(frozen=True)
class Linear:
    """The coefficients of one part."""

    constants: NDArray[np.float64]
    """Of a scalar, what each atom of a species has before all else, ``(S,)``; zero for other parts."""
    weights: NDArray[np.float64]
    """Of what was learnt from all frames, and of each member, ``(1 + M, S, F, 1 + Q)``."""


class FittedRidge(FittedProperty):
    """Fitted coefficients, and the features that they are for."""

    model = "equivariant_ridge"

    def __init__(
        self, name: Property, features: EnvironmentFeatures, parts: Mapping[Irreducible, Linear], factor: float
    ) -> None:
        super().__init__(name, features.elements, features.descriptor.settings.cutoff)
        self.features, self.parts, self.factor = features, dict(parts), factor
        # Coefficients of the features themselves, so that no components are needed: ``(S, 1 + Q, (1 + M) F)``.
        self._weights = {
            part: torch.from_numpy(
                np.einsum("sfg,ksgq->sqkf", features.selected[part].components, linear.weights).copy()
            ).flatten(2)
            for part, linear in self.parts.items()
        }

    def _predicted(self, configurations: Configurations) -> PropertyPrediction:
        kind, gather = LABELS[self.name], LAWS[self.name].gather
        found = [self._of_atoms(self._described(configurations[start:end])) for start, end in chunked(configurations)]
        shape = (1 + MEMBERS, 0)
        whole: Parts = {
            part: gathered(
                np.concatenate([np.zeros((*shape, 2 * part.degree + 1)), *(each[part] for each in found)], axis=1),
                configurations,
                gather,
            )
            for part in self.parts
        }
        values = with_known(self.name, joined(whole, kind), configurations)
        return PropertyPrediction(values[0], values[1:], self.factor)

    def _described(self, configurations: Configurations) -> Environments:
        return self.features.of(configurations, list(self.parts))

    def _of_atoms(self, environments: Environments) -> Parts:
        """What each atom has, of all frames and of each member, ``(1 + M, A, 2 l + 1)``."""
        result = {}
        for part, linear in self.parts.items():
            turning = environments.turning[part]
            values = turning.new_zeros((1 + MEMBERS, *turning.shape[::2]))
            for species in np.unique(environments.species):
                atoms = torch.from_numpy(np.flatnonzero(environments.species == species))
                by_feature = environments.factors[atoms] @ self._weights[part][species]
                values[:, atoms] = (by_feature.unflatten(1, (1 + MEMBERS, -1)) @ turning[atoms]).transpose(0, 1)
            constants = linear.constants[environments.species]
            result[part] = values.numpy() + constants[:, None]
        return result

    def content(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See `FittedProperty.content`."""
        plain, arrays = self.features.content()
        own = {
            f"{what}_of_{part.key}": getattr(linear, what)
            for part, linear in self.parts.items()
            for what in ("constants", "weights")
        }
        return plain | {"factor": self.factor}, arrays | own

    @classmethod
    def of_content(
        cls, name: Property, elements: list[str], plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        """See `FittedProperty.of_content`."""
        features = EnvironmentFeatures.of_content(elements, plain, arrays)
        parts = {
            part: Linear(*(arrays[f"{what}_of_{part.key}"] for what in ("constants", "weights")))
            for part in parts_of(LABELS[name])
        }
        return cls(name, features, parts, float(plain["factor"]))


def fit(
    settings: PowerSpectrumSettings,
    configurations: Configurations,
    name: Property,
    seed: int,
    *,
    components: int,
    invariants: int,
) -> FittedRidge:
    """Learn from frames that all have the label, with so many features and invariants, or fewer if that is too much."""
    kind, gather = LABELS[name], LAWS[name].gather
    labels = without_known(name, configurations.label(name)[0], configurations)
    targets = split(labels, kind)
    n_rows = len(labels) * max(2 * part.degree + 1 for part in parts_of(kind))
    most = MOST_NUMBERS // n_rows if n_rows <= MOST_ROWS else MOST_COEFFICIENTS
    n_species = len(configurations.elements)
    components = min(components, max(most // n_species, 1))
    invariants = min(invariants, max(most // (n_species * components) - 1, 0))
    features = EnvironmentFeatures.learnt(
        settings, configurations, parts_of(kind), components=components, invariants=invariants
    )
    # Folds of frames, so that atoms of a frame stay together.
    order = np.random.default_rng(seed).permutation(len(configurations))
    fold_of_frame = np.empty(len(order), dtype=np.int64)
    fold_of_frame[order] = np.arange(len(order)) % FOLDS
    parts, unseen, spreads = {}, {}, {}
    for part in parts_of(kind):
        rows = Rows(configurations, features, part, gather)
        constants = rows.constants(targets[part]) if part == SCALAR else np.zeros(len(features.elements))
        rest = targets[part] - rows.of_constants(constants)[:, None]
        weights, unseen[part], spreads[part] = _learnt(rows, rest, fold_of_frame)
        parts[part] = Linear(constants, weights)
    factor = _factor(joined(unseen, kind), joined(spreads, kind))
    return FittedRidge(name, features, parts, factor)


@dataclass(frozen=True)
class Rows:
    """What the labels of one part are linear in."""

    configurations: Configurations
    features: EnvironmentFeatures
    part: Irreducible
    gather: Gather

    @property
    def size(self) -> tuple[int, int, int]:
        """Species, features and factors, whose products are the coefficients."""
        return len(self.features.elements), self.features.width(self.part), 1 + self.features.invariants

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Of some frames after the other: their rows among all, the frame of each, and the table ``(R, 2 l + 1, P)``.

        Sums over frames are divided by the root of their number of atoms, as errors of sums grow.
        """
        offsets = self.configurations.offsets
        for start, end in chunked(self.configurations):
            part = self.configurations[start:end]
            table = gathered(self._table(part)[None], part, self.gather)[0]
            if self.gather == "sum":
                own = np.arange(start, end)
                yield own, own, np.swapaxes(table * self.weights[own, None, None], 1, 2)
            else:
                yield np.arange(offsets[start], offsets[end]), start + part.frame_of_atom, np.swapaxes(table, 1, 2)

    @property
    def weights(self) -> NDArray[np.float64]:
        """What rows are multiplied by."""
        if self.gather != "sum":
            return np.ones(self.configurations.n_atoms)
        return np.asarray(1 / np.sqrt(np.maximum(self.configurations.counts, 1)))

    def _table(self, configurations: Configurations) -> NDArray[np.float64]:
        """What each atom has for each coefficient, ``(A, P, 2 l + 1)``."""
        environments = self.features.of(configurations, [self.part])
        turning, factors = self.features.components(self.part, environments), environments.factors
        species, width, n_factors = self.size
        table = np.zeros((configurations.n_atoms, species, width * n_factors, turning.shape[2]))
        products = (turning[:, :, None] * factors[:, None, :, None]).flatten(1, 2).numpy()
        table[np.arange(len(table)), environments.species] = products
        return table.reshape(len(table), -1, turning.shape[2])

    def constants(self, labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what fits scalars ``(R, 1)`` best if each atom of a species has the same, ``(S,)``."""
        weights = self.weights
        table = self._counted() * weights[:, None]
        return np.asarray(np.linalg.lstsq(table, labels[:, 0] * weights, rcond=1e-10)[0])

    def of_constants(self, constants: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what constants make up, ``(R,)``."""
        return np.asarray(self._counted() @ constants)

    def _counted(self) -> NDArray[np.float64]:
        species = species_of(self.configurations, self.features.elements)
        return gathered(np.eye(len(self.features.elements))[species][None], self.configurations, self.gather)[0]


def gathered(atoms: NDArray[np.float64], configurations: Configurations, gather: Gather) -> NDArray[np.float64]:
    """Make a property of what atoms have, ``(K, A, ...)``; ``(K, N, ...)`` for sums."""
    if gather == "each":
        return atoms
    counts, frames = configurations.counts, configurations.frame_of_atom
    sums = np.zeros((len(atoms), len(counts), *atoms.shape[2:]))
    for result, given in zip(sums, atoms, strict=True):
        np.add.at(result, frames, given)
    if gather == "sum":
        return sums
    means = sums / np.maximum(counts, 1).reshape(-1, *[1] * (atoms.ndim - 2))
    return np.asarray(atoms - means[:, frames])


def _learnt(
    rows: Rows, labels: NDArray[np.float64], fold_of_frame: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients ``(1 + M, S, F, 1 + Q)``, errors of labels unseen, and what members say that have not seen them.

    Errors are ``(R, 2 l + 1)``, what members say ``(M / 2, R, 2 l + 1)``.
    """
    width = labels.shape[1]
    weights = rows.weights[:, None]
    n_coefficients = int(np.prod(rows.size))
    regression: Regression
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]
    if labels.size <= MOST_ROWS:
        table = np.zeros((*labels.shape, n_coefficients))
        folds = np.zeros(len(labels), dtype=np.int64)
        for own, frames, block in rows.blocks():
            table[own], folds[own] = block, fold_of_frame[frames]
        flat = table.reshape(-1, n_coefficients)
        regression = ByRows(flat, (labels * weights).ravel(), np.repeat(folds, width))
        blocks = [(np.arange(len(labels)), folds, table)]
    else:
        regression = BySums(n_coefficients)
        for own, frames, block in rows.blocks():
            given = (labels[own] * weights[own]).ravel()
            regression.add(block.reshape(-1, n_coefficients), given, np.repeat(fold_of_frame[frames], width))
        blocks = ((own, fold_of_frame[frames], block) for own, frames, block in rows.blocks())
    strength = regression.best_strength()
    members = np.stack(regression.committee(strength))
    left_out = np.stack(regression.left_out(strength))
    every = regression.solution(range(FOLDS), strength)
    errors, unseen = np.zeros(labels.shape), np.zeros((MEMBERS // 2, *labels.shape))
    # For each fold, the members that have not seen it.
    strangers = np.array([[m for m, seen in enumerate(halves()) if fold not in seen] for fold in range(FOLDS)])
    for own, folds, block in blocks:
        errors[own] = np.einsum("rmp,rp->rm", block, left_out[folds]) / weights[own] - labels[own]
        for place in range(MEMBERS // 2):
            unseen[place, own] = np.einsum("rmp,rp->rm", block, members[strangers[folds, place]]) / weights[own]
    return np.stack([every, *members]).reshape(1 + MEMBERS, *rows.size), errors, unseen


def _factor(errors: NDArray[np.float64], unseen: NDArray[np.float64]) -> float:
    """Return what turns the spread of members into a standard error; 1 where they do not differ."""
    sigmas = spread(unseen)
    if not (sigmas > 0).any():
        return 1.0
    flat = errors.reshape(len(errors), -1)
    repeated = np.repeat(sigmas[:, None], flat.shape[1], axis=1)
    return scale_factor(flat, repeated, members=len(unseen), components=flat.shape[1]) or 1.0
