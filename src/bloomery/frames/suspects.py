"""Labels that parse but cannot be right: which frames of a batch have one, and why.

A label is held against those of frames like it: of the same elements, the same periodicity, the same charge and spin,
and about as many atoms. It must be far out among the frames of its own batch and among all that are known, by medians
and median absolute deviations, which a few mistakes do not move (Rousseeuw & Croux, J. Am. Stat. Assoc. 88, 1273
(1993)); and nothing in the geometry may explain it: atoms that are closer, another density. What is right but rare is
to pass; a mistake as small as what is right cannot be found like this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from ase.data import covalent_radii
from ase.geometry import complete_cell
from ase.units import GPa
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import composition
from bloomery.frames.states import STATES
from bloomery.plugins import Settings
from bloomery.quantities import Share, Unit

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NORMAL = 1.4826
"""Standard deviation of normal values in median absolute deviations."""
REACH = 1.5
"""Atoms farther apart than this many sums of covalent radii are not in contact."""
PRESSED = 0.1
"""Atoms that are closer than usual by this share of the sum of their radii explain forces and stresses that are e times
the usual: repulsion grows faster than that."""
HOT = 4.0
"""Up to so many times the usual, energies and mean squares of forces are in proportion, as in a harmonic solid; beyond
that, nothing is known of the energy."""
SQUEEZED = 2.0
"""Atoms as close as for forces ``exp`` of this times the usual explain an energy that is too high."""
DENSER = 0.12
"""Volumes an atom that are this far from the usual, in logarithms, explain energies and stresses."""
SIZES = 0.4
"""Of the robust standard deviations that are allowed those of the logarithm of a size: a factor says as much."""
NOISE = 10.0
"""Net forces up to so many medians are the method's own."""
NET_SHARE = 0.01
"""Net forces up to this share of the lengths of all forces are rounded away by nobody, and harm nobody."""
MOMENT = 0.5
"""Moments that differ by less, in μB, are in the same state; so small a moment of an atom has no direction to keep."""
MOMENT_SHARE = 0.15
"""Moments within this share of the usual one are in the same state."""
FEWEST = 3
"""Of fewer frames there is no median that one mistake does not move."""
ROUNDS = 20


class SuspectSettings(Settings):
    """When a label that was computed is kept out of training until somebody has looked at it."""

    check: bool = True
    """Whether labels are looked at."""
    min_frames: int = Field(default=8, ge=4)
    """Frames like it, in the batch and before, that a label is held against; with fewer only net forces are judged."""
    spreads: float = Field(default=8.0, ge=3)
    """Robust standard deviations that a label may be off the median; for the logarithm of a size 0.4 times as many."""
    forces: float = Field(default=5.0, gt=1)
    """The largest force may be at least so many times the median of the frames like it."""
    energy: Annotated[float, Unit("eV/atom")] = Field(default=0.3, gt=0)
    """The energy may be at least so far off what the composition lets expect, in eV/atom."""
    net_force: Annotated[float, Unit("eV/Å")] = Field(default=0.05, gt=0)
    """Forces may add up to this, in eV/Å, times the square root of the number of atoms."""
    stress: Annotated[float, Unit("GPa")] = Field(default=100.0, gt=0)
    """A stress of this size, in GPa, is never suspect."""
    most: Share = Field(default=0.1, gt=0, le=1)
    """If more than this share of a batch is far out in the same way, these are frames of another kind, and right."""


