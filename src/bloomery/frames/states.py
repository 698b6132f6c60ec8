"""The state of a frame: what a label depends on besides species, cell and positions; and masses, which travel with it.

=========================  =========  ==============================================================  ================
state                      one a      what it is                                                      also read from
=========================  =========  ==============================================================  ================
``charge``                 frame      total charge in e                                               ``total_charge``
``spin``                   frame      total spin multiplicity 2S+1, a whole number of 1 or more       see `STATES`
``tot_magnetization``      frame      electrons with spin up less those with spin down, held there
``electronic_temperature`` frame      of the electrons' occupations, in K
``initial_magmoms``        atom       moment that a calculation starts from in μB, collinear
``masses``                 atom       mass in u, where it is not the element's; no part of identity
=========================  =========  ==============================================================  ================

``spin`` is the multiplicity, as OMol25, SPICE and the calculators of MACE and fairchem have it: 1 is a singlet, 2 a
doublet. It is not 2S, nor S. fairchem writes 0 for what is not known, and so it is read. Names in files are taken in
upper and lower case. ``initial_charges`` of ASE are partial charges of atoms, and no total charge: they say nothing
here.

Absent is not zero. What is absent nobody has said: the settings of the method decide. What is said holds for its frame.
But a charge of zero, and starting moments that are all zero, are what every method takes where nothing is said (and ASE
cannot tell the latter from none): they are kept and written, and **do not count** in the content hash, so that neutral
frames that say so and neutral frames that do not are one and the same, and are labelled once. A labeller whose settings
say a charge of their own does not take frames that say one, so nothing is confused. Everything else counts where it is
said: a singlet that is stated is not a frame whose multiplicity is left to the method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ase
import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from bloomery.errors import InputError

STATE_GRID = 1e-6
"""States are compared, hashed and stored on a grid of this many of their units."""
UNBELIEVABLE = 1e6
"""States, and masses, are below this in any unit."""
SAME_MASS = 1e-3
"""A mass is the element's if it is within so many u of it: tables of different years differ by that."""
NULL_SPIN = 0
"""A ``spin`` of a file that says that it is not known."""


@dataclass(frozen=True)
class StateKind:
    """What a state is: one number per frame or per atom."""

    per: Literal["frame", "atom"]
    unit: str
    words: tuple[str, ...]
    """Names in files, in lower case; the first is ours, under which it is written."""
    zero_counts: bool = True
    """Whether zero, on all atoms, says more than nothing does."""
    counts: bool = True
    """Whether it is part of the content of a frame, which labels belong to."""
    whole: bool = False
    """Whether it is a whole number."""


STATES: dict[str, StateKind] = {
    "charge": StateKind("frame", "e", ("charge", "total_charge"), zero_counts=False),
    "spin": StateKind(
        "frame", "2S+1", ("spin", "total_spin", "multiplicity", "spin_multiplicity"), whole=True
    ),
    "tot_magnetization": StateKind("frame", "μB", ("tot_magnetization",)),
    "electronic_temperature": StateKind("frame", "K", ("electronic_temperature",)),
    "initial_magmoms": StateKind("atom", "μB", ("initial_magmoms",), zero_counts=False),
    "masses": StateKind("atom", "u", ("masses",), counts=False),
}  # fmt: skip
"""The states known so far, and masses, by the names under which they are kept."""
EXTENSIVE = ("charge", "spin", "tot_magnetization")
"""States that grow with the frame."""

_WORDS = {word: name for name, kind in STATES.items() for word in kind.words}

Values = Mapping[str, NDArray[np.float64]]
Masks = Mapping[str, NDArray[np.bool_]]


def state_name(word: str) -> str | None:
    """Return which state a name in a file means, or ``None``."""
    return _WORDS.get(word.lower())


def find_states(atoms: ase.Atoms) -> dict[str, NDArray[np.float64]]:
    """Find what a frame of ASE says of its state, in ``info`` and ``arrays``: values of shape ``()`` or ``(n,)``.

    A ``spin`` of 0 is none, and masses of the elements are none.

    Raises
    ------
    InputError
        If a value is no number, is not one or not one for each atom, or cannot be; the sentence begins with its name.
    """
    found: dict[str, NDArray[np.float64]] = {}
    said: dict[str, str] = {}
    for word, value in _said(atoms):
        name = _WORDS[word.lower()]
        kind = STATES[name]
        array = _numbers(word, value, kind, len(atoms))
        if name == "spin" and array == NULL_SPIN:
            continue
        if name == "masses" and is_of_elements(array, atoms.numbers):
            continue
        if name in found and (np.abs(found[name] - array) > STATE_GRID).any():
            raise InputError(f"{said[name]}: is {_told(found[name])}, and {word} is {_told(array)}; keep one of them")
        found[name], said[name] = array, word
    if found:
        one = {name: value.reshape(-1) for name, value in found.items()}
        masks = {name: np.ones(1, dtype=bool) for name in found}
        wrong = first_problem(one, masks, np.array([len(atoms)]), atoms.numbers)
        if wrong is not None:
            raise InputError(wrong[1])
    return found


