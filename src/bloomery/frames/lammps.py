"""Dumps and data files of LAMMPS, by ASE, which makes up energies of zero and takes types for atomic numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import ase
import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from bloomery.errors import InputError
from bloomery.frames.file_units import FileUnits
from bloomery.frames.opening import open_text

STYLES = {"metal": "Å,eV", "electron": "bohr,Ha", "real": "Å,kcal/mol"}
"""Styles of units that are read where a file says so, and their lengths and energies."""
FITS = 0.3
"""A mass is of an element if it is within so many u of it."""


@dataclass
class _Head:
    """What is said of a dump before its first row."""

    style: str | None = None
    columns: tuple[str, ...] = ()
    masses: tuple[float, ...] = ()


def dump(path: Path, units: FileUnits | None, elements: Sequence[str]) -> Iterator[ase.Atoms]:
    """Frames of a dump, with forces if it has them; `InputError` if its elements or units are not known."""
    from ase.io.lammpsrun import iread_lammps_dump_text  # noqa: PLC0415  it imports half of ASE

    head = _head(path)
    style, units = _style(path, head.style, units)
    named = "element" in head.columns
    if not (named or elements or (head.masses and head.style in {None, *STYLES})):
        raise InputError(
            f"{path}: numbers its types and does not say their elements; convert it with bloomery convert --elements, "
            "such as --elements Si,C for the types 1 and 2."
        )
    if not (named or elements):
        _check_masses(path, head.masses)
    with open_text(path) as file:
        frames = iread_lammps_dump_text(file, index=":", units=style)
        for index, (atoms, n_atoms) in enumerate(zip(frames, _counts(path), strict=False)):
            if len(atoms) != n_atoms:
                raise InputError(f"{path}: frame {index} has {len(atoms)} of {n_atoms} atoms; the file is cut off.")
            if atoms.calc is not None:
                atoms.calc.results.pop("energy", None)  # which ASE makes up
            if elements:
                _name_types(atoms, elements, f"{path}: frame {index}", named=named)
            yield _in_units(atoms, units)


def data(path: Path, units: FileUnits | None, elements: Sequence[str]) -> Iterator[ase.Atoms]:
    """The frame of a data file; `InputError` if its elements or units are not known."""
    from ase.io import iread  # noqa: PLC0415

    with open_text(path) as file:
        said = re.search(r"\bunits\s*=\s*(\w+)", file.readline())
    style, units = _style(path, said.group(1) if said else None, units)
    (atoms,) = iread(str(path), format="lammps-data", units=style, do_not_split_by_at_sign=True)
    if elements:
        _name_types(atoms, elements, f"{path}: frame 0")
    elif atoms.has("masses"):
        _check_masses(path, atoms.get_masses())
    elif (atoms.numbers == atoms.arrays.get("type", 0)).all():
        raise InputError(f"{path}: has no masses, so its types have no elements; say them with --elements, as Si,C.")
    for name in ("id", "type", "masses", "mol-id", "bonds", "angles", "dihedrals"):
        atoms.arrays.pop(name, None)
    yield _in_units(atoms, units)


def _head(path: Path) -> _Head:
    head, n_atoms = _Head(), 0
    with open_text(path) as file:
        for line in file:
            if line.startswith("ITEM: UNITS"):
                head.style = file.readline().strip()
            elif line.startswith("ITEM: NUMBER OF ATOMS"):
                n_atoms = int(file.readline())
            elif line.startswith("ITEM: ATOMS"):
                head.columns = tuple(line.split()[2:])
                break
        if "mass" in head.columns:
            place = head.columns.index("mass")
            head.masses = tuple({float(row.split()[place]) for row in islice(file, n_atoms) if row.strip()})
    return head


def _counts(path: Path) -> Iterator[int]:
    """Numbers of atoms that frames of a dump are said to have."""
    with open_text(path) as file:
        for line in file:
            if line.startswith("ITEM: NUMBER OF ATOMS"):
                yield int(file.readline())


def _style(path: Path, said: str | None, units: FileUnits | None) -> tuple[str, FileUnits | None]:
    """The style in which ASE is to read a file, and in which units what it gives is."""
    if said is None:
        return "metal", units
    if said not in STYLES and units is None:
        raise InputError(
            f"{path}: is in LAMMPS's units {said}, which are not read; give its lengths and energies with --units, "
            "such as --units Å,eV, or convert it."
        )
    if said not in STYLES:
        return "metal", units
    if units is not None and str(units) != STYLES[said]:
        raise InputError(f"{path}: says that its units are {said} ({STYLES[said]}), and --units {units}; leave it out.")
    return said, None


def _check_masses(path: Path, masses: Iterable[float]) -> None:
    for mass in masses:
        if np.abs(atomic_masses[1:] - mass).min() > FITS:
            raise InputError(
                f"{path}: has atoms of mass {mass:g}, which is of no element; say the elements of the types with "
                "--elements, such as --elements Si,C."
            )


def _name_types(atoms: ase.Atoms, elements: Sequence[str], where: str, *, named: bool = False) -> None:
    """Make the atoms of type 1, 2, ... of these elements; ``named`` if the file says their elements itself."""
    types = atoms.arrays.get("type")
    if types is None:
        raise InputError(f"{where} does not number its types, which --elements names; leave it out.")
    wrong = types[(types < 1) | (types > len(elements))]
    if len(wrong):
        raise InputError(
            f"{where} has type {wrong[0]}, and --elements names {len(elements)} element(s); name them all."
        )
    numbers = np.array([atomic_numbers[elements[kind - 1]] for kind in types], dtype=int)
    other = np.flatnonzero(numbers != atoms.numbers)
    if named and len(other):
        kind, symbol = types[other[0]], chemical_symbols[atoms.numbers[other[0]]]
        raise InputError(
            f"{where} says itself that type {kind} is {symbol}, and --elements says {elements[kind - 1]}; leave it out."
        )
    atoms.numbers = numbers


def _in_units(atoms: ase.Atoms, units: FileUnits | None) -> ase.Atoms:
    """Turn lengths and forces, read as if in Å and eV/Å, into these."""
    if units is None:
        return atoms
    atoms.set_cell(atoms.cell.array * units.in_angstrom, scale_atoms=False)
    atoms.positions *= units.in_angstrom
    if atoms.calc is not None and "forces" in atoms.calc.results:
        atoms.calc.results["forces"] = atoms.calc.results["forces"] * units.in_ev / units.in_angstrom
    return atoms
