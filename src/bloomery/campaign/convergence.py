"""How dense the settings of a reference method have to be: ladders, errors along them, and the cheapest rungs that do.

Each ladder is one setting, from cheap to dense, and its top is what its errors are measured against. While one setting
climbs, the others stand in the middle of their ladders: the error of a cutoff hardly depends on the mesh, and one frame
at the top of all ladders costs as much as all rungs of one of them. Where two settings do depend on each other a ladder
says so: it stands at the top of another (a width of smearing is compared at the densest mesh, since a smaller width
needs a denser one), or waits for what another chooses (the mesh is chosen for the width that will be used).

Errors of several settings may add up, so the choice is labelled once more as a whole and held against the top of all
ladders. If it fails, the setting with the largest error of its own goes one rung up, until the whole is within the
limits. A rung counts only if all denser ones are within the limits as well: errors that cross zero on their way down
are not small there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from ase import units
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.campaign.targets import TARGETS, Quantity
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings

Place = dict[str, int]
"""A rung of every ladder: the settings of one labelling."""


class Rung(Settings):
    """One value of a setting."""

    value: float
    """What the rung is called by, in the unit of its ladder."""
    inputs: dict[str, Any]
    """Inputs of the labelling workchain that differ, nested as it has them; ``None`` takes one away."""
    file: dict[str, Any]
    """What the labeller's section of a campaign file says of it, nested; ``None`` for a key that goes."""
    at_most: dict[str, float] = Field(default={})
    """Largest value on other ladders that it goes together with."""


class Ladder(Settings):
    """Values of one setting, from cheap to dense."""

    name: str
    """How the setting is called."""
    unit: str
    rungs: list[Rung] = Field(min_length=2)
    """From cheap to dense."""
    middle: int = Field(ge=0)
    """The rung on which it stands while others climb."""
    at_top: list[str] = Field(default=[])
    """Ladders that stand at their top while this one climbs."""
    follows: list[str] = Field(default=[])
    """Ladders that have been decided before this one climbs, and stand where they were."""

    @property
    def top(self) -> int:
        """The densest rung."""
        return len(self.rungs) - 1

    @model_validator(mode="after")
    def _middle_is_a_rung(self) -> Self:
        if self.middle > self.top:
            raise ValueError(f"{self.name} has {len(self.rungs)} rungs, and {self.middle} is none of them")
        return self

    def said(self, rung: int) -> str:
        """A value with its unit."""
        return f"{self.rungs[rung].value:g} {self.unit}"