def null_spin(atoms: ase.Atoms) -> str | None:
    """Return the name under which a frame says a ``spin`` of 0, which is read as not known; ``None`` if it does not."""
    for word, value in atoms.info.items():
        number = np.ndim(value) == 0 and not isinstance(value, bool | np.bool_ | str)
        if isinstance(word, str) and state_name(word) == "spin" and number and value == NULL_SPIN:
            return word
    return None


def is_state(word: str, *, of_atoms: bool) -> bool:
    """Tell whether a name means a state, among what is of the frame or among what is ``of_atoms``.

    A column ``charge`` holds partial charges of atoms, which are none.
    """
    name = state_name(word)
    return name is not None and (STATES[name].per == "atom" or not of_atoms)


def _said(atoms: ase.Atoms) -> Iterator[tuple[str, Any]]:
    for of_atoms, store in ((False, atoms.info), (True, atoms.arrays)):
        for word, value in store.items():
            if isinstance(word, str) and value is not None and is_state(word, of_atoms=of_atoms):
                yield word, value


def _numbers(word: str, value: Any, kind: StateKind, n_atoms: int) -> NDArray[np.float64]:
    """A value as numbers of the shape that it must have."""
    what = f"{STATES[_WORDS[word.lower()]].unit}"
    if isinstance(value, str | bytes) or np.asarray(value).dtype.kind in "US":
        raise InputError(f"{word}: is the text {str(value)[:40]!r}; give a number ({what}), or remove it")
    if np.asarray(value).dtype.kind == "b":
        raise InputError(f"{word}: is a truth value, {value}; give a number ({what}), or remove it")
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{word}: is {str(value)[:40]!r}, which is no number; mend or remove it") from error
    if kind.per == "frame":
        if array.size != 1:
            raise InputError(f"{word}: is {array.size} numbers, where a frame has one; mend or remove it")
        return array.reshape(())
    if array.ndim == 2 and array.shape[0] == n_atoms and array.shape[1] == 3 and word.lower() == "initial_magmoms":
        raise InputError(
            f"{word}: is three numbers an atom, which are moments that are not collinear and are not treated; give one "
            "number an atom, or remove it"
        )
    if array.size != n_atoms:
        raise InputError(f"{word}: is {array.size} number(s) for {n_atoms} atoms; give one an atom, or remove it")
    return array.reshape(n_atoms)


