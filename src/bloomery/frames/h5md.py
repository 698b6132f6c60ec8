"""H5MD, by znh5md, which does not heed the units that a file says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import ase
import numpy as np

from bloomery.errors import InputError
from bloomery.frames.file_units import factor_of
from bloomery.frames.labels import is_label_name

_IN_ASE = {"position": "positions", "edges": "cell", "force": "forces", "potential_energy": "energy"}
"""Names of H5MD to those under which znh5md gives them."""


def frames_in(path: Path) -> Iterator[ase.Atoms]:
    """Frames in Å and eV; `InputError` if the file says other units that are not known."""
    factors = _factors(path)
    for atoms in import_module("znh5md").iread(str(path)):
        atoms.positions *= factors.get("positions", 1.0)
        atoms.cell *= factors.get("cell", 1.0)
        for store in (atoms.info, atoms.arrays, {} if atoms.calc is None else atoms.calc.results):
            for name in factors.keys() & store.keys() - {"positions"}:
                store[name] = store[name] * factors[name]
        if "charges" in atoms.info and np.ndim(atoms.info["charges"]) == 0:
            # One number for a frame, which znh5md keeps where those of atoms are, is its total charge.
            atoms.info["charge"] = atoms.info.pop("charges")
        yield atoms


def _factors(path: Path) -> dict[str, float]:
    """What positions, cell and labels are in Å and eV, by their names in ASE, where a file says their units."""
    h5py: Any = import_module("h5py")
    factors: dict[str, float] = {}

    def look(place: str, node: Any) -> None:
        name = place.removesuffix("/value").rsplit("/", 1)[-1]
        unit = node.attrs.get("unit")
        if unit is None or not (name in {"position", "edges"} or is_label_name(name)):
            return
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        try:
            factors[_IN_ASE.get(name, name)] = factor_of(unit)
        except ValueError as error:
            raise InputError(f"{path}: {place}: {error}; write it in Å and eV.") from error

    with h5py.File(path) as file:
        if "particles" not in file:
            raise InputError(f"{path}: is HDF5 and not H5MD, which has a group particles; convert it to H5MD.")
        file.visititems(look)
    return {name: factor for name, factor in factors.items() if factor != 1.0}