class Plan(Settings):
    """Ladders, and how large errors may be."""

    ladders: list[Ladder] = Field(min_length=1)
    """In the order in which they are shown; each follows others only."""
    limits: dict[str, float] = Field(min_length=1)
    """Largest errors by the names of `bloomery.campaign.targets.TARGETS`, in their units."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [ladder.name for ladder in self.ladders]
        if len(set(names)) < len(names):
            raise ValueError("two ladders have one name")
        for name, limit in self.limits.items():
            if name not in TARGETS:
                raise ValueError(f"there is no error {name!r}; choose one of {', '.join(TARGETS)}")
            if limit <= 0:
                raise ValueError(f"an error of {name} is above zero, and so must its limit be")
        for ladder in self.ladders:
            if unknown := sorted({*ladder.at_top, *ladder.follows} - set(names)):
                raise ValueError(f"{ladder.name} goes by {unknown[0]}, which is no ladder")
        decided: set[str] = set()
        while ready := self.ready(decided):
            decided |= {ladder.name for ladder in ready}
        if len(decided) < len(names):
            raise ValueError("ladders wait for each other")
        return self

    def ladder(self, name: str) -> Ladder:
        """The ladder of this name."""
        return next(ladder for ladder in self.ladders if ladder.name == name)

    @property
    def middle(self) -> Place:
        """The middle of every ladder."""
        return {ladder.name: ladder.middle for ladder in self.ladders}

    @property
    def top(self) -> Place:
        """The top of every ladder: what the whole is measured against."""
        return {ladder.name: ladder.top for ladder in self.ladders}

    def ready(self, decided: Mapping[str, object] | set[str]) -> list[Ladder]:
        """Ladders that are not decided, and follow none that is not."""
        return [one for one in self.ladders if one.name not in decided and set(one.follows) <= set(decided)]

    def rungs(self, ladder: Ladder, chosen: Place) -> list[int]:
        """Rungs of a ladder that go together with what was chosen before."""
        return [index for index in range(len(ladder.rungs)) if self._fits(ladder, index, chosen)]

    def _fits(self, ladder: Ladder, rung: int, chosen: Place) -> bool:
        limits = ladder.rungs[rung].at_most
        return all(
            self.ladder(name).rungs[chosen[name]].value <= most for name, most in limits.items() if name in chosen
        )

    def places(self, ladder: Ladder, chosen: Place) -> list[Place]:
        """Where all ladders stand while this one climbs, from cheap to dense."""
        others = self.middle | {name: self.ladder(name).top for name in ladder.at_top}
        others |= {name: chosen[name] for name in ladder.follows}
        return [others | {ladder.name: rung} for rung in self.rungs(ladder, chosen)]

    def inputs(self, place: Place) -> dict[str, Any]:
        """Inputs of the labelling workchain that differ at a place."""
        return merged([ladder.rungs[place[ladder.name]].inputs for ladder in self.ladders])

    def file(self, place: Place) -> dict[str, Any]:
        """What a campaign file says of a place."""
        return merged([ladder.rungs[place[ladder.name]].file for ladder in self.ladders])

    def key(self, place: Place) -> str:
        """A short name of a place, which two labellings share just when they are the same."""
        return "_".join(str(place[ladder.name]) for ladder in self.ladders)


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested mappings in one; later ones win."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            old = result.get(key)
            both = isinstance(old, dict) and isinstance(value, Mapping)
            result[key] = merged([old, value]) if both else value  # type: ignore[list-item]
    return result


class Deviation(Settings):
    """How far labels are from those of denser settings."""

    forces: float | None = None
    """RMS over the Cartesian components, in meV/Å."""
    forces_max: float | None = None
    """Largest of a component, in meV/Å."""
    energy: float | None = None
    """Largest error of a difference between two frames of one composition, in meV/atom."""
    stress: float | None = None
    """RMS over the components, in GPa."""
    stress_max: float | None = None
    """Largest of a component, in GPa."""

    def of(self, quantity: Quantity) -> float | None:
        """The error that has a limit."""
        return {"forces": self.forces, "energy": self.energy, "stress": self.stress}[quantity]

    def worst(self, limits: Mapping[Quantity, float]) -> tuple[Quantity, float] | None:
        """The quantity that comes nearest to its limit or goes farthest beyond, and its error in units of the limit.

        ``None`` if a quantity that has a limit was not labelled.
        """
        shares = []
        for quantity, limit in limits.items():
            error = self.of(quantity)
            if error is None:
                return None
            shares.append((quantity, error / limit))
        return max(shares, key=lambda share: share[1])

    def within(self, limits: Mapping[Quantity, float]) -> bool:
        """Whether every quantity that has a limit is known, and below it."""
        worst = self.worst(limits)
        return worst is not None and worst[1] <= 1


class Point(Settings):
    """What came of one labelling."""

    key: str
    """Its place, as `Plan.key` names it."""
    value: float | None = None
    """Of its ladder."""
    deviation: Deviation | None = None
    """``None`` if frames have no label."""
    rung: int | None = None
    """Of its ladder."""


class Climb(Settings):
    """What came of a ladder: its points from cheap to dense, of which the last is what the others are held against."""

    points: list[Point] = Field(default=[])
    chosen: int | None = None
    """The rung that is the cheapest within the limits; ``None`` if even the one below the top is not."""
    reason: str = ""
    """Why none was chosen."""


class Trial(Settings):
    """The choice as a whole, held against the top of all ladders."""

    place: Place
    point: Point
    within: bool


class Convergence(Settings):
    """What has come to be known along the ladders."""

    limits: dict[Quantity, float] = Field(default={})
    """Largest errors, in the units of `Deviation`; those relative to the forces are absolute here."""
    climbs: dict[str, Climb] = Field(default={})
    trials: list[Trial] = Field(default=[])
    """The last one is the choice."""
    before: Point | None = None
    """The settings that the campaign has so far, held against the top of all ladders."""

    @property
    def chosen(self) -> Place:
        """Rungs that are chosen so far."""
        if self.trials:
            return self.trials[-1].place
        return {name: climb.chosen for name, climb in self.climbs.items() if climb.chosen is not None}

    @property
    def failure(self) -> str:
        """Why ladders have no rung that does; empty if all have one."""
        return " ".join(climb.reason for climb in self.climbs.values() if climb.chosen is None)

    @property
    def verified(self) -> bool:
        """Whether the choice holds as a whole."""
        return bool(self.trials) and self.trials[-1].within

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a node."""
        return self.model_dump(mode="json")


