"""Symmetry functions in TorchScript; their formulas are in `bloomery.descriptors.acsf.functions`."""

from math import pi

import torch

from bloomery.descriptors.acsf.cutoffs import TANH_NORM, polynomial_terms
from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.acsf.values import AngularGroup, Gaussians, RadialGroup, SymmetryFunctions
from bloomery.engines.hdnnp.metatomic.neighbours import neighbour_table


class ScriptedGaussians(torch.nn.Module):
    """Products of Gaussians and cutoff functions."""

    eta: torch.Tensor
    shift: torch.Tensor
    cutoffs: torch.Tensor

    def __init__(self, gaussians: Gaussians) -> None:
        super().__init__()
        which = gaussians.which
        self.register_buffer("eta", gaussians.eta)
        self.register_buffer("shift", gaussians.shift)
        self.register_buffer("cutoffs", gaussians.cutoffs if which is None else gaussians.cutoffs[which])
        self.name, self.inner = gaussians.name, float(gaussians.inner)
        order = int(self.name[-1]) if self.name.startswith("polynomial") else 0
        self.order, self.terms = order, polynomial_terms(order)
        self.pi = pi
        self.scale = TANH_NORM if self.name == "tanh_normalised" else 1.0

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        """Values ``(..., n)`` at distances ``(...)``."""
        r = distances.unsqueeze(-1)
        away = r - self.shift
        return torch.exp(-self.eta * away * away) * self.cut(r)

    def cut(self, r: torch.Tensor) -> torch.Tensor:
        """Values of the cutoff functions, ``(..., n)``."""
        if self.name == "tanh" or self.name == "tanh_normalised":  # noqa: PLR1714  TorchScript
            tangent = torch.tanh((1 - r / self.cutoffs).clamp(min=0.0))
            return self.scale * tangent * tangent * tangent
        x = ((r - self.inner * self.cutoffs) / (self.cutoffs * (1 - self.inner))).clamp(0.0, 1.0)
        value = 0.5 * (1 + torch.cos(self.pi * x))
        if self.name == "exponential":
            value = torch.exp(1 - 1 / (1 - x * x).clamp(min=1e-9))
        elif self.order > 0:
            near = torch.where(x < 0.5, x, 1 - x)
            total = torch.full_like(x, self.terms[len(self.terms) - 1])
            for index in range(len(self.terms) - 1):
                total = total * near + self.terms[len(self.terms) - 2 - index]
            total = total * whole_power(near, self.order + 1)
            value = torch.where(x < 0.5, 1 - total, total)
        return value * (r < self.cutoffs).to(x.dtype)


class ScriptedRadial(torch.nn.Module):
    """Radial functions of one centre and one species of neighbours."""

    columns: torch.Tensor

    def __init__(self, group: RadialGroup, centre: int) -> None:
        super().__init__()
        self.centre, self.species, self.weight = centre, group.species, float(group.weight)
        self.gaussians = ScriptedGaussians(group.gaussians)
        self.register_buffer("columns", group.columns)

    def forward(self, features: list[torch.Tensor], distances: list[torch.Tensor]) -> None:
        """Add to the features ``(n, F)``, from distances ``(n, S, K)``, both by species of the centres."""
        values = self.weight * self.gaussians(distances[self.centre][:, self.species]).sum(dim=1)
        features[self.centre] = features[self.centre].index_add(1, self.columns, values)


