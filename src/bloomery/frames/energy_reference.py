"""Energy of each element that is taken off before fitting: the same for every engine."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, ground_state_magnetic_moments
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
    return _fitted(configurations, elements, np.zeros(len(configurations)))


def fit_energy_shift(
    configurations: Configurations, predicted: NDArray[np.float64], elements: list[str] | None = None
) -> dict[str, float]:
    """Energy per atom of each element in eV by which the frames' energies are above those that a model predicts.

    Models that were trained on labels of another method count energies from other zeros: those of atoms in another
    pseudopotential, in vacuum, or none at all. What such a zero is cannot be taken from an isolated atom, which a
    universal model has never seen; it is what is left per element between its own predictions and the labels, by least
    squares as in `fit_energy_reference`. Taken off the labels before a fit that begins with the model, or added to its
    predictions, it leaves what the model is wrong by, and counts no cohesive energy twice.

    Parameters
    ----------
    predicted
        The model's total energy of each frame in eV, ``(N,)``; those that are not finite are passed over.
    elements
        Which elements to find; by default those of the frames.
    """
    elements = configurations.elements if elements is None else elements
    return _fitted(configurations, elements, np.asarray(predicted, dtype=float))


def shifted(frames: Configurations, shift: dict[str, float]) -> Configurations:
    """Return the frames with energies moved by a shift in eV for each atom of an element."""
    energies, mask = frames.label("energy")
    if not shift or not mask.any():
        return frames
    counts = composition(frames, list(shift))
    moved = energies + counts @ np.array(list(shift.values()))
    return frames.with_labels(energy=moved, masks={"energy": mask})


def _fitted(configurations: Configurations, elements: list[str], offset: NDArray[np.float64]) -> dict[str, float]:
    """Least-squares fit of the energies above an offset in eV, ``(N,)``."""
    energies, mask = configurations.label("energy")
    mask = mask & (configurations.counts > 0) & np.isfinite(offset)
    if not mask.any():
        return dict.fromkeys(elements, 0.0)
    counts = composition(configurations, elements)[mask]
    sizes = counts.sum(axis=1)
    above = (energies[mask] - offset[mask]) / sizes
    solution = np.linalg.lstsq(counts / sizes[:, None], above, rcond=1e-10)[0]
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


def unpaired(element: str) -> int:
    """Unpaired electrons of an atom of this element in its ground state, as Hund's rules and experiment have it."""
    return int(ground_state_magnetic_moments[atomic_numbers[element]])


def likely_spins(element: str) -> list[int]:
    """Multiplicities 2S+1 among which the ground state of an atom is to be looked for, the likeliest first.

    That of experiment, and for d and f elements, of which approximate functionals often take another configuration,
    those with a pair more and a pair less.
    """
    most = unpaired(element)
    others = (most - 2, most + 2) if _has_open_d_or_f(atomic_numbers[element]) else ()
    return [count + 1 for count in (most, *others) if count >= 0]


def _has_open_d_or_f(number: int) -> bool:
    return any(first <= number <= last for first, last in ((21, 29), (39, 47), (57, 79), (89, 111)))
