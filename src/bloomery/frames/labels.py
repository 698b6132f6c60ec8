"""Which labels frames have, and under which names files of the field carry them.

A name is a prefix, if any, and a word; upper and lower case do not matter.

=========  ===============================================================  =========================================
label      words                                                            as it is read
=========  ===============================================================  =========================================
energy     free_energy, energy, total_energy, TotEnergy, potential_energy   eV; in this order
forces     forces, force                                                    eV/Å
stress     stress, six numbers (xx yy zz yz xz xy) or nine                  eV/Å^3, tension positive
stress     virial, virials, six numbers or nine                             eV; stress is minus virial over volume
magmom     magmom                                                           μB, the total moment
magmoms    magmoms, one number an atom                                      μB
=========  ===============================================================  =========================================

Potentials learn the first three. Moments, and ``absolute_magmom``, the integral of the spin density's absolute value,
tell in which magnetic state a label is; what is no collinear moment is left unread.

Properties beyond the energy (`PROPERTIES`) are labels too: property models learn them.

======================  =========================================  ==================================================
property                words                                      as it is read
======================  =========================================  ==================================================
dipole                  dipole, dipole_moment                      e·Å, three numbers
polarizability          polarizability, polarisability             Å^3, nine numbers, symmetric, or six
dielectric_tensor       dielectric_tensor                          relative to the vacuum, nine numbers or six
born_effective_charges  born_effective_charges, becs, bec          e, nine numbers an atom: polarisation, displacement
charges                 charges                                    e, one number an atom
shieldings              shieldings, magnetic_shieldings            ppm, nine numbers an atom
======================  =========================================  ==================================================

Six numbers are in the order of a stress. A property without a prefix that has another number of numbers, such as the
length of a dipole, is left unread, and told; one that somebody has called ``REF_`` must be right.

Prefixes, in this order: ``REF_`` and ``dft_``, which somebody wrote on purpose; then none, which is also what a model
leaves behind. One rule says which energy is meant, here as with calculators and pw.x: the one whose derivatives the
forces are. With a smearing that is the free energy; the extrapolated one beside it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, get_args

import ase
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import ArrayLike, NDArray

from bloomery.errors import InputError
from bloomery.frames.states import state_name

Per = Literal["frame", "atom"]
Property = Literal["dipole", "polarizability", "dielectric_tensor", "born_effective_charges", "charges", "shieldings"]
"""What may be labelled, and learnt by a property model, beside the energy and its derivatives."""


@dataclass(frozen=True)
class LabelKind:
    """What a label is: one value of ``shape`` per frame or per atom, in ``unit``."""

    per: Per
    shape: tuple[int, ...]
    unit: str
    symmetric: bool = False
    """Of a tensor of rank two: whether it equals its transpose."""

    def sizes(self, n_atoms: int) -> tuple[int, ...]:
        """How many numbers a frame of so many atoms may give."""
        full = prod(self.shape) * (n_atoms if self.per == "atom" else 1)
        return (6, 9) if self.symmetric else (full,)

    def holds(self, array: NDArray[Any], n_atoms: int) -> bool:
        """Whether an array is of as many numbers as a frame of so many atoms has, an atom's in a row of their own."""
        in_rows = self.per == "frame" or array.shape[:1] == (n_atoms,)
        return array.size in self.sizes(n_atoms) and in_rows


