"""Reading reference values from ASE calculators."""

from __future__ import annotations

import ase
import numpy as np
from numpy.typing import NDArray

Values = dict[str, float | NDArray[np.float64]]


def reference_values(atoms: ase.Atoms) -> Values:
    """Energy in eV, forces in eV/Å, ``(A, 3)``, and for a full cell stress in eV/Å^3, ``(6,)``.

    The energy is the one that is consistent with the forces. Stress is left out where the calculator has none.
    """
    implemented = atoms.calc.implemented_properties
    values: Values = {
        "energy": float(atoms.get_potential_energy(force_consistent="free_energy" in implemented)),
        "forces": np.array(atoms.get_forces(apply_constraint=False)),
    }
    if "stress" in implemented and atoms.pbc.all():
        values["stress"] = np.array(atoms.get_stress(apply_constraint=False))
    return values
