"""In which state a molecule is: what its frame says, what the settings say, and what holds where nobody says anything.

Charge: the frame's, else the settings', else 0. Multiplicity 2S+1: the frame's ``spin``, or one more than its
``tot_magnetization``; else the settings'; else 1, which an odd number of electrons refuses. An atom alone that says
nothing is neutral and has the multiplicity of its ground state, which `ase.data` knows; energies of isolated atoms,
which a campaign asks for in a box of their own, are so whatever the settings say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ase
import numpy as np
from ase.data import ground_state_magnetic_moments

from bloomery.errors import InputError
from bloomery.frames.states import STATE_GRID
from bloomery.labellers.pyscf.settings import PyscfLabellerSettings

BOX = 10.0
"""An atom alone in a periodic box is isolated if the box is at least so wide, in Å."""
UNHEEDED = {
    "initial_magmoms": "; give the multiplicity in its place (spin=2S+1)",
    "electronic_temperature": "",
}
"""States that no method here is told, with what may take their place."""


def is_boxed_atom(atoms: ase.Atoms) -> bool:
    """Whether a frame is a single atom in a periodic box that is wide enough for it to be isolated."""
    return len(atoms) == 1 and bool(atoms.pbc.all()) and float(np.min(atoms.cell.lengths())) >= BOX


def charge_and_spin(
    atoms: ase.Atoms, state: Mapping[str, Any], said: set[str], settings: PyscfLabellerSettings
) -> tuple[int, int]:
    """Charge in e and multiplicity 2S+1 of a molecule.

    Parameters
    ----------
    state
        As `Configurations.state_of` has it.
    said
        Names of all states that the frame says, a charge of zero included.

    Raises
    ------
    InputError
        If it is not told, told twice, or cannot be; the sentence has no end.
    """
    for name, instead in UNHEEDED.items():
        if name in state:
            raise InputError(
                f"{name}: a calculation of PySCF does not heed this, and would be of another state; leave it out "
                f"(bloomery convert --without {name}){instead}"
            )
    spins = said & {"spin", "tot_magnetization"}
    for name, given, names in (("charge", settings.charge, said & {"charge"}), ("spin", settings.spin, spins)):
        if given is not None and names:
            raise InputError(f"{min(names)}: frames say it, and the settings say {name}: {given}; say it in one place")
    alone = len(atoms) == 1 and not spins and "charge" not in state
    if alone and (is_boxed_atom(atoms) or (settings.charge is None and settings.spin is None)):
        return 0, round(float(ground_state_magnetic_moments[atoms.numbers[0]])) + 1
    charge = _whole("charge", state.get("charge", settings.charge or 0))
    electrons = int(atoms.numbers.sum()) - charge
    if electrons < 1:
        raise InputError(f"charge: is {charge}, which leaves no electron; mend the charge")
    spin = _spin(state, settings)
    if spin is None and electrons % 2:
        raise InputError(
            f"it has {electrons} electrons, an odd number, and nothing says its multiplicity; say spin=2 in the frame, "
            "or set spin"
        )
    spin = spin or 1
    if (electrons + spin) % 2 == 0 or spin - 1 > electrons:
        raise InputError(f"{electrons} electrons cannot have the multiplicity {spin}; mend spin, or the charge")
    return charge, spin


def _spin(state: Mapping[str, Any], settings: PyscfLabellerSettings) -> int | None:
    if "spin" in state:
        return int(state["spin"])
    if "tot_magnetization" in state:
        return abs(_whole("tot_magnetization", state["tot_magnetization"])) + 1
    return settings.spin


def _whole(name: str, value: float) -> int:
    if abs(value - round(value)) > STATE_GRID:
        raise InputError(f"{name}: is {value:g}, and a molecule has a whole number of electrons; mend it")
    return round(value)