LABELS: dict[str, LabelKind] = {
    "energy": LabelKind("frame", (), "eV"),
    "forces": LabelKind("atom", (3,), "eV/Å"),
    "stress": LabelKind("frame", (6,), "eV/Å^3", symmetric=True),
    "magmom": LabelKind("frame", (), "μB"),
    "absolute_magmom": LabelKind("frame", (), "μB"),
    "magmoms": LabelKind("atom", (), "μB"),
    "dipole": LabelKind("frame", (3,), "e·Å"),
    "polarizability": LabelKind("frame", (3, 3), "Å^3", symmetric=True),
    "dielectric_tensor": LabelKind("frame", (3, 3), "1", symmetric=True),
    "born_effective_charges": LabelKind("atom", (3, 3), "e"),
    "charges": LabelKind("atom", (), "e"),
    "shieldings": LabelKind("atom", (3, 3), "ppm"),
}
"""The labels known so far. Stress is in ASE's Voigt order (xx, yy, zz, yz, xz, xy) and sign (tension positive)."""
LEARNT = ("energy", "forces", "stress")
"""Labels that potentials are fitted to and measured by."""
MOMENTS = ("magmom", "absolute_magmom", "magmoms")
"""Labels that say in which magnetic state a frame was."""
PROPERTIES: tuple[Property, ...] = get_args(Property)
"""Labels that property models are fitted to; no potential learns them."""

ABSURD = 1e12
"""Labels are below this, in any unit."""

PREFIXES = ("ref_", "dft_", "")
"""What may stand before a word, in the order of trust."""
WORDS: dict[str, tuple[str, ...]] = {
    "energy": ("free_energy", "energy", "total_energy", "totenergy", "potential_energy"),
    "forces": ("forces", "force"),
    "stress": ("stress", "virial", "virials"),
    "magmom": ("magmom",),
    "absolute_magmom": ("absolute_magmom",),
    "magmoms": ("magmoms",),
    "dipole": ("dipole", "dipole_moment"),
    "polarizability": ("polarizability", "polarisability"),
    "dielectric_tensor": ("dielectric_tensor",),
    "born_effective_charges": ("born_effective_charges", "becs", "bec"),
    "charges": ("charges",),
    "shieldings": ("shieldings", "magnetic_shieldings"),
}
"""Label to the words for it, in lower case and in the order in which they are taken."""
VIRIALS = {"virial", "virials"}

TOLERANCES = {"energy": 1e-3, "forces": 1e-3, "stress": 1e-4} | dict.fromkeys((*MOMENTS, *PROPERTIES), 1e-2)
"""Two values of a label are the same within this much, in its unit; energies per atom."""

ASYMMETRY = 0.05
"""A tensor of nine numbers is a stress if it is symmetric within this share of its largest number."""

_LIKE = re.compile(r"(^|_)(energy(?:_per_atom)?|e_?tot|e_?pot|forces?|virials?|stress|toten)(_ref|_dft)?$")
_UNLIKE = re.compile(r"kinetic|disagree|error|uncertain|std|var|weight|sigma|unit|cutoff|scale|shift|cut(_|$)|max|rms")


def looks_like_label(name: str, value: object, n_atoms: int) -> bool:
    """Tell whether something that is carried by a frame seems to be a label, by its name and its size."""
    lower = name.lower()
    found = _LIKE.search(lower)
    if not found or _UNLIKE.search(lower):
        return False
    sizes = {"e": {1}, "t": {1}, "f": {3 * n_atoms}, "v": {6, 9}, "s": {6, 9}}[found.group(2)[0]]
    array = np.asarray(value)
    return array.dtype.kind in "iuf" and array.size in sizes


def told_difference(label: str, difference: float) -> str:
    """A difference of two values of a label with its unit; energies per atom."""
    return f"{difference:.3g} {LABELS[label].unit}" + ("/atom" if label == "energy" else "")


@dataclass(frozen=True)
class Doubt:
    """Two names of one label in one frame whose values differ: the one that was taken, and by how much they differ."""

    label: str
    taken: str
    other: str
    difference: float

    @property
    def told(self) -> str:
        """The difference with its unit."""
        return told_difference(self.label, self.difference)


@dataclass(frozen=True)
class Found:
    """The labels of one frame.

    Parameters
    ----------
    values
        Label to its value, of the shape and in the unit that `LABELS` says.
    doubts
        Where two names do not agree.
    unread
        Names that look like labels, and are none.
    """

    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    """A value under one name: ``rank`` is the place of its prefix among those looked for."""

    rank: int
    order: int
    name: str
    value: NDArray[np.float64]