@dataclass(frozen=True)
class Compared:
    """Frames of a batch, ``batch`` of them, followed by all that are known, and what the rules look at."""

    frames: Configurations
    batch: int
    settings: SuspectSettings
    alone: bool = False
    """Whether the frames of the batch were picked one by one, so that they are no measure of each other."""

    @cached_property
    def groups(self) -> list[Indices]:
        """Frames that are like each other, as far as there are enough of them."""
        found: dict[tuple[object, ...], list[int]] = defaultdict(list)
        states = [self.frames.state(name)[0] for name, kind in STATES.items() if kind.per == "frame"]
        for index, (start, end) in enumerate(zip(self.frames.offsets, self.frames.offsets[1:], strict=False)):
            kinds = tuple(np.unique(self.frames.numbers[start:end]).tolist())
            size = round(float(np.log2(max(end - start, 1))))
            state = tuple(float(values[index]) for values in states)
            found[kinds, tuple(self.frames.pbc[index].tolist()), size, state].append(index)
        groups = [np.array(indices, dtype=np.int64) for indices in found.values()]
        return [group for group in groups if len(group) >= self.settings.min_frames]

    @cached_property
    def largest_force(self) -> Floats:
        """See `largest_forces`; NaN where all are zero as well."""
        largest = largest_forces(self.frames)
        return np.where(largest > 0, largest, np.nan)

    @cached_property
    def mean_square(self) -> Floats:
        """Mean square of the forces of each frame in eV^2/Å^2, ``(N,)``; NaN without forces."""
        forces, mask = self.frames.label("forces")
        sums = np.zeros(len(self.frames))
        np.add.at(sums, self.frames.frame_of_atom, (forces**2).sum(axis=1))
        return np.where(mask, sums / np.maximum(self.frames.counts, 1), np.nan)

    def heat(self, group: Indices) -> Floats:
        """Mean square of the forces of each frame in those usual in a group, up to `HOT`, ``(N,)``; zero if unknown."""
        usual = self.mean_square[group]
        if not np.isfinite(usual).any() or not np.nanmedian(usual) > 0:
            return np.zeros(len(self.frames))
        return np.nan_to_num(np.minimum(self.mean_square / np.nanmedian(usual), HOT))

    @cached_property
    def pressure(self) -> Floats:
        """Largest component of the stress in GPa, ``(N,)``; NaN without one, or where a direction is not periodic."""
        stress, mask = self.frames.label("stress")
        largest = np.abs(stress).max(axis=1, initial=0.0) / GPa
        return np.where(mask & self.frames.pbc.all(axis=1) & (largest > 0), largest, np.nan)

    @cached_property
    def density(self) -> Floats:
        """Logarithm of the volume an atom, ``(N,)``; zero where a frame is not periodic."""
        whole = self.frames.pbc.all(axis=1) & (self.frames.volumes > 0)
        volumes = np.where(whole, self.frames.volumes, 1.0)
        return np.where(whole, np.log(volumes / np.maximum(self.frames.counts, 1)), 0.0)

    def contact(self, frame: int) -> float:
        """Shortest distance in a frame in sums of covalent radii; `REACH` if nothing is nearer."""
        found = self._contacts.get(frame)
        if found is None:
            found = self._contacts[frame] = _contact(self.frames[frame])
        return found

    @cached_property
    def _contacts(self) -> dict[int, float]:
        return {}

    def is_pressed(self, frame: int, group: Indices, excess: float) -> bool:
        """Whether atoms are closer than usual by so much that a force or stress ``exp(excess)`` times the usual is."""
        usual = float(np.median([self.contact(other) for other in group.tolist()]))
        return usual - self.contact(frame) >= PRESSED * excess

    def far_sizes(self, sizes: Floats, group: Indices) -> Iterator[tuple[int, float]]:
        """Yield frames of the batch whose ``sizes``, ``(N,)``, are far above the usual: index, how often the usual."""
        for frame, distance, _ in self.far_out(np.log(sizes), group, float(np.log(self.settings.forces)), SIZES):
            if distance > 0 and not self.is_pressed(frame, group, distance):
                yield frame, float(np.exp(distance))

    def is_otherwise_dense(self, frame: int, group: Indices) -> bool:
        """Whether the density is not the usual."""
        return bool(abs(self.density[frame] - np.median(self.density[group])) > DENSER)

    def far_out(
        self, values: Floats, group: Indices, least: float, share: float = 1.0
    ) -> Iterator[tuple[int, float, float]]:
        """Yield frames of the batch far from the medians of both batch and group: index, distance, and in spreads.

        ``values`` are of all frames, ``(N,)``, NaN where there is none; nothing nearer than ``least``, or than this
        ``share`` of the spreads that the settings allow, is far.
        """
        known = group[np.isfinite(values[group])]
        own = known[known < self.batch]
        if len(known) < self.settings.min_frames or (len(own) < FEWEST and not self.alone):
            return
        measures = (known, known) if self.alone else (own, known)
        centres, spreads = zip(*(_robust(values[part]) for part in measures), strict=True)
        distances = np.array([values[own] - centre for centre in centres])
        limits = np.maximum(least, share * self.settings.spreads * np.array(spreads))[:, None]
        far = (np.abs(distances) > limits).all(axis=0) & (np.sign(distances[0]) == np.sign(distances[1]))
        for place in np.flatnonzero(far):
            distance = float(distances[1, place])
            yield int(own[place]), distance, abs(distance) / spreads[1] if spreads[1] > 0 else np.inf


Rule = Callable[[Compared], dict[int, str]]
"""Which frames of a batch are suspect in one respect: index to one sentence."""