def first_problem(
    values: Values, masks: Masks, counts: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[int, str] | None:
    """Return the first frame whose state cannot be, and a sentence without an end; ``None`` if all can.

    Parameters
    ----------
    values, masks
        As `bloomery.frames.configurations.Configurations` keeps them.
    counts, numbers
        Atoms of each frame, ``(N,)``, and atomic numbers, ``(A,)``.
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    found: list[tuple[int, str]] = []

    def note(name: str, bad: NDArray[np.bool_], text: str) -> None:
        """Keep the first row that is bad; ``text`` may hold the value as ``{}``."""
        kind = STATES[name]
        rows = np.flatnonzero(bad & masks[name][owner] if kind.per == "atom" else bad & masks[name])
        if len(rows):
            frame = int(owner[rows[0]]) if kind.per == "atom" else int(rows[0])
            atom = f" of atom {int(rows[0] - counts[:frame].sum())}" if kind.per == "atom" else ""
            value = _told(np.asarray(values[name][rows[0]]))
            found.append((frame, f"{name}{atom}: {text.format(value)}"))

    for name, array in values.items():
        wild = ~(np.abs(array) < UNBELIEVABLE)
        note(name, wild, f"is {{}}, which is not finite, or beyond {UNBELIEVABLE:g}; mend or remove it")
    if found:
        return min(found)
    zero = np.zeros(len(counts))
    protons = np.bincount(owner, weights=numbers, minlength=len(counts))
    charge = np.where(masks["charge"], values["charge"], 0.0) if "charge" in values else zero
    electrons = protons - charge
    if "charge" in values:
        note("charge", electrons < -STATE_GRID, "is {}, more than the nuclei have; mend or remove it")
    if "spin" in values:
        spin = values["spin"]
        note("spin", spin != np.rint(spin), "is {}, and a multiplicity 2S+1 is a whole number; give 2S+1, or remove it")
        note("spin", spin < 1, "is {}, and a multiplicity 2S+1 is 1 or more; give 1 for a singlet, or remove it")
        note("spin", spin - 1 > electrons + STATE_GRID, "is {}, more than the electrons allow; mend or remove it")
        whole = np.abs(electrons - np.rint(electrons)) < STATE_GRID
        odd = whole & (np.abs(electrons + spin) % 2 < 0.5)
        note("spin", odd, "is {}, which the number of electrons at this charge does not allow; give the multiplicity "
             "2S+1 (odd for an even number), mend the charge, or remove it")  # fmt: skip
    if "tot_magnetization" in values:
        moment = values["tot_magnetization"]
        note("tot_magnetization", np.abs(moment) > electrons + STATE_GRID,
             "is {}, more than the electrons allow; mend or remove it")  # fmt: skip
        if "spin" in values:
            both = masks["spin"] & (np.abs(np.abs(moment) - (values["spin"] - 1)) > STATE_GRID)
            note("tot_magnetization", both, "is {}, and spin, which is 2S+1, says that it is 2S; remove one of them")
    if "electronic_temperature" in values:
        note("electronic_temperature", values["electronic_temperature"] < 0, "is {} K, below zero; mend or remove it")
    if "masses" in values:
        note("masses", values["masses"] <= 0, "is {} u, and masses are above zero; mend it, or leave masses out")
    return min(found) if found else None


def _told(value: NDArray[np.float64]) -> str:
    return f"{float(value):g}" if value.ndim == 0 else f"[{', '.join(f'{each:g}' for each in value[:4])}, ...]"


def is_of_elements(masses: NDArray[np.float64], numbers: NDArray[np.int64]) -> bool:
    """Tell whether masses in u, ``(n,)``, are those of the elements; what is no mass is not."""
    known = atomic_masses[np.clip(numbers, 0, len(atomic_masses) - 1)]
    return bool((np.abs(masses - known) <= SAME_MASS).all())


def identity_parts(name: str, values: NDArray[np.float64]) -> list[bytes]:
    """What one state of one frame, said to be ``values``, adds to its content; nothing where that does not count."""
    kind = STATES[name]
    rounded = np.rint(np.atleast_1d(values) / STATE_GRID).astype("<i8")
    if not kind.counts or not (kind.zero_counts or rounded.any()):
        return []
    return [f"\0{name}\0".encode(), rounded.tobytes()]


def plain(name: str, value: Any) -> int | float:
    """A state of a frame as a plain number, whole if it is: what files, ASE and programs are given."""
    number = float(value)
    return int(number) if STATES[name].whole or number.is_integer() else number


def states_of(atoms: ase.Atoms) -> dict[str, Any]:
    """What a frame of ASE says of its state that counts for labels: numbers, and for ``initial_magmoms`` an array."""
    found = {name: value for name, value in find_states(atoms).items() if identity_parts(name, value)}
    return {name: value if value.ndim else plain(name, value) for name, value in found.items()}


# -- frames that are made of others ------------------------------------------------------------------------------------


def repeated(atoms: ase.Atoms, repeats: Sequence[int]) -> ase.Atoms:
    """Repeat a cell along its vectors: every copy in the state of the cell, see `times`."""
    result: ase.Atoms = atoms.repeat(repeats)
    return times(result, atoms, int(np.prod(repeats)))


def times(result: ase.Atoms, atoms: ase.Atoms, copies: int) -> ase.Atoms:
    """Give ``result``, so many copies of ``atoms``, their state: charges and moments add up, spins are parallel."""
    for name, value in find_states(atoms).items():
        kind = STATES[name]
        if kind.per == "frame":
            many = copies * (float(value) - 1) + 1 if name == "spin" else copies * float(value)
            scaled = plain(name, many if name in EXTENSIVE else float(value))
            for word in [word for word in result.info if isinstance(word, str) and state_name(word) == name]:
                del result.info[word]
            result.info[name] = scaled
    return result


def forget(atoms: ase.Atoms, place: int) -> None:
    """Let an atom that has become one of another element have that element's mass; it keeps its moment."""
    if "masses" in atoms.arrays:
        atoms.arrays["masses"][place] = atomic_masses[atoms.numbers[place]]


def exchange(atoms: ase.Atoms, first: int, second: int) -> None:
    """Let two atoms change places, with all that is theirs, in place."""
    for name, array in atoms.arrays.items():
        if name != "positions":
            array[[first, second]] = array[[second, first]]


def without_heir(atoms: ase.Atoms, inherited: Collection[str]) -> str:
    """Say which state of a frame one that is made of other atoms does not inherit; empty if there is none.

    The text is the end of a sentence. ``inherited`` are the states that such a frame does keep, as a cell that lacks an
    atom keeps its charge.
    """
    for name, value in find_states(atoms).items():
        if name in (*EXTENSIVE, "initial_magmoms") and name not in inherited and identity_parts(name, value):
            return (
                f"says {name} {_told(value)}, which frames made of other atoms cannot inherit; leave it out of the "
                "structure."
            )
    return ""
