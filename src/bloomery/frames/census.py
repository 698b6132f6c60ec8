"""What there is in frames that somebody brings: labels, groups, what contradicts itself and what is far out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from ase.units import GPa
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import composition
from bloomery.frames.geometry import DistanceLimits
from bloomery.frames.labels import LABELS, LEARNT, PROPERTIES, TOLERANCES, told_difference
from bloomery.frames.states import STATES

GROUP_KEYS = ("config_type", "group")
"""Keys of ``info`` that name the group of a frame."""
ISOLATED = {"isolatedatom", "isolated_atom", "isolatedatoms", "isolated_atoms", "isolated"}
"""Groups, in lower case, whose frames of a single atom are the reference of its energy."""
FAR_SPREADS, FAR_ENERGY = 30.0, 2.0
"""An energy is far out if it is beyond so many robust standard deviations, and so many eV/atom, from the others."""
COINCIDE = 0.1
"""Atoms closer than this, in Å, are one and the same."""
ROUNDS = 5
REACH, SYMMETRIC = 6.0, 1e-3
"""Atoms lie symmetrically if pulls from those within so many Å, falling off by e in 1 Å, cancel to this share."""


def groups_of(frames: Configurations) -> dict[str, int]:
    """Number of frames of each named group."""
    for key in GROUP_KEYS:
        if key in frames.info and frames.info[key].ndim == 1 and frames.info[key].dtype.kind == "U":
            counts = Counter(str(group) for group in frames.info[key] if group)
            if counts:
                return dict(counts)
    return {}


def labelled(frames: Configurations) -> NDArray[np.bool_]:
    """Which frames have a label that potentials are fitted to, ``(N,)``."""
    return np.any([frames.has(name) for name in LEARNT], axis=0)


def told_labels(frames: Configurations) -> str:
    """Say how many frames there are, how many have each label, and of which groups they are."""
    counts = [f"{int(frames.has(name).sum())} with {name}" for name in LABELS if frames.has(name).any()]
    groups = groups_of(frames)
    shown = ", ".join(f"{name} {count}" for name, count in sorted(groups.items(), key=lambda one: -one[1])[:10])
    more = f" and {len(groups) - 10} more groups" if len(groups) > 10 else ""
    return ", ".join(counts or ["without labels"]) + (f"; {shown}{more}" if groups else "")


@dataclass(frozen=True)
class Contradiction:
    """Two frames of one content whose labels differ, by how much, in the unit of the label; energies per atom."""

    first: int
    second: int
    label: str
    difference: float

    @property
    def told(self) -> str:
        """One sentence, without an end."""
        told = told_difference(self.label, self.difference)
        return f"frames {self.first} and {self.second} are the same, and their {self.label} differs by {told}"


def contradictions(frames: Configurations) -> list[Contradiction]:
    """Find frames that are labelled twice with different values, each with the first of its content."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, content in enumerate(frames.hashes()):
        places[content].append(place)
    found = []
    for first, *others in (same for same in places.values() if len(same) > 1):
        for second in others:
            differing = ((label, _difference(frames, label, first, second)) for label in LEARNT)
            for label, difference in differing:
                if difference > TOLERANCES[label]:
                    found.append(Contradiction(first, second, label, difference))
                    break
    return found


def _difference(frames: Configurations, label: str, first: int, second: int) -> float:
    pair = frames[[first, second]]
    values, mask = pair.label(label)
    if not mask.all():
        return 0.0
    if label == "energy":
        return float(abs(values[0] - values[1])) / max(1, int(pair.counts[0]))
    one, other = np.split(values, 2)
    return float(np.abs(one - other).max(initial=0.0))


def isolated_atoms(frames: Configurations) -> dict[str, float]:
    """Energies in eV of frames of a single atom that their group names as isolated, by element."""
    energies, mask = frames.label("energy")
    alone = np.flatnonzero(mask & are_isolated_atoms(frames))
    return {chemical_symbols[frames.numbers[frames.offsets[frame]]]: float(energies[frame]) for frame in alone}


