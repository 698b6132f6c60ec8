"""Phonons by finite displacements: bands, density of states, and how far two methods are apart over the whole zone.

Displacements, symmetry and Fourier interpolation are phonopy's: Togo, J. Phys. Soc. Jpn. 92, 012001 (2023). What forces
the supercell has before an atom is moved are subtracted: in a large one even those of a structure on a grid of 1e-6 Å
add up. Long-range electric fields in polar crystals are not corrected for.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, ClassVar

import ase
import numpy as np
from ase.dft.kpoints import parse_path_string
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import GRID, Configurations
from bloomery.frames.states import times
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.points.single_points import (
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
    repeats_to,
)
from bloomery.papers import Paper
from bloomery.quantities import Angstrom
from bloomery.samplers.contract import Repeats

MEV_PER_THZ = 4.135667696
"""Planck's constant (CODATA 2018)."""
SYMMETRY_TOLERANCE = 1e-4
"""In Å: structures lie on a grid of 1e-6 Å."""


class PhononSettings(SinglePointSettings):
    """Settings of the observable `phonons`."""

    supercell: Repeats | None = None
    """Repeats of the structure; by default as many as `min_length` needs."""
    min_length: Angstrom = Field(default=9.0, gt=0)
    """How far a supercell reaches at least between opposite faces, in Å."""
    displacement: Angstrom = Field(default=0.01, gt=0, le=0.1)
    """How far an atom is moved, in Å."""
    mesh_length: Angstrom = Field(default=50.0, gt=0)
    """Density of the mesh of wave vectors, as the length in Å that it stands for."""
    points: int = Field(default=31, ge=2)
    """Points on each segment of the path through the zone."""
    dos_step: float = Field(default=0.05, gt=0)
    """Step of the density of states in THz."""


