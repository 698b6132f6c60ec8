"""What an atom's environment gives a linear model: features that turn, each times features that do not.

The features are those of `bloomery.descriptors.power_spectrum.equivariants`. Of all that turn alike, the most telling
are taken, and of these the principal components of each species. Products with the first invariant components make a
linear model of correlations of four neighbours and more: with ``e`` the features that turn and ``h = (1, s_1, ...,
s_Q)`` the invariants, an atom has ``e_f h_q``. Their scalar product is a kernel, ``(e . e') (1 + s . s')``, after
Grisafi et al., Phys. Rev. Lett. 120, 036002 (2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.descriptors.power_spectrum.equivariants import Equivariants, Irreducible, most_telling, products
from bloomery.descriptors.power_spectrum.expansion import Expansion
from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.descriptors.species import species_of
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.plugins import parse_settings
from bloomery.properties.tensors import SCALAR

LEARNT_ATOMS = 3000
"""About so many atoms decide which features are taken."""
CHUNK_ATOMS = 512
SHARE = 0.5
"""Root mean square of what multiplies the features that turn, beside the one that is constant."""


@dataclass(frozen=True)
class Selected:
    """The features of one kind that were taken, and their principal components."""

    terms: NDArray[np.int64]
    """As in `Equivariants`, ``(F, 4)``."""
    means: NDArray[np.float64]
    """Of invariants over the atoms of each species, ``(S, F)``; zero for others."""
    components: NDArray[np.float64]
    """Of each species, ``(S, F, F)``, the first first, so that the squares of all have a mean sum of one."""


@dataclass(frozen=True)
class Environments:
    """Features of the atoms of some frames."""

    species: NDArray[np.int64]
    """``(A,)``."""
    turning: Mapping[Irreducible, torch.Tensor]
    """``(A, F, 2 l + 1)`` of each kind, as they were selected, less the means of invariants."""
    factors: torch.Tensor
    """``h`` above, ``(A, 1 + Q)``."""


class EnvironmentFeatures:
    """What was learnt of how to describe environments.

    Attributes
    ----------
    descriptor
        The power spectrum, as it was fitted.
    selected
        The features that were taken, invariants among them.
    invariants
        How many invariant components features are multiplied by, ``Q``.
    """

    def __init__(
        self, descriptor: PowerSpectrum, elements: list[str], selected: Mapping[Irreducible, Selected], invariants: int
    ) -> None:
        self.descriptor, self.elements = descriptor, elements
        self.selected, self.invariants = dict(selected), invariants
        self._expansion = Expansion(descriptor.settings, len(elements), "cpu", "float64")
        self._equivariants = {kind: Equivariants(kind, found.terms) for kind, found in self.selected.items()}

    @classmethod
    def learnt(
        cls,
        settings: PowerSpectrumSettings,
        configurations: Configurations,
        kinds: Sequence[Irreducible],
        *,
        components: int,
        invariants: int,
    ) -> Self:
        """Choose features of these kinds by frames: so many of each, and so many invariants to multiply them by."""
        elements = configurations.elements
        step = max(1, -(-configurations.n_atoms // LEARNT_ATOMS))
        sample = configurations[::step]
        descriptor = PowerSpectrum(settings).fitted(configurations, elements)
        whole = cls(descriptor, elements, {}, 0)
        channels = descriptor.settings.mixed_channels(len(elements))
        species, moments = species_of(sample, elements), whole._moments(sample)
        selected = {}
        for kind in dict.fromkeys((SCALAR, *kinds)):
            terms = products(kind, channels, descriptor.settings.max_degree)
            features = Equivariants(kind, terms).of(moments)
            selected[kind] = _selected(terms, features, species, len(elements), components, centred=kind == SCALAR)
        fewest = min(selected[SCALAR].components.shape[2], invariants)
        return cls(descriptor, elements, selected, fewest)

    def width(self, kind: Irreducible) -> int:
        """Number of features of a kind, ``F``."""
        return int(self.selected[kind].components.shape[2])

    def of(self, configurations: Configurations, kinds: Sequence[Irreducible]) -> Environments:
        """Describe the atoms of frames."""
        species = species_of(configurations, self.elements)
        moments = self._moments(configurations)
        chosen = self.selected[SCALAR]
        invariants = self._equivariants[SCALAR].of(moments)[..., 0] - torch.from_numpy(chosen.means[species])
        factors = invariants.new_ones((len(species), 1 + self.invariants))
        for number in np.unique(species):
            atoms = torch.from_numpy(np.flatnonzero(species == number))
            first = torch.from_numpy(chosen.components[number, :, : self.invariants])
            factors[atoms, 1:] = SHARE * invariants[atoms] @ first
        turning = {
            kind: invariants[:, :, None] if kind == SCALAR else self._equivariants[kind].of(moments) for kind in kinds
        }
        return Environments(species, turning, factors)

    def components(self, kind: Irreducible, environments: Environments) -> torch.Tensor:
        """Principal components of the features of a kind, ``(A, F, 2 l + 1)``."""
        features = environments.turning[kind]
        result = torch.empty_like(features)
        for number in np.unique(environments.species):
            atoms = torch.from_numpy(np.flatnonzero(environments.species == number))
            result[atoms] = torch.from_numpy(self.selected[kind].components[number]).T @ features[atoms]
        return result

    def content(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Plain values and arrays that make it up."""
        arrays = {
            f"{name}_{kind.key}": getattr(found, name)
            for kind, found in self.selected.items()
            for name in ("terms", "means", "components")
        }
        kinds = [[kind.degree, kind.axial] for kind in self.selected]
        settings = self.descriptor.settings.model_dump(mode="json")
        return {"descriptor": settings, "kinds": kinds, "invariants": self.invariants}, arrays

    @classmethod
    def of_content(cls, elements: list[str], plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Undo `content`."""
        settings = parse_settings(PowerSpectrumSettings, plain["descriptor"], where="descriptor")
        kinds = [Irreducible(int(degree), bool(axial)) for degree, axial in plain["kinds"]]
        selected = {
            kind: Selected(*(arrays[f"{name}_{kind.key}"] for name in ("terms", "means", "components")))
            for kind in kinds
        }
        return cls(PowerSpectrum(settings), elements, selected, int(plain["invariants"]))

    def _moments(self, configurations: Configurations) -> torch.Tensor:
        neighbours = find_neighbours(configurations, self.descriptor.settings.cutoff)
        return self._expansion.moments(neighbours, species_of(configurations, self.elements))


def _selected(
    terms: NDArray[np.int64],
    features: torch.Tensor,
    species: NDArray[np.int64],
    n_species: int,
    count: int,
    *,
    centred: bool,
) -> Selected:
    """Take the most telling of features ``(A, T, 2 l + 1)`` over all species alike, and their components."""
    tables, means = [], np.zeros((n_species, features.shape[1]))
    for number in range(n_species):
        own = features[torch.from_numpy(np.flatnonzero(species == number))]
        if centred and len(own):
            means[number] = own.mean(dim=0)[:, 0].numpy()
            own = own - own.mean(dim=0)
        flat = own.permute(0, 2, 1).flatten(0, 1).numpy()
        tables.append(flat.T @ flat / max(len(own), 1))
    whole = np.sum([table / (np.trace(table) or 1.0) for table in tables], axis=0)
    taken = most_telling(whole, count)
    components = np.zeros((n_species, len(taken), len(taken)))
    for number, table in enumerate(tables):
        values, axes = np.linalg.eigh(table[np.ix_(taken, taken)])
        total = values.clip(min=0).sum()
        if total > 0:
            components[number] = axes[:, ::-1] / np.sqrt(total)
    return Selected(terms[taken], means[:, taken], components)


def chunked(configurations: Configurations) -> list[tuple[int, int]]:
    """Runs of frames that are described at a time."""
    return chunks(configurations.counts, CHUNK_ATOMS)