def suspects(
    batch: Configurations,
    known: Configurations | None = None,
    settings: SuspectSettings | None = None,
    *,
    alone: bool = False,
) -> dict[int, str]:
    """Return which labelled frames of a batch are suspect, in order: index to why, in one sentence or several.

    Parameters
    ----------
    batch
        Frames that have just been labelled.
    known
        Those that were labelled before and are not suspect.
    alone
        The frames were picked one by one, as those that are labelled again are: each is held against what is known, and
        all of them may be suspect.
    """
    settings = settings or SuspectSettings()
    if not settings.check or not len(batch):
        return {}
    parts = [batch] if known is None or not len(known) else [batch, known]
    bare = [part.without_info(*part.info) for part in parts]
    compared = Compared(Configurations.concatenate(bare), len(batch), settings, alone)
    reasons: dict[int, list[str]] = defaultdict(list)
    for rule, most in RULES:
        found = rule(compared)
        if not alone and len(found) > max(1, int((settings.most if most is None else most) * len(batch))):
            continue  # so many are no mistakes of single frames
        for frame, reason in found.items():
            reasons[frame].append(reason)
    return {frame: " ".join(reasons[frame]) for frame in sorted(reasons)}


def far_forces(compared: Compared) -> dict[int, str]:
    """Forces far beyond those of the frames like it, which no atoms too close explain."""
    return {
        frame: f"Its largest force, {compared.largest_force[frame]:.4g} eV/Å, is {times:.3g} times that of frames "
        "like it, and its atoms are no closer."
        for group in compared.groups
        for frame, times in compared.far_sizes(compared.largest_force, group)
    }


def far_energies(compared: Compared) -> dict[int, str]:
    """Energies far off what the composition and the forces let expect, which no other density explains."""
    found = {}
    for group in compared.groups:
        heat = compared.heat(group)
        values = _off_composition(compared.frames, group, heat)
        for frame, distance, spreads in compared.far_out(values, group, compared.settings.energy):
            is_hot = heat[frame] >= HOT
            pressed = distance > 0 and compared.is_pressed(frame, group, SQUEEZED)
            if is_hot or pressed or compared.is_otherwise_dense(frame, group):
                continue
            side = "above" if distance > 0 else "below"
            told = f", {spreads:.3g} times their spread" if np.isfinite(spreads) else ""
            found[frame] = (
                f"Its energy is {abs(distance):.3g} eV/atom {side} what its composition lets expect from frames like "
                f"it{told}."
            )
    return found


def net_forces(compared: Compared) -> dict[int, str]:
    """Forces that do not add up to zero, beyond what the method leaves in other frames.

    Neither a periodic nor an isolated system pulls itself along. Frames in which some forces are exactly zero are
    passed over, since these atoms were held; so are campaigns in which net forces are usual: something pulls.
    """
    frames, settings = compared.frames, compared.settings
    forces, mask = frames.label("forces")
    lengths = np.linalg.norm(forces, axis=1)
    sums, size, still = np.zeros((len(frames), 3)), np.zeros(len(frames)), np.zeros(len(frames))
    for array, values in ((sums, forces), (size, lengths), (still, lengths == 0)):
        np.add.at(array, frames.frame_of_atom, values)
    net = np.linalg.norm(sums, axis=1)
    roots = np.sqrt(np.maximum(frames.counts, 1))
    free = mask & (still == 0) & (frames.counts > 1)
    usual = float(np.median((net / roots)[free])) if free.sum() >= FEWEST else np.inf
    limits = np.maximum(np.maximum(settings.net_force, NOISE * usual) * roots, NET_SHARE * size)
    return {
        frame: f"Its forces add up to {net[frame]:.3g} eV/Å, where those of other frames leave "
        f"{usual * roots[frame]:.2g} eV/Å."
        for frame in np.flatnonzero((free & (net > limits))[: compared.batch]).tolist()
    }


def far_stresses(compared: Compared) -> dict[int, str]:
    """Stresses of absurd size, which neither atoms too close nor another density explain."""
    return {
        frame: f"Its stress reaches {compared.pressure[frame]:.4g} GPa, {times:.3g} times that of frames like it."
        for group in compared.groups
        for frame, times in compared.far_sizes(compared.pressure, group)
        if compared.pressure[frame] > compared.settings.stress and not compared.is_otherwise_dense(frame, group)
    }