def are_isolated_atoms(frames: Configurations) -> NDArray[np.bool_]:
    """Which frames are a single atom that their group names as isolated, ``(N,)``."""
    found = np.zeros(len(frames), dtype=bool)
    for key in GROUP_KEYS:
        groups = frames.info.get(key)
        if groups is not None and groups.dtype.kind == "U" and groups.ndim == 1:
            found |= (frames.counts == 1) & np.isin(np.char.lower(groups), [*ISOLATED])
    return found


def far_energies(frames: Configurations) -> list[int]:
    """Frames whose energy per atom is far from what their composition lets expect, the farthest first.

    Robust: energies per element are fitted by least squares, and again without what is far out.
    """
    energies, mask = frames.label("energy")
    chosen = np.flatnonzero(mask & (frames.counts > 1))
    if len(chosen) < 4:
        return []
    table = composition(frames[chosen], frames.elements) / frames.counts[chosen, None]
    values = energies[chosen] / frames.counts[chosen]
    kept = np.abs(values - np.median(values)) <= _limit(values)
    residuals = values
    for _ in range(ROUNDS):
        solution = np.linalg.lstsq(table[kept], values[kept], rcond=1e-10)[0]
        residuals = values - table @ solution
        now = np.abs(residuals) <= _limit(residuals)
        if (now == kept).all():
            break
        kept = now
    far = np.flatnonzero(~kept)
    return chosen[far[np.argsort(-np.abs(residuals[far]))]].tolist()


def _limit(residuals: NDArray[np.float64]) -> float:
    return max(FAR_ENERGY, FAR_SPREADS * 1.4826 * float(np.median(np.abs(residuals - np.median(residuals)))))


def coinciding(frames: Configurations) -> tuple[int, str] | None:
    """Return the first frame two atoms of which coincide, images counted, and which they are; ``None`` if none do."""
    limits = DistanceLimits(absolute=COINCIDE)
    for index, frame in enumerate(frames):
        reason = limits.broken_by(frame.numbers, frame.positions, frame.cells[0], frame.pbc[0])
        if reason:
            return index, reason
    return None


def oddities(frames: Configurations) -> Iterator[str]:
    """Say what is odd about labels, one sentence each: contradictions, energies far out, forces that are all zero."""
    found = contradictions(frames)
    if found:
        worst = max(found, key=lambda one: one.difference)
        rest = f" ({len(found)} such pairs)" if len(found) > 1 else ""
        yield f"{worst.told}{rest}; remove the one that is wrong."
    far = far_energies(frames)
    if far:
        energies = frames.label("energy")[0]
        worst_frame = far[0]
        yield (
            f"the energy of frame {worst_frame} is far out ({energies[worst_frame] / frames.counts[worst_frame]:.4g} "
            f"eV/atom)" + (f", and those of {len(far) - 1} more" if len(far) > 1 else "") + "; check or remove it."
        )
    zero, several = _zero_forces(frames)
    if len(zero) > several / 2:
        yield f"the forces of {len(zero)} frames of {several} are zero, and not by symmetry; were they computed?"


def _zero_forces(frames: Configurations) -> tuple[list[int], int]:
    """Frames whose forces are zero although their atoms do not lie symmetrically, and how many frames could be so."""
    forces, mask = frames.label("forces")
    largest = np.zeros(len(frames))
    np.maximum.at(largest, frames.frame_of_atom, np.abs(forces).max(axis=1))
    several = np.flatnonzero(mask & (frames.counts > 1))
    zero = [place for place in several.tolist() if largest[place] == 0 and not _symmetric(frames[place])]
    return zero, len(several)


def _symmetric(frame: Configurations) -> bool:
    """Tell whether forces that fall off with the distance cancel on every atom."""
    first, vectors, distances = neighbour_list(
        "iDd", positions=frame.positions, cell=complete_cell(frame.cells[0]), pbc=frame.pbc[0], cutoff=REACH
    )
    pulls = np.zeros((frame.n_atoms, 3))
    np.add.at(pulls, first, vectors * (np.exp(-distances) / distances)[:, None])
    return bool(np.abs(pulls).max(initial=0.0) < SYMMETRIC * np.exp(-distances).max(initial=0.0))