def find_labels(named: Mapping[str, Any], atoms: ase.Atoms, prefix: str | None = None) -> Found:
    """Find the labels of a frame among what it carries.

    Labels of one prefix belong together: where another prefix contradicts it, nothing is filled in from there.

    Parameters
    ----------
    named
        Everything that may be a label, by its name in the file.
    atoms
        The frame: its number of atoms and its volume count.
    prefix
        The prefix that labels have; by default those of `PREFIXES`.

    Raises
    ------
    InputError
        If a label is no number, of another shape, or not finite; its name is in the sentence, which has no subject.
    """
    found = Found()
    candidates: dict[str, list[_Candidate]] = {label: [] for label in LABELS}
    prefixes = PREFIXES if prefix is None else (prefix.lower(),)
    for name, value in named.items():
        meant = _meaning(name, prefixes)
        if meant is None:
            if looks_like_label(name, value, len(atoms)):
                found.unread.append(name)
            continue
        rank, label, word = meant
        array = _as_label(name, value, label, word, atoms)
        if array is None:
            found.unread.append(name)
            continue
        candidates[label].append(_Candidate(rank, WORDS[label].index(word), name, array))
    ordered = {label: sorted(some, key=lambda c: (c.rank, c.order)) for label, some in candidates.items() if some}
    contradicted = set()
    for label, (best, *others) in ordered.items():
        for other in others:
            difference = _difference(label, best.value, other.value, len(atoms))
            if difference > TOLERANCES[label]:
                found.doubts.append(Doubt(label, best.name, other.name, difference))
                # Properties may well be of another model than energies, and are told on their own.
                if other.rank != best.rank and label not in PROPERTIES:
                    contradicted.add(other.rank)
    for label, (best, *_) in ordered.items():
        if best.rank in contradicted:
            found.unread.append(best.name)
        else:
            found.values[label] = best.value
    return found


def labels_of(frame: ase.Atoms) -> dict[str, ArrayLike]:
    """Labels of one frame of ASE: of its calculator, its ``info`` and its ``arrays``, see `find_labels`."""
    return dict(find_labels(carried(frame), frame).values)


def carried(frame: ase.Atoms) -> dict[str, Any]:
    """What a frame of ASE carries that may be a label, by name."""
    own = {"numbers", "positions"}
    arrays = {name: array for name, array in frame.arrays.items() if name not in own}
    results = dict(frame.calc.results) if frame.calc is not None else {}
    return {**frame.info, **arrays, **{name: value for name, value in results.items() if value is not None}}


def contradictions(frame: ase.Atoms) -> Iterator[Doubt]:
    """Labels that stand under one name in a frame and in its calculator, which is believed, with different values."""
    for name, value in (frame.calc.results if frame.calc is not None else {}).items():
        other, meant = frame.info.get(name, frame.arrays.get(name)), _meaning(name, PREFIXES)
        if other is None or value is None or meant is None:
            continue
        label = meant[1]
        first, second = (_of_shape(name, one, label, len(frame)) for one in (value, other))
        difference = _difference(label, first, second, len(frame))
        if difference > TOLERANCES[label]:
            yield Doubt(label, f"{name} of the calculator", f"{name} of the frame itself", difference)


def _meaning(name: str, prefixes: Sequence[str]) -> tuple[int, str, str] | None:
    """Place of the prefix, label and word of a name."""
    lower = name.lower()
    for rank, prefix in enumerate(prefixes):
        if lower.startswith(prefix):
            word = lower.removeprefix(prefix)
            for label, words in WORDS.items():
                if word in words:
                    return rank, label, word
    return None


def _as_label(name: str, value: object, label: str, word: str, atoms: ase.Atoms) -> NDArray[np.float64] | None:
    """A value as the label that a word means; ``None`` for what does not look like one although it has its name.

    These are moments that are not collinear, properties of another shape, and virials of no volume.
    """
    if label in MOMENTS and not _is_collinear(value, LABELS[label], len(atoms)):
        return None
    if label in PROPERTIES and name.lower() == word:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or not LABELS[label].holds(array, len(atoms)):
            return None
    array = _of_shape(name, value, label, len(atoms))
    if word not in VIRIALS:
        return array
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    return -array / volume if volume else None


