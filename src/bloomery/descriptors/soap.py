"""Smooth overlap of atomic positions: the power spectrum of featomic (Bartok et al., Phys. Rev. B 87, 184115 (2013)).

featomic (https://metatensor.github.io/featomic) knows frames that are periodic along all directions or none, and adds
up the gradients of an atom's images. It is therefore given open clusters: some atoms, and those that they see, every
image an atom of its own. Its gradients by the cluster's atoms are then those by our edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import ase
import numpy as np
from ase.geometry import complete_cell
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.descriptors.contract import Descriptor, Features
from bloomery.descriptors.species import species_of
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.neighbours import Neighbours, find_neighbours
from bloomery.papers import BARTOK_2013
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom

if TYPE_CHECKING:
    from bloomery.descriptors.contract import EdgeGradients
    from bloomery.descriptors.layouts import Model

CHUNK_ATOMS = 256
"""Centres that are worked on at a time, so that memory stays bounded."""


class RadialScaling(Settings):
    """Weight of a neighbour by its distance: ``rate / (rate + (r / scale)^exponent)``.

    Willatt et al., Phys. Chem. Chem. Phys. 20, 29661 (2018).
    """

    rate: float = Field(default=1.0, gt=0)
    """How long neighbours count fully."""
    scale: Angstrom = Field(default=2.0, gt=0)
    """Distance in Å at which the weight is down to about a half."""
    exponent: float = Field(default=4.0, ge=0)
    """How fast the weight falls."""


class SoapSettings(Settings):
    """Settings of the descriptor `soap`."""

    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    smoothing: Angstrom = Field(default=0.5, gt=0)
    """Over how many Å before the cutoff neighbours fade away, along a cosine."""
    width: Angstrom = Field(default=0.4, gt=0)
    """Width of the Gaussian density of each neighbour in Å."""
    radial: int = Field(default=6, ge=1)
    """Number of radial functions, Gaussian-type orbitals made orthogonal."""
    max_degree: int = Field(default=4, ge=0)
    """Largest angular momentum ``l``."""
    centre_weight: float = Field(default=1.0, ge=0)
    """Weight of the central atom's own density."""
    scaling: RadialScaling | None = None
    """Let near neighbours count more than far ones; by default all count the same."""

    @model_validator(mode="after")
    def _smoothing_is_inside(self) -> Self:
        if self.smoothing > self.cutoff:
            raise ValueError(f"smoothing must not exceed the cutoff of {self.cutoff} Å, got {self.smoothing}")
        return self


@dataclass(frozen=True)
class Piece:
    """Consecutive atoms of one frame and all that they see, as an open cluster.

    Parameters
    ----------
    atoms, edges
        Which of all atoms and edges these are.
    cluster
        The atoms first, then the others.
    partners
        Centre and neighbour of each edge as atoms of the cluster, ``(2, E)``.
    """

    atoms: slice
    edges: slice
    cluster: ase.Atoms
    partners: NDArray[np.int64]


