"""Power spectrum of the smooth neighbour density, with two- and four-body terms.

After Bartok et al., Phys. Rev. B 87, 184115 (2013), and Drautz, Phys. Rev. B 99, 014104 (2019).

With channels ``a`` (a neighbour species and a radial function), ``c_a,lm = sum_j R_a(r_ij) C_lm(r_ij / |r_ij|)`` and
``C_lm`` in Racah's norm, the features of atom ``i`` are

    two-body    ``c_a,00 = sum_j R_a(r_ij)``
    three-body  ``w_ab sum_m c_a,lm c_b,lm = w_ab sum_jk R_a(r_ij) R_b(r_ik) P_l(cos theta_ijk)``
    four-body   ``sum_m1m2m3 G^{l1 l2 l3}_{m1 m2 m3} c_a,l1m1 c_a,l2m2 c_a,l3m3``

for ``a <= b`` and ``l = 0 ... max_degree``, with ``w_ab = 1`` for ``a = b`` and ``sqrt(2)`` otherwise, and for
``1 <= l1 <= l2 <= l3 <= four_body`` with an even sum; ``G`` are Gaunt coefficients of unit norm.

Fitted to training frames of several species, channels are mixtures of these: ``c'_k,lm = sum_a W_l,ka c_a,lm``. There
are as many as `channels` says, however many species there are; see `bloomery.descriptors.power_spectrum.mixing`.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from bloomery.descriptors.contract import Descriptor, Features, ForceMap
from bloomery.descriptors.power_spectrum.mixing import learn_mixing
from bloomery.descriptors.power_spectrum.settings import DEFAULT_INNER, PowerSpectrumSettings
from bloomery.descriptors.species import species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.papers import BARTOK_2013, Paper

if TYPE_CHECKING:
    from bloomery.descriptors.contract import EdgeGradients
    from bloomery.descriptors.layouts import Model
    from bloomery.descriptors.power_spectrum.expansion import Expansion
    from bloomery.descriptors.power_spectrum.kernel import PowerSpectrumKernel

INNER_SHARE = 0.8


class PowerSpectrum(Descriptor):
    """Two-, three- and four-body terms, for any number of species, any periodicity and any size of cell."""

    name = "power_spectrum"
    references = (
        BARTOK_2013,
        Paper("R. Drautz, Phys. Rev. B 99, 014104 (2019)", "10.1103/PhysRevB.99.014104"),
        Paper("S. De et al., Phys. Chem. Chem. Phys. 18, 13754 (2016)", "10.1039/C6CP00415F"),
        Paper("A. Goscinski et al., J. Chem. Phys. 155, 104106 (2021)", "10.1063/5.0057229"),
    )
    Settings = PowerSpectrumSettings
    settings: PowerSpectrumSettings

    def size(self, elements: list[str]) -> int:
        """Number of features per atom, ``F``."""
        return self.settings.size(len(elements))

    def fitted_size(self, elements: list[str]) -> int:
        """Number of features per atom of the fitted descriptor."""
        channels = self.settings.channels_to_learn(len(elements))
        return self.size(elements) if channels is None else self.settings.size_of(channels)

    def fitted(self, configurations: Configurations, elements: list[str]) -> PowerSpectrum:
        """Put the first Gaussian just inside the shortest distance of the frames, and learn how channels are mixed.

        What was given stays as it is.
        """
        settings = self.settings
        if settings.inner is None:
            settings = settings.model_copy(update={"inner": self._innermost(configurations)})
        channels = settings.channels_to_learn(len(elements))
        if channels is not None:
            mixing = learn_mixing(settings, configurations, elements, channels)
            settings = settings.model_copy(update={"mixing": mixing})
        return self if settings is self.settings else PowerSpectrum(settings)

    def _innermost(self, configurations: Configurations) -> float:
        """Where the first Gaussian goes, in Å."""
        found = (find_neighbours(frame, self.settings.cutoff).vectors for frame in configurations)
        shortest = min((float(np.linalg.norm(vectors, axis=1).min(initial=inf)) for vectors in found), default=inf)
        return DEFAULT_INNER if shortest == inf else round(INNER_SHARE * shortest, 2)

    def features(
        self, configurations: Configurations, elements: list[str], *, gradients: bool = False, device: str = "cpu"
    ) -> Features:
        """Features of every atom in float64; see `Descriptor.features`."""
        import torch  # noqa: PLC0415

        species = species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        kernel = None if gradients else self.kernel(elements, device, "float64")
        if kernel is not None:
            return Features(torch.from_numpy(kernel.features(neighbours, species)))
        expansion = self._expansion(elements, device, "float64")
        values, jacobian = expansion.features(neighbours, species, jacobian=gradients)
        return Features.of(values, neighbours, jacobian, device)

    def contracted(
        self, configurations: Configurations, elements: list[str], model: Model, device: str, dtype: str
    ) -> EdgeGradients:
        """See `Descriptor.contracted`: contracted analytically, without a Jacobian."""
        import torch  # noqa: PLC0415

        from bloomery.descriptors.power_spectrum.edge_memory import Edges  # noqa: PLC0415

        expansion = self._expansion(elements, device, dtype)
        species = species_of(configurations, elements)
        if expansion.memory is not None:
            edges = expansion.memory.edges(configurations, species)
        else:
            found = find_neighbours(configurations, self.settings.cutoff)
            vectors = torch.from_numpy(found.vectors).to(expansion.dtype)
            edges = Edges(torch.from_numpy(found.pairs), vectors, expansion.layouts(found, species))
        return edges.pairs, edges.vectors, expansion.edge_gradients(edges.layouts, edges.vectors, model)

    def force_map(
        self, configurations: Configurations, elements: list[str], *, device: str = "cpu", dtype: str = "float64"
    ) -> ForceMap | None:
        """See `Descriptor.force_map`: by a kernel in C where there is one."""
        kernel = self.kernel(elements, device, dtype)
        if kernel is None:
            return None
        from bloomery.descriptors.kernels import AtomTables  # noqa: PLC0415
        from bloomery.descriptors.power_spectrum.kernel import PowerSpectrumMap  # noqa: PLC0415

        neighbours = find_neighbours(configurations, self.settings.cutoff)
        species, frames = species_of(configurations, elements), configurations.frame_of_atom
        return PowerSpectrumMap(kernel, AtomTables.of(neighbours, species, frames), len(configurations))

    def kernel(self, elements: list[str], device: str, dtype: str) -> PowerSpectrumKernel | None:
        """See `Descriptor.kernel`."""
        return _make_kernel(self.settings, len(elements), dtype) if device == "cpu" else None

    def _expansion(self, elements: list[str], device: str, dtype: str) -> Expansion:
        return _make_expansion(self.settings, len(elements), device, dtype)


@cache
def _make_kernel(settings: PowerSpectrumSettings, n_species: int, dtype: str) -> PowerSpectrumKernel | None:
    from bloomery.descriptors.power_spectrum.kernel import PowerSpectrumKernel  # noqa: PLC0415

    return PowerSpectrumKernel.make(settings, n_species, dtype)


@cache
def _make_expansion(settings: PowerSpectrumSettings, n_species: int, device: str, dtype: str) -> Expansion:
    """Make the tables once: a step of molecular dynamics is shorter than making them."""
    from bloomery.descriptors.power_spectrum.expansion import Expansion  # noqa: PLC0415

    return Expansion(settings, n_species, device, dtype)
