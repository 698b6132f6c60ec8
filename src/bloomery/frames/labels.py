"""Which labels frames have, and where atoms of ASE carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray

Per = Literal["frame", "atom"]


@dataclass(frozen=True)
class LabelKind:
    """What a label is: one value of ``shape`` per frame or per atom, in ``unit``."""

    per: Per
    shape: tuple[int, ...]
    unit: str


LABELS: dict[str, LabelKind] = {
    "energy": LabelKind("frame", (), "eV"),
    "forces": LabelKind("atom", (3,), "eV/Å"),
    "stress": LabelKind("frame", (6,), "eV/Å^3"),
}
"""The labels known so far. Stress is in ASE's Voigt order (xx, yy, zz, yz, xz, xy) and sign (tension positive)."""

# Names under which foreign extxyz files carry labels, in the order in which they are looked for.
_LABEL_PREFIXES = ("REF_", "ref_", "dft_", "DFT_")


def labels_of(frame: ase.Atoms) -> dict[str, ArrayLike]:
    """Labels of one frame: those of its calculator first, then keys with a known prefix."""
    found: dict[str, ArrayLike] = {}
    results = dict(frame.calc.results) if frame.calc is not None else {}
    for name in LABELS:
        foreign = ((place, f"{prefix}{name}") for prefix in _LABEL_PREFIXES for place in (frame.info, frame.arrays))
        for place, key in ((results, name), *foreign):
            if key in place:
                found[name] = place[key]
                break
    if "energy" not in found and "free_energy" in results:
        found["energy"] = results["free_energy"]
    if "stress" in found:
        found["stress"] = _voigt(np.asarray(found["stress"], dtype=float))
    return found


def _voigt(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    if stress.size == 6:
        return stress.reshape(6)
    full = stress.reshape(3, 3)
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])


def common_info(atoms: Sequence[ase.Atoms], keys: Sequence[str] | None) -> dict[str, NDArray[Any]]:
    """Plain scalars that all frames have, as arrays, ``(N,)``: of these keys, or of all but labels."""
    if not atoms:
        return {}
    names = keys if keys is not None else [key for key in atoms[0].info if not key.startswith(_LABEL_PREFIXES)]
    found = {key: [frame.info.get(key) for frame in atoms] for key in names}
    return {key: np.array(values) for key, values in found.items() if _alike(values)}


def _alike(values: Sequence[object]) -> bool:
    """Whether all are yes or no, all numbers, or all text."""
    kinds: tuple[Any, ...] = (bool | np.bool_, int | float | np.number, str)
    return any(all(isinstance(value, kind) for value in values) for kind in kinds)