def _of_shape(name: str, value: object, label: str, n_atoms: int) -> NDArray[np.float64]:
    try:
        if np.asarray(value).dtype.kind == "b":
            raise ValueError  # noqa: TRY301  a truth value, which would become 0 or 1
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is {str(value)[:40]!r}, which is no number; mend or remove it") from error
    kind = LABELS[label]
    if not kind.holds(array, n_atoms):
        numbers = " or ".join(str(size) for size in kind.sizes(n_atoms))
        raise InputError(f"{name} has {array.size} number(s) instead of {numbers}; mend or remove it")
    if not (np.abs(array) < ABSURD).all():
        raise InputError(f"{name} is not finite, or beyond {ABSURD:g}; remove the label or the frame")
    if kind.symmetric:
        six = _voigt(name, array)
        return six if kind.shape == (6,) else np.asarray(voigt_6_to_full_3x3_stress(six))
    return array.reshape((n_atoms, *kind.shape) if kind.per == "atom" else kind.shape)


def _is_collinear(value: object, kind: LabelKind, n_atoms: int) -> bool:
    """Whether a value is a moment, or one for each atom: numbers that can be."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.size != (n_atoms if kind.per == "atom" else 1):
        return False
    return bool((np.abs(array) < ABSURD).all())


def _voigt(name: str, stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """The six numbers of a symmetric tensor that is given by six or by nine."""
    if stress.size == 6:
        return stress.reshape(6)
    full = stress.reshape(3, 3)
    if np.abs(full - full.T).max() > ASYMMETRY * np.abs(full).max():
        raise InputError(f"{name} is not symmetric; mend or remove it")
    full = (full + full.T) / 2
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])


def _difference(label: str, first: NDArray[np.float64], second: NDArray[np.float64], n_atoms: int) -> float:
    return float(np.abs(first - second).max(initial=0.0)) / (max(n_atoms, 1) if label == "energy" else 1)


def is_label_name(name: str, prefix: str | None = None) -> bool:
    """Tell whether a name means a label, of this prefix or of those that are known: such keys are no ``info``."""
    return _meaning(name, PREFIXES if prefix is None else (*PREFIXES, prefix.lower())) is not None


def common_info(
    atoms: Sequence[ase.Atoms], keys: Sequence[str] | None, prefix: str | None = None
) -> dict[str, NDArray[Any]]:
    """Numbers, texts and truth values of frames, as arrays, ``(N,)``: of these keys, or of all but labels; no states.

    A text that a frame does not have is empty there, a number is NaN. What is text in one frame and a number in
    another, and what is neither, is left out.
    """
    if keys is None:
        seen = dict.fromkeys(key for frame in atoms for key in frame.info)
        keys = [key for key in seen if not is_label_name(key, prefix)]
    keys = [key for key in keys if state_name(key) is None]
    info = {}
    for key in keys:
        column = column_of([frame.info.get(key) for frame in atoms])
        if column is not None:
            info[key] = column
    return info


def column_of(values: Sequence[object]) -> NDArray[Any] | None:
    """One value a frame, ``None`` where it has none, as an array; ``None`` if they are not of one kind."""
    present = [value for value in values if value is not None]
    kinds = set(_kinds(present))
    if len(kinds) != 1 or None in kinds:
        return None
    (kind,) = kinds
    if kind == "text":
        return np.array(["" if value is None else value for value in values])
    if len(present) == len(values):
        return np.array(values, dtype=bool if kind == "truth" else None)
    return None if kind == "truth" else np.array([np.nan if value is None else value for value in values], dtype=float)


def _kinds(values: Sequence[object]) -> Iterator[str | None]:
    for value in values:
        if isinstance(value, bool | np.bool_):
            yield "truth"
        elif isinstance(value, int | float | np.number):
            yield "number"
        elif isinstance(value, str):
            yield "text"
        else:
            yield None