# -- errors -----------------------------------------------------------------------------------------------------------


def absolute_limits(limits: Mapping[str, float], reference: Configurations) -> dict[Quantity, float]:
    """Limits by quantity; those relative to the forces are of the RMS force of the reference. The smaller one counts.

    A quantity that is not labelled has no limit, and neither have forces that all vanish a relative one.
    """
    forces = _values(reference, "forces", reference.has("forces"))
    rms = 1000 * float(np.sqrt(np.mean(forces**2))) if len(forces) else 0.0
    found: dict[Quantity, float] = {}
    for name, limit in limits.items():
        target = TARGETS[name]
        value = limit * rms if target.is_share else limit
        if value > 0 and reference.has(target.quantity).any():
            found[target.quantity] = min(value, found.get(target.quantity, value))
    return found


def deviation(labelled: Configurations | None, reference: Configurations, hashes: Sequence[str]) -> Deviation | None:
    """Errors of labels against those of denser settings; ``None`` unless all frames have both.

    Parameters
    ----------
    hashes
        Content hashes of the frames.
    """
    if labelled is None:
        return None
    ours, theirs = _ordered(labelled, hashes), _ordered(reference, hashes)
    if ours is None or theirs is None:
        return None
    forces = _difference(ours, theirs, "forces", 1000.0)
    stress = _difference(ours, theirs, "stress", 1 / units.GPa)
    return Deviation(
        forces=_rms(forces), forces_max=_largest(forces), energy=_energy(ours, theirs),
        stress=_rms(stress), stress_max=_largest(stress),
    )  # fmt: skip


def _ordered(labelled: Configurations, hashes: Sequence[str]) -> Configurations | None:
    place = {content: index for index, content in enumerate(labelled.hashes())}
    return labelled[[place[content] for content in hashes]] if set(hashes) <= set(place) else None


def _difference(ours: Configurations, theirs: Configurations, name: str, factor: float) -> NDArray[np.float64] | None:
    """Differences of a label where both have it, ``(n,)``; ``None`` if that is nowhere."""
    both = ours.has(name) & theirs.has(name)
    return factor * (_values(ours, name, both) - _values(theirs, name, both)) if both.any() else None