class ScriptedAngular(torch.nn.Module):
    """Angular functions of one centre and a pair of neighbour species."""

    lambdas: torch.Tensor
    picks: torch.Tensor
    columns: torch.Tensor

    def __init__(self, group: AngularGroup, centre: int) -> None:
        super().__init__()
        self.centre, self.first, self.second, self.narrow = centre, group.first, group.second, group.narrow
        # Pairs of equal species are met twice.
        self.weight = float(group.weight) * (0.5 if group.first == group.second else 1.0)
        self.gaussians = ScriptedGaussians(group.gaussians)
        self.zetas = [float(zeta) for zeta in group.zetas]
        for name in ("lambdas", "picks", "columns"):
            self.register_buffer(name, getattr(group, name))

    def forward(self, features: list[torch.Tensor], vectors: list[torch.Tensor], distances: list[torch.Tensor]) -> None:
        """Add to the features ``(n, F)``, from vectors ``(n, S, K, 3)`` and distances ``(n, S, K)``."""
        place, length = vectors[self.centre], distances[self.centre]
        first, second = place[:, self.first], place[:, self.second]
        r_first, r_second = length[:, self.first], length[:, self.second]
        value_first, value_second = self.gaussians(r_first), self.gaussians(r_second)
        radial = value_first.unsqueeze(2) * value_second.unsqueeze(1)
        products = torch.bmm(first, second.transpose(1, 2))
        if self.first == self.second:
            width = first.shape[1]
            apart = 1 - torch.eye(width, dtype=radial.dtype, device=radial.device)
            radial = radial * apart.unsqueeze(-1)
        if self.narrow:
            squares = r_first.unsqueeze(2).square() + r_second.unsqueeze(1).square() - 2 * products
            radial = radial * self.gaussians(squares.clamp(min=1e-12).sqrt())
        factors = self.angular(products / (r_first.unsqueeze(2) * r_second.unsqueeze(1)))
        sums = torch.bmm(radial.flatten(1, 2).transpose(1, 2), factors.flatten(1, 2))
        values = self.weight * sums.flatten(1).index_select(1, self.picks)
        features[self.centre] = features[self.centre].index_add(1, self.columns, values)

    def angular(self, cosines: torch.Tensor) -> torch.Tensor:
        """``2^(1-zeta) (1 + lambda cos)^zeta``, ``(..., H)``: by zeta, then lambda."""
        base = (1 + self.lambdas * cosines.unsqueeze(-1)).clamp(min=0.0)
        values: list[torch.Tensor] = []
        for zeta in self.zetas:
            # By squaring where the exponent is a whole number: many times faster.
            power = whole_power(base, int(zeta)) if zeta == float(int(zeta)) else torch.pow(base, zeta)
            values.append(power * 2.0 ** (1.0 - zeta))
        return torch.cat(values, dim=-1)


class ScriptedSymmetryFunctions(torch.nn.Module):
    """Features of given centres from the vectors to their neighbours."""

    def __init__(self, descriptor: Acsf, elements: list[str], dtype: str) -> None:
        super().__init__()
        tables = SymmetryFunctions(descriptor.settings, descriptor.functions(elements), "cpu", dtype)
        self.cutoff, self.n_species, self.size = float(descriptor.settings.cutoff), len(elements), tables.size
        radial = [ScriptedRadial(group, centre) for centre, groups in enumerate(tables.radial) for group in groups]
        angular = [(group, centre) for centre, groups in enumerate(tables.angular) for group in groups if group.counts]
        self.radial = torch.nn.ModuleList(radial)
        self.angular = torch.nn.ModuleList([ScriptedAngular(group, centre) for group, centre in angular])

    def forward(
        self, vectors: torch.Tensor, centres: torch.Tensor, others: torch.Tensor, species: torch.Tensor
    ) -> torch.Tensor:
        """Features ``(a, F)``; see `ScriptedPowerSpectrum.forward`."""
        n_atoms = species.shape[0]
        flat = neighbour_table(vectors, centres * self.n_species + others, n_atoms * self.n_species, self.cutoff)
        table = flat.reshape(n_atoms, self.n_species, flat.shape[1], 3)
        distances = torch.linalg.vector_norm(table, dim=-1)
        values = torch.zeros((n_atoms, self.size), dtype=vectors.dtype, device=vectors.device)
        rows = [torch.nonzero(species == one).squeeze(1) for one in range(self.n_species)]
        tables = [table.index_select(0, chosen) for chosen in rows]
        lengths = [distances.index_select(0, chosen) for chosen in rows]
        parts = [values.index_select(0, chosen) for chosen in rows]
        for radial in self.radial:
            radial(parts, lengths)
        for angular in self.angular:
            angular(parts, tables, lengths)
        for one in range(self.n_species):
            values = values.index_copy(0, rows[one], parts[one])
        return values


def whole_power(base: torch.Tensor, exponent: int) -> torch.Tensor:
    """``base ** exponent`` by squaring, for an exponent of one or more."""
    square, left = base, exponent
    while left % 2 == 0:
        square = square * square
        left = left // 2
    result = square
    left = left // 2
    while left > 0:
        square = square * square
        if left % 2 == 1:
            result = result * square
        left = left // 2
    return result