def far_moments(compared: Compared) -> dict[int, str]:
    """Moments in another state than those of the frames like it: collapsed, grown, or turned against each other.

    An iron of which some frames have lost half of their moments is no single potential energy surface. Moments that
    are held, or that differ from frame to frame as in a liquid, are no mistakes.
    """
    found: dict[int, str] = {}
    for name, what in (("magmom", "total moment"), ("absolute_magmom", "absolute magnetization")):
        values, mask = compared.frames.label(name)
        held = compared.frames.state("tot_magnetization")[1] | compared.frames.state("spin")[1]
        each = np.where(
            mask & ~(held & (name == "magmom")), np.abs(values) / np.maximum(compared.frames.counts, 1), np.nan
        )
        for group in compared.groups:
            if not np.isfinite(each[group]).any():
                continue
            usual = float(np.nanmedian(each[group]))
            least = max(MOMENT / float(np.median(compared.frames.counts[group])), MOMENT_SHARE * usual)
            for frame, _, _ in compared.far_out(each, group, least):
                if compared.is_otherwise_dense(frame, group):
                    continue
                found[frame] = (
                    f"Its {what} is {abs(values[frame]):.3g} μB, where frames like it let expect "
                    f"{usual * compared.frames.counts[frame]:.3g} μB: it is in another magnetic state."
                )
    return found


def turned_moments(compared: Compared) -> dict[int, str]:
    """Moments of atoms that have turned against the others since they started (``initial_magmoms``)."""
    frames = compared.frames
    (start, said), (end, known) = frames.state("initial_magmoms"), frames.label("magmoms")
    found: dict[int, str] = {}
    for frame in np.flatnonzero((said & known)[: compared.batch]).tolist():
        rows = slice(frames.offsets[frame], frames.offsets[frame + 1])
        large = (np.abs(start[rows]) > MOMENT) & (np.abs(end[rows]) > MOMENT)
        with_it = int((large & (start[rows] * end[rows] > 0)).sum())
        against = int(large.sum()) - with_it
        if min(with_it, against):  # all of them turned round are the same state
            found[frame] = (
                f"{min(with_it, against)} of its {with_it + against} moments have turned against the others since they "
                "started."
            )
    return found


RULES: tuple[tuple[Rule, float | None], ...] = (
    (far_forces, None),
    (far_energies, None),
    (net_forces, 0.5),
    (far_stresses, None),
    (far_moments, 0.5),
    (turned_moments, 0.5),
)
"""The rules in turn, each with the share of a batch that it may find, where that is not the settings'. What else a
label holds gets a rule of its own here."""


def largest_forces(frames: Configurations) -> Floats:
    """Length of the largest force of each frame in eV/Å, ``(N,)``; NaN without forces."""
    forces, mask = frames.label("forces")
    largest = np.zeros(len(frames))
    np.maximum.at(largest, frames.frame_of_atom, np.linalg.norm(forces, axis=1))
    return np.where(mask, largest, np.nan)


def _robust(values: Floats) -> tuple[float, float]:
    """Median, and standard deviation from the median absolute deviation."""
    centre = float(np.median(values))
    return centre, NORMAL * float(np.median(np.abs(values - centre)))


def _off_composition(frames: Configurations, group: Indices, heat: Floats) -> Floats:
    """How far the energies of a group's frames are off what their composition lets expect, eV/atom, ``(N,)``.

    Energies an atom by element, and what they gain with the ``heat``, ``(N,)``, are fitted by least absolute
    deviations, which mistakes of a few frames do not move. NaN elsewhere, and where there are too few frames to tell.
    """
    energies, mask = frames.label("energy")
    result = np.full(len(frames), np.nan)
    chosen = group[mask[group]]
    if not len(chosen):
        return result
    part = frames[chosen]
    table = np.column_stack([composition(part, part.elements) / part.counts[:, None], heat[chosen]])
    if len(chosen) < 4 * len(part.elements):
        return result
    values = energies[chosen] / part.counts
    residuals = values - np.median(values)
    usual = heat[chosen] < HOT  # a single frame far outside would bend the line
    for _ in range(ROUNDS):
        weights = usual / np.sqrt(np.maximum(np.abs(residuals), 1e-6))
        solution = np.linalg.lstsq(table * weights[:, None], values * weights, rcond=1e-10)[0]
        residuals = values - table @ solution
    result[chosen] = residuals
    return result


def _contact(frame: Configurations) -> float:
    radii = covalent_radii[frame.numbers]
    if not len(radii):
        return REACH
    first, second, distances = neighbour_list(
        "ijd",
        positions=frame.positions,
        cell=complete_cell(frame.cells[0]),
        pbc=frame.pbc[0],
        cutoff=2 * REACH * float(radii.max()),
    )
    return float(min((distances / (radii[first] + radii[second])).min(initial=REACH), REACH))
