"""What holds for each property, whatever the model: how atoms make it up, where it is defined, what it adds up to.

=========================  ==================================================================================
dipole                     sum over atoms; an ion's, about the origin, has its charge at the centre of the atoms
polarizability             sum over atoms
dielectric_tensor          ``1 + 4 pi / V`` times a sum over atoms, so that supercells have the same
born_effective_charges     of each atom; they add up to the charge of the frame times unity (acoustic sum rule)
charges                    of each atom; they add up to the charge of the frame
shieldings                 of each atom
=========================  ==================================================================================

The acoustic sum rule is that of Pick, Cohen and Martin, Phys. Rev. B 1, 910 (1970).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import PROPERTIES, Property

Gather = Literal["sum", "each", "centred"]
"""How a property follows from what atoms have: summed over the frame, as it is, or less the mean over the frame."""


@dataclass(frozen=True)
class Law:
    """How a property is made up, and of which frames there is one."""

    gather: Gather
    cell: Literal["open", "periodic", "any"] = "any"
    """Whether frames must be free of periodicity, or periodic throughout."""
    neutral: bool = False
    """Whether it is defined for frames without charge only."""


LAWS: dict[Property, Law] = {
    "dipole": Law("sum", "open"),
    "polarizability": Law("sum", "open"),
    "dielectric_tensor": Law("sum", "periodic", neutral=True),
    "born_effective_charges": Law("centred"),
    "charges": Law("centred"),
    "shieldings": Law("each"),
}


def property_named(name: str) -> Property:
    """Return the property of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    for known in PROPERTIES:
        if known == name:
            return known
    raise InputError(f"{name!r} is no property that models learn; choose one of {', '.join(PROPERTIES)}.")


def _named(name: str) -> str:
    try:
        return property_named(name)
    except InputError as error:
        raise ValueError(str(error).rstrip(".")) from error


PropertyName = Annotated[str, AfterValidator(_named)]
"""Annotation of a setting: the name of a property that there is."""


def check_defined(name: Property, configurations: Configurations, numbers: NDArray[np.int64] | None = None) -> None:
    """Refuse frames of which there is no such property; ``numbers`` are those that they have in their file.

    Raises
    ------
    InputError
        If a frame is periodic, or is not, or has a charge, where the property is not defined; the frame is named.
    """
    law, periodic = LAWS[name], configurations.pbc
    called = np.arange(len(configurations)) if numbers is None else numbers
    if law.cell == "open" and periodic.any():
        frame = called[np.flatnonzero(periodic.any(axis=1))[0]]
        other = "born_effective_charges" if name == "dipole" else "dielectric_tensor"
        raise InputError(
            f"frame {frame} is periodic, and the {name} of a periodic frame is not defined; learn {other}, or set pbc "
            "to F F F where the frame is a molecule in a box."
        )
    if law.cell == "periodic" and not periodic.all():
        frame = called[np.flatnonzero(~periodic.all(axis=1))[0]]
        raise InputError(
            f"frame {frame} is not periodic in all directions, where a {name} is not defined; learn polarizability for "
            "molecules."
        )
    charges = total_charges(configurations)
    if law.neutral and charges.any():
        frame = called[np.flatnonzero(charges)[0]]
        raise InputError(f"frame {frame} has a charge, and a charged cell has no {name}; leave it out.")


def total_charges(configurations: Configurations) -> NDArray[np.float64]:
    """Charge of each frame in e, ``(N,)``; zero where none is said."""
    return configurations.state("charge")[0]


def without_known(name: Property, values: NDArray[np.float64], configurations: Configurations) -> NDArray[np.float64]:
    """Take from labels ``(R, *shape)`` what is known of them, so that a model of atoms is left to learn."""
    if name == "dielectric_tensor":
        volumes = configurations.volumes[:, None, None]
        return np.asarray((values - np.eye(3)) * volumes / (4 * np.pi))
    return np.asarray(values - _of_charge(name, configurations))


def with_known(name: Property, values: NDArray[np.float64], configurations: Configurations) -> NDArray[np.float64]:
    """Undo `without_known` for predictions ``(..., R, *shape)``."""
    if name == "dielectric_tensor":
        return np.asarray(np.eye(3) + values * (4 * np.pi) / configurations.volumes[:, None, None])
    return np.asarray(values + _of_charge(name, configurations))


def _of_charge(name: Property, configurations: Configurations) -> NDArray[np.float64] | float:
    """What the charges of frames contribute, shared evenly among their atoms."""
    charges = total_charges(configurations)
    if not charges.any():
        return 0.0
    counts, frames = np.maximum(configurations.counts, 1), configurations.frame_of_atom
    share = (charges / counts)[frames]
    if name == "dipole":
        moments = np.zeros((len(configurations), 3))
        np.add.at(moments, frames, share[:, None] * configurations.positions)
        return moments
    if name == "charges":
        return np.asarray(share)
    return np.asarray(share[:, None, None] * np.eye(3)) if name == "born_effective_charges" else 0.0