class Soap(Descriptor):
    """SOAP power spectrum by featomic, for any number of species and any periodicity.

    Of the products of two radial functions of one species, which featomic lists both ways round, each is kept once and
    multiplied by the square root of two, so that scalar products stay what they are.
    """

    name = "soap"
    references = (BARTOK_2013,)
    Settings = SoapSettings
    settings: SoapSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._made: Any = None

    def size(self, elements: list[str]) -> int:
        """Number of features: ``(l + 1) S n (S n + 1) / 2`` for ``S`` species and ``n`` radial functions."""
        channels = len(elements) * self.settings.radial
        return (self.settings.max_degree + 1) * channels * (channels + 1) // 2

    def features(
        self, configurations: Configurations, elements: list[str], *, gradients: bool = False, device: str = "cpu"
    ) -> Features:
        """Features of every atom in float64; see `Descriptor.features`.

        Raises
        ------
        InputError
            If a frame has an element that is not listed (the frame is named), or featomic is not installed.
        """
        import torch  # noqa: PLC0415

        species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        size = self.size(elements)
        values = np.zeros((configurations.n_atoms, size))
        jacobian = np.zeros((len(neighbours) if gradients else 0, 3, size))
        for piece in self._pieces(configurations, neighbours):
            values[piece.atoms], slopes = self._compute(piece, elements, gradients=gradients)
            if gradients:
                jacobian[piece.edges] = slopes
        by_place = torch.from_numpy(jacobian).to(device) if gradients else None
        return Features.of(torch.from_numpy(values).to(device), neighbours, by_place, device)

    def contracted(
        self, configurations: Configurations, elements: list[str], model: Model, device: str, dtype: str
    ) -> EdgeGradients:
        """See `Descriptor.contracted`: the Jacobian of some atoms at a time is contracted and forgotten."""
        import torch  # noqa: PLC0415

        species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        place, kind = torch.device(device), getattr(torch, dtype)
        parts = []
        for piece in self._pieces(configurations, neighbours):
            found, slopes = self._compute(piece, elements, gradients=True)
            by_feature = model(torch.from_numpy(found).to(place, kind), piece.atoms)
            jacobian = torch.from_numpy(slopes).to(place, kind)
            centres = torch.from_numpy(piece.partners[0]).to(place)
            parts.append(torch.einsum("mef,ecf->mec", by_feature[:, centres], jacobian))
        if not parts:
            nothing = torch.zeros((0, self.size(elements)), dtype=kind, device=place)
            parts.append(nothing.new_zeros((len(model(nothing, slice(0, 0))), 0, 3)))
        vectors = torch.from_numpy(neighbours.vectors).to(place, kind)
        return torch.from_numpy(neighbours.pairs).to(place), vectors, torch.cat(parts, dim=1)

    def _calculator(self) -> Any:
        if self._made is None:
            try:
                from featomic import SoapPowerSpectrum  # noqa: PLC0415
            except ImportError as error:
                raise InputError(
                    f"descriptor 'soap' needs the package featomic ({error}); install it with pip install featomic."
                ) from error
            self._made = SoapPowerSpectrum(**featomic_parameters(self.settings))
        return self._made

    def _pieces(self, configurations: Configurations, neighbours: Neighbours) -> Iterator[Piece]:
        offsets = configurations.offsets
        for frame, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
            for start in range(first, last, CHUNK_ATOMS):
                atoms = slice(start, min(start + CHUNK_ATOMS, last))
                begin, end = np.searchsorted(neighbours.pairs[0], [atoms.start, atoms.stop]).tolist()
                edges = slice(begin, end)
                yield _piece(configurations, frame, atoms, edges, neighbours)

    def _compute(
        self, piece: Piece, elements: list[str], *, gradients: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features ``(a, F)`` of a piece's atoms and their Jacobian ``(E, 3, F)``, of no edge unless asked for."""
        calculator = self._calculator()
        from metatensor import Labels  # noqa: PLC0415

        n_atoms, n_cluster = piece.atoms.stop - piece.atoms.start, len(piece.cluster)
        values = np.zeros((n_atoms, self.size(elements)))
        jacobian = np.zeros((piece.partners.shape[1] if gradients else 0, 3, values.shape[1]))
        keys = piece.partners[0] * n_cluster + piece.partners[1]
        order = np.argsort(keys)
        wanted = ["positions"] if gradients else []
        chosen = Labels(["atom"], np.arange(n_atoms, dtype=np.int32)[:, None])
        found = calculator.compute([piece.cluster], gradients=wanted, selected_samples=chosen, use_native_system=True)
        columns = columns_of(self.settings, symbols_to_numbers(elements))
        for key, block in found.items():
            picks, places, factors = columns[int(key["neighbor_1_type"]), int(key["neighbor_2_type"])]
            centres = np.asarray(block.samples.column("atom"))
            values[centres[:, None], places] = np.asarray(block.values)[:, picks] * factors
            if not len(jacobian):
                continue
            slopes = block.gradient("positions")
            samples, atoms = (np.asarray(slopes.samples.column(name)) for name in ("sample", "atom"))
            pairs = centres[samples] * n_cluster + atoms
            edges = order[np.minimum(np.searchsorted(keys[order], pairs), len(keys) - 1)]
            # What is left out are derivatives by the centre's own place, which follow from the others.
            ours = keys[edges] == pairs
            taken = np.asarray(slopes.values)[ours][..., picks] * factors
            jacobian[edges[ours][:, None, None], np.arange(3)[None, :, None], places] = taken
        return values, jacobian


def _piece(configurations: Configurations, frame: int, atoms: slice, edges: slice, neighbours: Neighbours) -> Piece:
    """Cut out a cluster; images are told apart by how many cells they are away."""
    centres, others = neighbours.pairs[:, edges]
    positions = configurations.positions
    apart = neighbours.vectors[edges] - (positions[others] - positions[centres])
    cell = complete_cell(configurations.cells[frame])
    shifts = np.rint(np.linalg.solve(cell.T, apart.T).T).astype(np.int64)
    inside = (others >= atoms.start) & (others < atoms.stop) & ~shifts.any(axis=1)
    n_atoms = atoms.stop - atoms.start
    images = np.concatenate([others[~inside, None], shifts[~inside]], axis=1)
    ghosts, which = np.unique(images, axis=0, return_inverse=True)
    partners = np.stack([centres - atoms.start, others - atoms.start])
    partners[1, ~inside] = n_atoms + which.ravel()
    places = positions[ghosts[:, 0]] + ghosts[:, 1:] @ cell
    cluster = ase.Atoms(
        numbers=np.concatenate([configurations.numbers[atoms], configurations.numbers[ghosts[:, 0]]]),
        positions=np.concatenate([positions[atoms], places]),
    )
    return Piece(atoms, edges, cluster, partners)


def featomic_parameters(settings: SoapSettings) -> dict[str, object]:
    """Return the settings in featomic's words."""
    scaling = {} if settings.scaling is None else {"scaling": {"type": "Willatt2018", **settings.scaling.model_dump()}}
    radial = {"type": "Gto", "max_radial": settings.radial - 1}
    return {
        "cutoff": {"radius": settings.cutoff, "smoothing": {"type": "ShiftedCosine", "width": settings.smoothing}},
        "density": {"type": "Gaussian", "width": settings.width, "center_atom_weight": settings.centre_weight}
        | scaling,
        "basis": {"type": "TensorProduct", "max_angular": settings.max_degree, "radial": radial},
    }


def columns_of(
    settings: SoapSettings, numbers: list[int]
) -> dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """For each pair of neighbour species: which of featomic's properties are kept, as which features, times what."""
    n, degrees = settings.radial, settings.max_degree + 1
    first, second = (table.ravel() for table in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    result = {}
    start = 0
    ordered = sorted(numbers)
    for index, one in enumerate(ordered):
        for other in ordered[index:]:
            kept = np.flatnonzero(first <= second) if one == other else np.arange(n * n)
            factor = np.where(first[kept] == second[kept], 1.0, 2.0**0.5) if one == other else np.ones(n * n)
            picks = (np.arange(degrees)[:, None] * n * n + kept).ravel()
            result[one, other] = (picks, start + np.arange(len(picks)), np.tile(factor, degrees))
            start += len(picks)
    return result
