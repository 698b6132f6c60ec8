"""Systems of DeePMD: a folder with ``type.raw``, and frames as numpy arrays in sets, or as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import ase
import numpy as np

from bloomery.errors import InputError

_LABELS = {"energy": "energy", "force": "forces", "virial": "virial"}


def frames_in(folder: Path, names: Sequence[str]) -> Iterator[ase.Atoms]:
    """Frames of one system in their order, in Å and eV: of its sets, or of its texts; ``names`` are its elements.

    By ourselves: dpdata sorts the frames of mixed systems by formula, and reads no forces without energies.
    """
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    sets = sorted(folder.glob("set.*"))
    for place in sets or [folder]:
        suffix = ".npy" if sets else ".raw"
        files = {path.stem: path for path in place.glob(f"*{suffix}") if path.stem not in {"type", "type_map"}}
        data = {name: np.load(path) if sets else np.loadtxt(path, ndmin=1) for name, path in files.items()}
        coordinates = data.pop("coord").reshape(-1, len(types), 3)
        cells = None if (folder / "nopbc").is_file() or "box" not in data else data["box"].reshape(-1, 3, 3)
        data.pop("box", None)
        kinds = data.pop("real_atom_types", np.broadcast_to(types, coordinates.shape[:2]))
        if kinds.max(initial=0) >= len(names):
            raise InputError(
                f"{folder}: has atoms of type {kinds.max()}, and names {len(names)} elements; name them all."
            )
        n_frames = len(coordinates)
        short = next((name for name, values in data.items() if values.size % n_frames), None)
        if short is not None:
            raise InputError(f"{files[short]}: does not hold as many frames as coord, {n_frames}; mend the set.")
        for frame in range(n_frames):
            real = kinds[frame] >= 0
            symbols = [names[kind] for kind in kinds[frame][real]]
            cell = None if cells is None else cells[frame]
            atoms = ase.Atoms(symbols, coordinates[frame][real], cell=cell, pbc=cell is not None)
            for name, values in data.items():
                value = values.reshape(n_frames, -1)[frame]
                if name == "force":
                    atoms.arrays["forces"] = value.reshape(-1, 3)[real]
                else:
                    atoms.info[_LABELS.get(name, name)] = value[0] if value.size == 1 else value
            yield atoms