def facts(frames: Configurations) -> dict[str, str]:
    """What is in frames, for people: a short text for each heading."""
    counts, elements = frames.counts, Counter(frames.numbers.tolist())
    found = {
        "frames": str(len(frames)),
        "atoms a frame": _range(counts, "{:.0f}"),
        "elements": ", ".join(f"{chemical_symbols[number]} {n}" for number, n in sorted(elements.items())),
        "periodic": ", ".join(
            f"{n} along {axes} axes" if axes else f"{n} not at all"
            for axes, n in sorted(Counter(frames.pbc.sum(axis=1).tolist()).items(), reverse=True)
        ),
    }
    whole = frames.pbc.all(axis=1) & (counts > 0)
    if whole.any():
        found["volume an atom"] = _range(frames.volumes[whole] / counts[whole], "{:.2f}") + " Å^3"
    found["labels"] = told_labels(frames).split(";")[0]
    energies, known = frames.label("energy")
    if known.any():
        found["energy an atom"] = _range(energies[known] / np.maximum(counts[known], 1), "{:.4f}") + " eV"
    forces, known = frames.label("forces")
    if known.any():
        lengths = np.linalg.norm(forces[known[frames.frame_of_atom]], axis=1)
        found["forces"] = f"{lengths.max(initial=0):.3g} at most, RMS {np.sqrt((lengths**2).mean() / 3):.3g} eV/Å"
    stresses, known = frames.label("stress")
    if known.any():
        found["pressure"] = _range(-stresses[known, :3].mean(axis=1) / GPa, "{:.3g}") + " GPa"
    found |= {name.replace("_", " "): told for name in PROPERTIES if (told := _property(frames, name))}
    groups = groups_of(frames)
    if groups:
        found["groups"] = ", ".join(f"{name} {n}" for name, n in groups.items())
    if frames.states:
        found["states"] = _states(frames)
    if frames.info:
        found["also said"] = ", ".join(sorted(frames.info))
    n_same = len(frames) - len(set(frames.hashes()))
    found["duplicates"] = f"{n_same} frames are the same as another" if n_same else "none"
    found["closest atoms"] = _closest(frames)
    return found


def _property(frames: Configurations, name: str) -> str:
    """How large a property is, as the length of a vector, the mean of a tensor's diagonal, or a number."""
    values, mask = frames.label(name)
    own = values[mask[frames.frames_of(name)]]
    if not len(own):
        return ""
    rank = own.ndim - 1
    sizes = np.linalg.norm(own, axis=1) if rank == 1 else np.trace(own, axis1=1, axis2=2) / 3 if rank == 2 else own
    told = f"{_range(sizes, '{:.3g}')} {LABELS[name].unit}".removesuffix(" 1")
    periodic = int((mask & frames.pbc.any(axis=1)).sum()) if name == "dipole" else 0
    return told + (f"; of {periodic} periodic frames, where e times a cell vector is nothing" if periodic else "")


def _states(frames: Configurations) -> str:
    """Which states frames say, with the values that occur."""
    told = []
    for name, kind in STATES.items():
        values, mask = frames.state(name)
        if mask.any():
            own = values[mask[frames.frame_of_atom]] if kind.per == "atom" else values[mask]
            unit = f" {kind.unit}" if name != "spin" else ""
            told.append(f"{name} {_range(own, '{:g}')}{unit} in {int(mask.sum())}" if len(own) else name)
    return ", ".join(told)


def _range(values: NDArray[np.float64] | NDArray[np.int64], form: str) -> str:
    low, high = form.format(float(values.min())), form.format(float(values.max()))
    return low if low == high else f"{low} to {high}"


def _closest(frames: Configurations) -> str:
    """The shortest distance as a share of the sum of covalent radii, and where it is."""
    shortest, where = np.inf, ""
    limits = DistanceLimits(relative=1.0)
    for index, frame in enumerate(frames):
        margin, told = limits.margin(frame.numbers, frame.positions, frame.cells[0], frame.pbc[0], skin=0.0)
        if told and margin < shortest:
            shortest, where = margin, f"{told.split(', less')[0]} in frame {index}"
    return where or "none are closer than the sum of their covalent radii"
