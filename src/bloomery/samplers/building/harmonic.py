"""Harmonic motion about a structure: force constants by finite differences, normal modes, thermal amplitudes.

Classical and quantum amplitudes of a harmonic oscillator: Landau and Lifshitz, Statistical Physics, section 30; of
frozen phonons: West and Estreicher, Phys. Rev. Lett. 96, 115504 (2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Literal

import ase
import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.dynamics.forces import Driver

Statistics = Literal["classical", "quantum"]
HBAR = units._hbar * units.J * units.s  # noqa: SLF001  ASE keeps it there
"""In eV times ASE's unit of time."""
THZ = 2 * np.pi * 1e12 / units.s
"""One THz as an angular frequency, in ASE's units."""
MERGED = 1e-6
"""Directions in which less than this is new are not of their own."""


@dataclass(frozen=True)
class Modes:
    """Normal modes of ``n`` atoms."""

    squares: NDArray[np.float64]
    """Squared angular frequencies in ASE's units, ``(m,)``, rising; negative for imaginary ones."""
    vectors: NDArray[np.float64]
    """Orthonormal mass-weighted displacements as columns, ``(3 n, m)``."""
    masses: NDArray[np.float64]
    """Of the atoms in u, ``(n,)``."""

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """In THz, ``(m,)``; imaginary ones as negative numbers."""
        return np.sign(self.squares) * np.sqrt(np.abs(self.squares)) / THZ

    def above(self, frequency: float) -> Modes:
        """Return the modes above this frequency in THz."""
        chosen = self.frequencies > frequency
        return Modes(self.squares[chosen], self.vectors[:, chosen], self.masses)

    def displacements(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn normal coordinates, ``(m,)`` in Å sqrt(u), into displacements of the atoms in Å, ``(n, 3)``."""
        return (self.vectors @ coordinates).reshape(-1, 3) / np.sqrt(self.masses)[:, None]

    def widths(self, temperature: float, statistics: Statistics) -> NDArray[np.float64]:
        """Standard deviation of every normal coordinate at a temperature in K, ``(m,)`` in Å sqrt(u).

        Classical: ``kT / w^2`` is the variance; quantum: ``hbar / (2 w) coth(hbar w / (2 kT))``. All frequencies must
        be real.
        """
        omega = np.sqrt(self.squares)
        thermal = units.kB * temperature
        if statistics == "classical":
            return np.sqrt(thermal) / omega
        with np.errstate(divide="ignore"):
            return np.sqrt(HBAR / (2 * omega * np.tanh(np.divide(HBAR * omega / 2, thermal))))


def force_constants(atoms: ase.Atoms, driver: Driver, displacement: float) -> tuple[NDArray[np.float64], float]:
    """Force constants by central differences of the forces, and the largest force on an atom of the structure itself.

    In eV/Å^2, ``(3 n, 3 n)``, symmetric; and in eV/Å. `InputError` says why forces cannot be had, as the end of a
    sentence.
    """
    forces = np.concatenate(list(_forces(_displaced(atoms, displacement), len(atoms), driver)))
    rest, moved = forces[0], forces[1:].reshape(2, -1, 3 * len(atoms))
    matrix = (moved[1] - moved[0]) / (2 * displacement)
    return (matrix + matrix.T) / 2, float(np.linalg.norm(rest.reshape(-1, 3), axis=1).max())


def normal_modes(atoms: ase.Atoms, matrix: NDArray[np.float64], tangent: NDArray[np.float64] | None = None) -> Modes:
    """Diagonalise force constants in eV/Å^2, ``(3 n, 3 n)``, without translations, and without rotations of molecules.

    The ``tangent``, a displacement in Å, ``(n, 3)``, of a path through the structure, is left out as well.
    """
    masses = atoms.get_masses()
    root = np.repeat(np.sqrt(masses), 3)
    directions = [np.tile(axis, len(atoms)) for axis in np.eye(3)]
    if not atoms.pbc.any():
        centred = atoms.positions - atoms.get_center_of_mass()
        directions += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    if tangent is not None:
        directions.append(tangent.ravel())
    free = _complement(root[:, None] * np.array(directions).T)
    squares, vectors = np.linalg.eigh(free.T @ (matrix / np.outer(root, root)) @ free)
    return Modes(squares, free @ vectors, masses)


def _complement(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns that span what is orthogonal to these columns."""
    lengths = np.linalg.norm(directions, axis=0)
    left, sizes, _ = np.linalg.svd(directions[:, lengths > MERGED] / lengths[lengths > MERGED])
    return left[:, int((sizes > MERGED).sum()) :]


def _displaced(atoms: ase.Atoms, displacement: float) -> Iterator[ase.Atoms]:
    """The structure, then every coordinate moved forwards, then every one backwards."""
    yield atoms
    for sign in (1, -1):
        for coordinate in range(3 * len(atoms)):
            moved = atoms.copy()
            moved.positions[coordinate // 3, coordinate % 3] += sign * displacement
            yield moved


def _forces(frames: Iterator[ase.Atoms], n: int, driver: Driver) -> Iterator[NDArray[np.float64]]:
    """Forces on each frame of ``n`` atoms, ``(k, 3 n)``, as many frames at a time as the driver likes."""
    while group := list(islice(frames, ceil(driver.batch_atoms / n))):
        evaluation = driver(Configurations.from_atoms(group, info_keys=[]))
        for reason in evaluation.failures.values():
            raise InputError(f"has no force constants: {reason}.")
        if not np.isfinite(evaluation.forces).all():
            raise InputError("has no force constants: a force is not finite.")
        yield evaluation.forces.reshape(len(group), -1)