def _values(frames: Configurations, name: str, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """All numbers of a label in some of the frames, ``(n,)``."""
    values, _ = frames.label(name)
    return values[which[frames.frames_of(name)]].ravel()


def _rms(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None else float(np.sqrt(np.mean(values**2)))


def _largest(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None else float(np.abs(values).max())


def _energy(ours: Configurations, theirs: Configurations) -> float | None:
    """Largest error of an energy difference between frames of one composition, in meV/atom.

    What all frames of a composition are shifted by is no error: only differences mean something.
    """
    (mine, here), (other, there) = ours.label("energy"), theirs.label("energy")
    spreads = []
    for frames in _compositions(ours):
        known = [frame for frame in frames if here[frame] and there[frame]]
        if len(known) > 1:
            errors = 1000 * (mine[known] - other[known]) / ours.counts[known]
            spreads.append(float(errors.max() - errors.min()))
    return max(spreads, default=None)


def _compositions(frames: Configurations) -> Iterator[list[int]]:
    """Indices of frames that have the same shares of elements."""
    groups: dict[tuple[tuple[int, float], ...], list[int]] = {}
    for index, atoms in enumerate(frames.to_atoms()):
        numbers, counts = np.unique(atoms.numbers, return_counts=True)
        shares = np.round(counts / len(atoms), 9)
        groups.setdefault(tuple(zip(numbers.tolist(), shares.tolist(), strict=True)), []).append(index)
    yield from groups.values()


# -- choices ----------------------------------------------------------------------------------------------------------


def cheapest(deviations: Sequence[Deviation | None], limits: Mapping[Quantity, float]) -> int | None:
    """Index of the cheapest rung that is within the limits together with all denser ones.

    Parameters
    ----------
    deviations
        From cheap to dense. The last is what the others are held against, and no choice.

    Returns
    -------
    index
        ``None`` if the rung below the top is beyond the limits: then the top itself is not known to be dense enough.
    """
    chosen = None
    for index in range(len(deviations) - 2, -1, -1):
        found = deviations[index]
        if found is None or not found.within(limits):
            break
        chosen = index
    return chosen


def climb(
    plan: Plan,
    ladder: Ladder,
    chosen: Place,
    labelled: Mapping[str, Configurations],
    hashes: Sequence[str],
    limits: Mapping[Quantity, float],
) -> Climb:
    """Hold the rungs of a ladder against its top, and choose.

    Parameters
    ----------
    chosen
        What ladders before this one have chosen.
    labelled
        Labels by the key of their place.
    hashes
        Content hashes of the frames.
    """
    places = plan.places(ladder, chosen)
    keys = [plan.key(place) for place in places]
    reference = labelled[keys[-1]]
    points = [
        Point(
            key=key,
            rung=place[ladder.name],
            value=ladder.rungs[place[ladder.name]].value,
            deviation=deviation(labelled.get(key), reference, hashes),
        )
        for key, place in zip(keys, places, strict=True)
    ]
    if not limits:
        return Climb(points=points, reason="the frames have no label that a limit is for; give other limits.")
    index = cheapest([point.deviation for point in points], limits)
    if index is None:
        return Climb(points=points, reason=_not_converged(plan, ladder, points, limits))
    return Climb(points=points, chosen=points[index].rung)


def _not_converged(plan: Plan, ladder: Ladder, points: Sequence[Point], limits: Mapping[Quantity, float]) -> str:
    remedy = f"give more values, {' '.join(_longer(one) for one in _together(plan, ladder))}, or allow larger errors"
    if len(points) < 2:
        return f"{ladder.name}: only {ladder.said(ladder.top)} goes together with the other settings; {remedy}."
    below, top = points[-2], points[-1]
    assert below.rung is not None and top.rung is not None  # noqa: PT018, S101  points of a ladder have one
    first, last = ladder.said(below.rung), ladder.said(top.rung)
    worst = below.deviation.worst(limits) if below.deviation is not None else None
    if worst is None:
        return f"{ladder.name}: at {first} not all labels are there that have a limit; look at the ledger."
    quantity, share = worst
    target = TARGETS[quantity]
    error, limit = f"{share * limits[quantity]:.3g}", f"{limits[quantity]:.3g} {target.unit}"
    what = {"energy": "energy differences", "forces": "forces", "stress": "the stress"}[quantity]
    return (
        f"{ladder.name}: from {first} to {last}, the densest, {what} still change by {error}, more than {limit}; "
        f"{remedy}."
    )


def _together(plan: Plan, ladder: Ladder) -> list[Ladder]:
    """A ladder, and those at whose top it stands."""
    return [ladder, *(plan.ladder(name) for name in ladder.at_top)]


def _longer(ladder: Ladder) -> str:
    """The option that gives a ladder one rung more."""
    values = [rung.value for rung in ladder.rungs]
    further = float(f"{values[-1] ** 2 / values[-2]:.3g}")
    return f"--ladder {ladder.name}={','.join(f'{value:g}' for value in (*values, further))}"


def tried(
    plan: Plan, known: Convergence, place: Place, labelled: Configurations | None, reference: Configurations,
    hashes: Sequence[str],
) -> Convergence:  # fmt: skip
    """Hold a choice against the top of all ladders, and take that down."""
    key = plan.key(place)
    found = deviation(labelled, reference, hashes)
    within = found is not None and found.within(known.limits)
    one = Trial(place=place, point=Point(key=key, deviation=found), within=within)
    return known.model_copy(update={"trials": [*known.trials, one]})


def next_place(plan: Plan, known: Convergence) -> Place:
    """What is to be tried next: the rungs chosen one by one, and after a failure one rung more of what errs most."""
    if not known.trials:
        return _fitting(plan, known.chosen)
    place = known.trials[-1].place
    free = [ladder for ladder in plan.ladders if place[ladder.name] < ladder.top]

    def share(ladder: Ladder) -> float:
        points = known.climbs[ladder.name].points
        found = next((point.deviation for point in points if point.rung == place[ladder.name]), None)
        worst = found.worst(known.limits) if found is not None else None
        return worst[1] if worst is not None else np.inf

    if not free:
        return place
    raised = max(free, key=share).name
    return _fitting(plan, place | {raised: place[raised] + 1})


def _fitting(plan: Plan, place: Place) -> Place:
    """The same place, with ladders that must not be below others raised as far as these want it."""
    result = dict(place)
    for ladder in plan.ladders:
        fitting = [rung for rung in plan.rungs(ladder, result) if rung >= result[ladder.name]]
        result[ladder.name] = fitting[0] if fitting else ladder.top
    return result
