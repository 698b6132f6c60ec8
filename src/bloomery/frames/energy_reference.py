"""Energy of each element that is taken off before fitting: the same for every engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers


def composition(configurations: Configurations, elements: list[str]) -> NDArray[np.float64]:
    """Number of atoms of each element in each frame, ``(N, S)``."""
    counts = np.zeros((len(configurations), len(elements)))
    for column, number in enumerate(symbols_to_numbers(elements)):
        np.add.at(counts[:, column], configurations.frame_of_atom, configurations.numbers == number)
    return counts


def fit_energy_reference(configurations: Configurations, elements: list[str] | None = None) -> dict[str, float]:
    """Least-squares fit of the energy per atom of each element in eV to the frames that have an energy.

    Where the compositions do not tell the elements apart the solution of smallest norm is taken. Errors count per
    atom, each frame alike. Without any energy all values are zero.
    """
    elements = configurations.elements if elements is None else elements
    energies, mask = configurations.label("energy")
    mask = mask & (configurations.counts > 0)
    if not mask.any():
        return dict.fromkeys(elements, 0.0)
    counts = composition(configurations, elements)[mask]
    sizes = counts.sum(axis=1)
    solution = np.linalg.lstsq(counts / sizes[:, None], energies[mask] / sizes, rcond=1e-10)[0]
    return {element: float(value) for element, value in zip(elements, solution, strict=True)}


def check_energy_reference(reference: dict[str, float], elements: list[str]) -> dict[str, float]:
    """Return the values of these elements; `InputError` if one has none, or one that is not finite."""
    missing = [element for element in elements if element not in reference]
    if missing:
        raise InputError(
            f"energy_reference: has no value for {', '.join(missing)}, which the frames hold; add the energy of an "
            "isolated atom in eV."
        )
    for element in elements:
        if not np.isfinite(reference[element]):
            raise InputError(f"energy_reference.{element}: is not a finite number; give an energy in eV.")
    return {element: float(reference[element]) for element in elements}
