"""CFG of MTP (MLIP): lengths in Å, energies and virials (``PlusStress``) in eV, forces in eV/Å."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import ase
import numpy as np

from bloomery.errors import DataWarning, InputError

KNOWN = {"Size", "Supercell", "AtomData", "Energy", "PlusStress", "Stress", "Feature"}
"""Blocks that are read; ``Feature`` is looked through for what says that a calculation did not converge."""
_UNCONVERGED = re.compile(r"not.?converged", re.IGNORECASE)


def frames_in(path: Path, text: str, elements: Sequence[str]) -> Iterator[ase.Atoms]:
    """The frames of a file, with their labels; types 0, 1, ... are of these elements.

    Raises
    ------
    InputError
        If a frame is cut off or contradicts itself; it is named.

    Warns
    -----
    DataWarning
        Of blocks that are not read, and of frames that say that they did not converge.
    """
    unread: dict[str, int] = {}
    unconverged = []
    for index, block in enumerate(re.split(r"\bBEGIN_CFG\b", text)[1:]):
        body, end, _ = block.partition("END_CFG")
        if not end:
            raise InputError(f"{path}: frame {index} has no END_CFG; the file is cut off, mend or remove the frame.")
        try:
            blocks = _blocks(body)
            atoms = _atoms(blocks, elements)
        except ValueError as error:
            raise InputError(f"{path}: frame {index} {error}; mend or remove the frame.") from error
        for name in blocks.keys() - KNOWN:
            unread.setdefault(name, index)
        if _UNCONVERGED.search(body):
            unconverged.append(index)
        yield atoms
    if unread:
        names = ", ".join(f"{name} (first in frame {index})" for name, index in sorted(unread.items()))
        _warn(f"{path}: {names} is not read; a virial in eV is named PlusStress.")
    if unconverged:
        _warn(
            f"{path}: {len(unconverged)} frame(s) say that they did not converge, the first frame {unconverged[0]}; "
            "their labels may be wrong, remove them."
        )


def _warn(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=3)


def _blocks(body: str) -> dict[str, list[list[str]]]:
    """Words of the lines of each block by its name, those beside the name first; `ValueError` if one comes twice."""
    blocks: dict[str, list[list[str]]] = {}
    name = ""
    for words in filter(None, (line.split() for line in body.splitlines())):
        if words[0][0].isalpha():
            name = words[0].rstrip(":")
            if name in blocks and name != "Feature":
                raise ValueError(f"has {name} twice")
            blocks[name] = [words[1:]]
        elif name:
            blocks[name].append(words)
    missing = sorted({"Size", "AtomData"} - blocks.keys())
    if missing:
        raise ValueError(f"has no {missing[0]}")
    return blocks


def _atoms(blocks: dict[str, list[list[str]]], elements: Sequence[str]) -> ase.Atoms:
    columns, *rows = blocks["AtomData"]
    size = int(_floats("Size", blocks["Size"][1:2], 1)[0])
    if len(rows) != size:
        raise ValueError(f"has the Size {size}, and {len(rows)} atom(s)")
    table = dict(zip(columns, np.array([_floats("AtomData", [row], len(columns)) for row in rows]).T, strict=True))
    types = table["type"].astype(int) if "type" in table else np.zeros(0, dtype=int)
    if len(types) != size:
        raise ValueError("has no column type")
    if types.min(initial=0) < 0:
        raise ValueError(f"has type {types.min()}, where types are 0, 1, ...")
    if types.max(initial=0) >= len(elements):
        raise ValueError(f"has type {types.max()}, and --elements names {len(elements)} element(s)")
    cell = None
    if "Supercell" in blocks:
        vectors = list(takewhile(lambda words: len(words) == 3, blocks["Supercell"][1:]))
        if len(vectors) != 3:
            raise ValueError(f"has a cell of {len(vectors)} vectors, where three are read")
        cell = np.array([_floats("Supercell", [vector], 3) for vector in vectors])
    first = "cartes" if "cartes_x" in table else "direct"
    atoms = ase.Atoms(
        [elements[kind] for kind in types], cell=cell, pbc=cell is not None,
        **{"positions" if first == "cartes" else "scaled_positions": _vectors(table, f"{first}_")},
    )  # fmt: skip
    if {"fx", "fy", "fz"} & table.keys():
        atoms.arrays["forces"] = _vectors(table, "f")
    if "Energy" in blocks:
        (atoms.info["energy"],) = _floats("Energy", blocks["Energy"][1:2], 1)
    for name, sign in (("Stress", -1.0), ("PlusStress", 1.0)):
        if name in blocks:
            order = blocks[name][0]
            six = dict(zip(order, _floats(name, blocks[name][1:2], len(order)), strict=True))
            if sorted(six) != ["xx", "xy", "xz", "yy", "yz", "zz"]:
                raise ValueError(f"has {name} that is not xx yy zz yz xz xy")
            atoms.info["virial"] = [sign * six[name] for name in ("xx", "yy", "zz", "yz", "xz", "xy")]
    return atoms


def _floats(name: str, lines: Sequence[Sequence[str]], n: int) -> list[float]:
    """The numbers of one line of a block; `ValueError` if they are not this many."""
    words = lines[0] if lines else []
    if len(words) != n:
        raise ValueError(f"has {len(words)} number(s) in a line of {name} instead of {n}")
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"has in {name} what is no number ({' '.join(words)[:60]})") from error


def _vectors(table: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    names = [f"{prefix}{axis}" for axis in "xyz"]
    missing = [name for name in names if name not in table]
    if missing:
        raise ValueError(f"has no column {missing[0]}")
    return np.stack([table[name] for name in names], axis=1)