class Phonons(FromSinglePoints):
    """Phonon bands and density of states; between potential and reference the RMSE over all frequencies."""

    name = "phonons"
    title = "Phonons"
    references = (Paper("A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)", "10.7566/JPSJ.92.012001"),)
    axes = Axes("wave vector", "frequency")
    curves: ClassVar[Mapping[str, Axes]] = {"dos": Axes("frequency", "density of states", "density of states")}
    Settings = PhononSettings
    settings: PhononSettings
    labels = ("forces",)
    without_crystal = "has no phonon bands"
    quantities: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("highest_frequency", "lowest_frequency", "mean_frequency"), "THz"),
        **dict.fromkeys(("rmse", "largest_difference"), "THz"),
        "zero_point_energy": "meV/atom",
        "largest_force": "eV/Å",
    }
    headline = ("highest_frequency", "mean_frequency", "rmse")

    def frames_of(self, structure: Configurations) -> Configurations:
        """The supercell, then as many with one atom moved as symmetry leaves."""
        phonopy, atoms = self._prepared(structure), structure.to_atoms()[0]
        frames = []
        for cell in (phonopy.supercell, *phonopy.supercells_with_displacements):
            made = ase.Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)
            if "initial_magmoms" in atoms.arrays:
                own = [phonopy.supercell.u2u_map[place] for place in phonopy.supercell.s2u_map]
                made.set_initial_magnetic_moments(atoms.get_initial_magnetic_moments()[own])
            frames.append(times(made, atoms, len(cell) // len(atoms)))
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Fit force constants to the forces, and diagonalise."""
        phonopy = self._prepared(structure)
        forces = frames.label("forces")[0].reshape(len(frames), -1, 3)
        phonopy.forces = forces[1:] - forces[0]
        phonopy.produce_force_constants()
        phonopy.symmetrize_force_constants()
        phonopy.run_mesh(self.settings.mesh_length)
        frequencies, weights = np.array(phonopy.mesh.frequencies), np.array(phonopy.mesh.weights, dtype=float)
        share, n = weights / weights.sum(), len(phonopy.primitive)
        positive = np.clip(frequencies, 0, None)
        quantities = {
            "highest_frequency": Quantity(float(frequencies.max()), "THz"),
            "lowest_frequency": Quantity(float(frequencies.min()), "THz"),
            "mean_frequency": Quantity(float(share @ frequencies.mean(axis=1)), "THz"),
            "zero_point_energy": Quantity(float(share @ positive.sum(axis=1)) * MEV_PER_THZ / 2 / n, "meV/atom"),
            "largest_force": Quantity(float(np.abs(forces[0]).max()), "eV/Å"),
        }
        low, high = frequencies.min() - 1, frequencies.max() + 1
        phonopy.run_total_dos(freq_min=low, freq_max=high, freq_pitch=self.settings.dos_step)
        arrays = {
            "mesh_frequencies": (frequencies, "THz"),
            "mesh_weights": (weights, "1"),
            "dos_x": (np.array(phonopy.total_dos.frequency_points), "THz"),
            "dos": (np.array(phonopy.total_dos.dos), "1/THz"),
            **_bands(phonopy, self.settings.points),
        }
        return Measurement(quantities, arrays)

    def compare(self, potential: Measurement, reference: Measurement) -> dict[str, Quantity]:
        """Root mean square and largest difference of the frequencies, sorted at each wave vector."""
        weights, difference = reference.arrays["mesh_weights"][0], potential.minus(reference, "mesh_frequencies")
        square = weights @ (difference**2).mean(axis=1) / weights.sum()
        return {
            "rmse": Quantity(float(np.sqrt(square)), "THz"),
            "largest_difference": Quantity(float(np.abs(difference).max()), "THz"),
        }

    def _prepared(self, structure: Configurations) -> Any:
        """A phonopy object with its displacements, which lie on the grid of content hashes."""
        phonopy, phonopy_atoms = _phonopy()
        atoms = structure.to_atoms()[0]
        cell = phonopy_atoms.PhonopyAtoms(
            symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, positions=atoms.positions,
            masses=atoms.get_masses(),
        )  # fmt: skip
        repeats = self.settings.supercell or repeats_to(structure.cells[0], self.settings.min_length)
        with warnings.catch_warnings():
            # The primitive cell that phonopy finds is the one that bands are drawn for.
            warnings.filterwarnings("ignore", message="primitive_matrix defaulted to 'auto'")
            phonopy = phonopy.Phonopy(cell, np.diag(repeats), symprec=SYMMETRY_TOLERANCE)
        phonopy.generate_displacements(distance=self.settings.displacement)
        dataset = phonopy.dataset
        for entry in dataset["first_atoms"]:
            entry["displacement"] = np.rint(np.array(entry["displacement"]) / GRID) * GRID
        phonopy.dataset = dataset
        return phonopy


@cache
def _phonopy() -> tuple[ModuleType, ModuleType]:
    """Phonopy, and its module of atoms."""
    try:
        return importlib.import_module("phonopy"), importlib.import_module("phonopy.structure.atoms")
    except ImportError as error:
        message = "cannot be measured without phonopy; install it: pip install 'aiida-bloomery[phonons]'."
        raise InputError(message) from error


def _bands(phonopy: Any, points: int) -> dict[str, tuple[NDArray[Any], str]]:
    """Frequencies along the path that ASE suggests for the lattice; nothing for a cell that it cannot name."""
    try:
        path = ase.cell.Cell(phonopy.primitive.cell).bandpath(npoints=0)
    except (RuntimeError, ValueError, AssertionError):
        return {}
    ends: list[tuple[str, str]] = []
    for part in parse_path_string(path.path):
        ends += pairwise(part)
    segments = [np.linspace(path.special_points[start], path.special_points[end], points) for start, end in ends]
    phonopy.run_band_structure(segments)
    bands = phonopy.band_structure
    ticks, labels = [0.0], [ends[0][0]]
    for distances, (start, end) in zip(bands.distances, ends, strict=True):
        if labels[-1] != start:
            labels[-1] += f"|{start}"
        ticks.append(float(distances[-1]))
        labels.append(end)
    return {
        "bands_x": (np.concatenate(bands.distances), "1/Å"),
        "bands": (np.concatenate(bands.frequencies), "THz"),
        "band_ticks": (np.array(ticks), "1/Å"),
        "band_labels": (np.array(labels, dtype=np.str_), "1"),
    }
