"""Basis sets and potentials that a CP2K on this machine has, by the names in its files."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ase.data import atomic_numbers

from aiida_bloomery.calculations.cp2k_input import Kind, valence_electrons
from bloomery.errors import InputError

ASK_S = 30
"""Seconds for the program to say where its files are."""
_HEADER = re.compile(r"^[ \t]*([A-Z][a-z]?)[ \t]+([^\s\d#!][^\n#!]*)", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A basis set or potential of an element."""

    names: tuple[str, ...]

    @property
    def electrons(self) -> int | None:
        """Electrons outside of the core, where a name says it."""
        return next((found for name in self.names if (found := valence_electrons(name)) is not None), None)

    @property
    def name(self) -> str:
        """The name that says the number of electrons, else the first."""
        return next((name for name in self.names if valence_electrons(name) is not None), self.names[0])


@cache
def data_folder(program: Path | None) -> Path | None:
    """Where a CP2K has its files: the variable ``CP2K_DATA_DIR``, else the folder that it was built with."""
    given = os.environ.get("CP2K_DATA_DIR")
    if given is None and program is not None:
        try:
            said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=ASK_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        # The options of its compiler are broken into lines of a fixed width.
        match = re.search(r'__DATA_DIR="([^"]*)"', "".join(line.strip(" \r") for line in said.stdout.split("\n   ")))
        given = match[1] if match else None
    return Path(given) if given and Path(given).is_dir() else None


def read_entries(folder: Path, files: Iterable[str]) -> dict[str, list[Entry]]:
    """Read what files hold, by element; a name without a folder is a file of the installation.

    Raises
    ------
    InputError
        If there is no such file.
    """
    found: dict[str, list[Entry]] = {}
    for name in files:
        path = folder / name
        if not path.is_file():
            raise InputError(f"{name}: CP2K has no such file in {folder}; correct the name.")
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in _HEADER.finditer(text):
            if match[1] in atomic_numbers:
                found.setdefault(match[1], []).append(Entry(tuple(match[2].split())))
    return found


def resolve_kind(
    element: str,
    basis: str,
    potential: str,
    sets: dict[str, list[Entry]] | None = None,
    potentials: dict[str, list[Entry]] | None = None,
) -> Kind:
    """Return what CP2K is told of an element, by full names where its files can be seen.

    Parameters
    ----------
    sets, potentials
        What the files hold; ``None`` if they are on another machine. Then names are taken as they are, and of the
        electrons at least the parity is right: cores are closed.

    Raises
    ------
    InputError
        If a file has no such name for the element, or the two are for different numbers of electrons.
    """
    if sets is None or potentials is None:
        electrons = valence_electrons(potential)
        return {"basis": basis, "potential": potential, "electrons": electrons or int(atomic_numbers[element])}
    core = _named(potentials, "potential", element, potential)[0]
    if core.electrons is None:
        raise InputError(
            f"potential: {potential!r} of {element} does not say its electrons (as in -q4); choose another."
        )
    choices = _named(sets, "basis", element, basis)
    fitting = [entry for entry in choices if entry.electrons in (None, core.electrons)]
    if not fitting:
        raise InputError(
            f"basis: {choices[0].name!r} of {element} is for other electrons than {core.name!r}; choose two that "
            "belong together."
        )
    return {"basis": fitting[0].name, "potential": core.name, "electrons": core.electrons}


def _named(entries: dict[str, list[Entry]], key: str, element: str, name: str) -> list[Entry]:
    known = entries.get(element, [])
    found = [entry for entry in known if name in entry.names]
    if found:
        return found
    others = list(dict.fromkeys(entry.name for entry in known))
    there = f"there are {', '.join(others[:8])}{', ...' if len(others) > 8 else ''}" if others else "it has none at all"
    raise InputError(f"{key}: the files of CP2K have no {name!r} for {element} ({there}); choose another.")
