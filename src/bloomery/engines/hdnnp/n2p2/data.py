"""``input.data``: labelled frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from bloomery.configurations import Configurations
from bloomery.engines.hdnnp.n2p2.keywords import read_lines
from bloomery.engines.hdnnp.n2p2.units import ATOMIC, FileUnits
from bloomery.errors import InputError


def read_data(path: str | Path, units: FileUnits = ATOMIC) -> Configurations:
    """Read all frames, with their energies and forces as labels.

    The format cannot leave a label out: a file of frames that nobody has labelled has zeros, which are read as such.

    Raises
    ------
    InputError
        If a line is not understood or a frame has one or two lattice vectors; the line is named.
    """
    path = Path(path)
    frames = [_frame(path, first, lines, units) for first, lines in _blocks(path)]
    if not frames:
        raise InputError(f"{path}: holds no frame (begin ... end).")
    return Configurations.from_atoms(frames)


def write_data(path: str | Path, configurations: Configurations, units: FileUnits = ATOMIC) -> None:
    """Write labelled frames.

    Raises
    ------
    InputError
        If a frame has no energy, no forces, or is periodic along some directions only; the frame is named.
    """
    length, energy = units.in_angstrom, units.in_ev
    lines: list[str] = []
    offsets = configurations.offsets
    energies, has_energy = configurations.label("energy")
    forces, has_forces = configurations.label("forces")
    for index, atoms in enumerate(configurations.without_labels().to_atoms()):
        if not (has_energy[index] and has_forces[index]):
            missing = "forces" if has_energy[index] else "energy"
            raise InputError(f"{path}: frame {index} has no label {missing}, which n2p2 needs; leave the frame out.")
        if atoms.pbc.any() != atoms.pbc.all():
            raise InputError(
                f"{path}: frame {index} is periodic along some directions only, which n2p2 cannot say; leave it out, "
                "or make it periodic along all of them."
            )
        lines += ["begin", f"comment frame {index}"]
        if atoms.pbc.all():
            lines += ["lattice " + _numbers(vector / length) for vector in atoms.cell.array]
        own = forces[offsets[index] : offsets[index + 1]] * (length / energy)
        for symbol, place, force in zip(atoms.get_chemical_symbols(), atoms.positions / length, own, strict=True):
            lines.append(f"atom {_numbers(place)} {symbol:2s} {_numbers([0.0, 0.0])} {_numbers(force)}")
        lines += [f"energy {_numbers([energies[index] / energy])}", f"charge {_numbers([0.0])}", "end"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _numbers(values: np.ndarray | list[float]) -> str:
    return " ".join(f"{value:24.16E}" for value in values)


def _blocks(path: Path) -> Iterator[tuple[int, list[list[str]]]]:
    """Number of the first line and the words of all lines of each frame."""
    current: list[list[str]] | None = None
    first = 0
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "begin":
            current, first = [], number + 1
        elif current is None:
            raise InputError(f"{path}, line {number}: {words[0]!r} stands outside of a frame (begin ... end).")
        elif words[0] == "end":
            yield first, current
            current = None
        else:
            current.append(words)
    if current is not None:
        raise InputError(f"{path}: its last frame has no end; the file is cut off.")


def _frame(path: Path, first: int, lines: list[list[str]], units: FileUnits) -> ase.Atoms:
    cell: list[list[float]] = []
    symbols: list[str] = []
    rows: list[list[float]] = []
    energy = 0.0
    for number, words in enumerate(lines, start=first):
        try:
            if words[0] == "lattice":
                cell.append([float(word) for word in words[1:4]])
            elif words[0] == "atom":
                symbols.append(words[4])
                rows.append([float(word) for word in (*words[1:4], *words[7:10])])
            elif words[0] == "energy":
                energy = float(words[1])
            elif words[0] not in ("comment", "charge"):
                raise InputError(f"{path}, line {number}: the keyword {words[0]!r} is not known.")
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}, line {number}: is not a line of an n2p2 data file ({error}).") from error
    if len(cell) not in (0, 3) or any(len(row) != 6 for row in rows):
        raise InputError(
            f"{path}: the frame at line {first} has a line with too few numbers, or not 3 lattice vectors."
        )
    table = np.array(rows).reshape(-1, 6)
    length, unit = units.in_angstrom, units.in_ev
    try:
        atoms = ase.Atoms(
            symbols,
            positions=table[:, :3] * length,
            cell=np.array(cell) * length if cell else None,
            pbc=bool(cell),
        )
    except KeyError as error:
        raise InputError(f"{path}: the frame at line {first} has an atom of the unknown element {error}.") from error
    atoms.calc = SinglePointCalculator(atoms, energy=energy * unit, forces=table[:, 3:] * (unit / length))
    return atoms
