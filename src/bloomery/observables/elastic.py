"""Elastic constants from stresses under strain, by central differences; no symmetry is assumed.

Clamped: the atoms move along with the cell. Relaxed: they also follow the forces that the strain brings about, to first
order, ``C = C_clamped - L^T K^-1 L / V`` with the force constants ``K`` and the internal-strain tensor ``L``: Wu,
Vanderbilt and Hamann, Phys. Rev. B 72, 035105 (2005). So relaxed constants too need single points only,
the same ones for potential and reference. One atom is held: where all atoms move together nothing changes.

They are those of the structure as it is given; where it is under stress they are its stress-strain coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import displaced, strain_tensor, strained
from bloomery.observables.contract import Quantity
from bloomery.observables.points.single_points import (
    CannotBeMeasuredError,
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
)
from bloomery.quantities import Angstrom, Share

DOUBLED = np.array([1.0, 1, 1, 2, 2, 2])
"""Engineering strain over tensor strain."""


class ElasticSettings(SinglePointSettings):
    """Settings of the observable `elastic`."""

    strain: Share = Field(default=0.005, gt=0, le=0.05)
    """Strain to either side; shears are engineering strains, twice the tensor's."""
    relaxed: bool = True
    """Let the atoms follow the strain, which takes six more frames per atom but one."""
    displacement: Angstrom = Field(default=0.01, gt=0, le=0.1)
    """How far an atom is moved for the force constants, in Å."""


class Elastic(FromSinglePoints):
    """Elastic constants, their averages over directions, and whether the crystal is stable."""

    name = "elastic"
    title = "Elastic constants"
    Settings = ElasticSettings
    settings: ElasticSettings
    without_crystal = "has no elastic constants"
    labels = ("stress", "forces")
    quantities: ClassVar[Mapping[str, str]] = {
        **{f"C{i}{j}": "GPa" for i in range(1, 7) for j in range(i, 7)},
        **dict.fromkeys(("bulk_modulus", "clamped_bulk_modulus", "shear_modulus", "youngs_modulus"), "GPa"),
        **dict.fromkeys(("smallest_eigenvalue", "asymmetry", "pressure"), "GPa"),
        "poissons_ratio": "1",
        "largest_force": "eV/Å",
    }
    headline = ("bulk_modulus", "shear_modulus", "C11", "C12", "C44")

    def frames_of(self, structure: Configurations) -> Configurations:
        """The structure itself, strained both ways along six components, then with each atom but the first moved."""
        atoms = structure.to_atoms()[0]
        frames = [atoms]
        for component in range(6):
            for sign in (1, -1):
                strain = np.zeros(6)
                strain[component] = sign * self.settings.strain / DOUBLED[component]
                frames.append(strained(atoms, strain_tensor(tuple(strain))))
        if self.settings.relaxed:
            frames += displaced(atoms, self.settings.displacement, first=1)
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Difference the stresses and forces."""
        volume = float(structure.volumes[0])
        stress, forces = frames.label("stress")[0], frames.label("forces")[0].reshape(len(frames), -1)
        strains = _strains(frames.cells[:13])
        by_strain = np.linalg.inv(strains[1:13:2] - strains[2:13:2])  # rows of the differences to single strains
        clamped = by_strain @ (stress[1:13:2] - stress[2:13:2])
        constants, quantities = clamped, {}
        if self.settings.relaxed and structure.n_atoms > 1:
            internal = (by_strain @ (forces[1:13:2] - forces[2:13:2]))[:, 3:].T  # (3 N - 3, 6) in eV/Å
            hessian = -(forces[13::2] - forces[14::2])[:, 3:] / (2 * self.settings.displacement)
            hessian = (hessian + hessian.T) / 2
            if np.linalg.eigvalsh(hessian)[0] <= 0:
                raise CannotBeMeasuredError("an atom is not at a minimum of its energy, so it cannot follow a strain")
            constants = clamped - internal.T @ np.linalg.solve(hessian, internal) / volume
            quantities["clamped_bulk_modulus"] = Quantity(float(clamped[:3, :3].mean()) / GPa, "GPa")
        asymmetry = float(np.abs(constants - constants.T).max())
        constants = (constants + constants.T) / 2
        quantities |= averages(constants / GPa)
        quantities |= {
            f"C{i + 1}{j + 1}": Quantity(float(constants[i, j]) / GPa, "GPa") for i in range(6) for j in range(i, 6)
        }
        quantities |= {
            "asymmetry": Quantity(asymmetry / GPa, "GPa"),
            "pressure": Quantity(-float(stress[0, :3].mean()) / GPa, "GPa"),
            "largest_force": Quantity(float(np.abs(forces[0]).max()), "eV/Å"),
        }
        both = {"constants": constants / GPa, "clamped_constants": (clamped + clamped.T) / 2 / GPa}
        return Measurement(quantities, {name: (array, "GPa") for name, array in both.items()})


def averages(constants: NDArray[np.float64]) -> dict[str, Quantity]:
    """Moduli of a polycrystal, and the smallest eigenvalue: positive for a crystal that is stable against strain.

    Voigt, Reuss and Hill (Hill, Proc. Phys. Soc. A 65, 349 (1952)); ``constants`` in GPa, ``(6, 6)``, symmetric.
    """
    lowest = float(np.linalg.eigvalsh(constants)[0])
    quantities = {"smallest_eigenvalue": Quantity(lowest, "GPa")}
    diagonal, off, shears = _sums(constants)
    bulk, shear = (diagonal + 2 * off) / 9, (diagonal - off + 3 * shears) / 15  # Voigt's
    if lowest > 0:
        compliances = np.linalg.inv(constants)
        bulk_reuss = 1 / compliances[:3, :3].sum()
        diagonal, off, shears = _sums(compliances)
        bulk = (bulk + bulk_reuss) / 2
        shear = (shear + 15 / (4 * diagonal - 4 * off + 3 * shears)) / 2
        quantities["shear_modulus"] = Quantity(shear, "GPa")
        quantities["youngs_modulus"] = Quantity(9 * bulk * shear / (3 * bulk + shear), "GPa")
        quantities["poissons_ratio"] = Quantity((3 * bulk - 2 * shear) / (2 * (3 * bulk + shear)), "1")
    return {"bulk_modulus": Quantity(bulk, "GPa"), **quantities}


def _sums(tensor: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    normal = tensor[:3, :3]
    diagonal = float(np.trace(normal))
    return diagonal, float(normal.sum() - diagonal) / 2, float(np.trace(tensor[3:, 3:]))


def _strains(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Engineering strains of cells relative to the first, ``(N, 6)``: what is left of them on the grid of hashes."""
    tensors = np.linalg.solve(cells[0], cells) - np.eye(3)
    symmetric = (tensors + tensors.transpose(0, 2, 1)) / 2
    rows, columns = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    return np.asarray(symmetric[:, rows, columns] * DOUBLED)
