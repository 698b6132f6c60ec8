"""What a campaign measures of its potentials besides errors on the probe, and how the record quotes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from pydantic import Field

from bloomery.campaign.agreement import Summary, parts_of
from bloomery.campaign.record import ARMS, Arm, ArmsRow, Beyond, LabelOutcome, Labels, QuotedRow
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import TRAINED_ROLES
from bloomery.observables.averages.experiment import MeasuredCurve
from bloomery.observables.contract import Observable
from bloomery.plugins import PluginSpec, Settings, load_plugin
from bloomery.statistics import Number

FINAL, EACH = "final", "each_iteration"
REFERENCE_TRAJECTORY = "reference_trajectory"
OVERLAP = "mean_overlap"
"""Of curves with those of the reference, in %: the one comparison that is perfect at 100."""
FEW = 4
"""So many numbers of an observable are quoted that does not say which."""


class ValidationSettings(Settings):
    """Which observables are measured, and when."""

    final: list[PluginSpec] = Field(default=[])
    """Of the potential that is delivered; those of each iteration are among them, and need not be repeated."""
    each_iteration: list[PluginSpec] = Field(default=[])
    """Of the potential of each iteration: what stop rules may ask about."""
    reference_trajectory: PluginSpec | None = None
    """The sampler `reference_md`, with its settings: a trajectory of the reference method that is run once, from the
    structures that are measured on, and that observables of trajectories are compared with."""

    def observables(self, when: str) -> dict[str, PluginSpec]:
        """Observables by key, which is the name, with a number where one stands there more than once."""
        found: dict[str, PluginSpec] = {}
        wanted = [*self.each_iteration, *(self.final if when == FINAL else [])]
        for spec in map(with_dynamics, wanted):
            if spec in found.values():
                continue
            count = sum(other.name == spec.name for other in found.values())
            found[f"{spec.name}_{count + 1}" if count else spec.name] = spec
        return found


def with_dynamics(spec: PluginSpec) -> PluginSpec:
    """Let an observable of trajectories make one with the potential, unless its settings say how.

    If there is no such observable, that is an `InputError`.
    """
    plugin = load_plugin("observables", spec.name)
    if "dynamics" not in plugin.Settings.model_fields or "dynamics" in spec.settings:
        return spec
    return PluginSpec(name=spec.name, settings={**spec.settings, "dynamics": {}})


def with_curves_inlined(spec: PluginSpec) -> PluginSpec:
    """Read the files of measured curves, for jobs that run where the files are not; `InputError` if one cannot be."""
    given = spec.settings.get("experiment")
    if not isinstance(given, Mapping) or not any(isinstance(curve, Mapping) for curve in given.values()):
        return spec
    curves = {
        name: MeasuredCurve.model_validate(curve).inlined(f"{spec.name}.experiment.{name}").model_dump()
        for name, curve in given.items()
    }
    return PluginSpec(name=spec.name, settings={**spec.settings, "experiment": curves})


def observable_jobs(settings: ValidationSettings, when: str) -> dict[str, dict[str, object]]:
    """Parameters of the jobs that measure, by key of the observable."""
    return {key: {"observable": spec.model_dump()} for key, spec in settings.observables(when).items()}


def sampler_jobs(settings: ValidationSettings) -> dict[str, dict[str, object]]:
    """Parameters of the job that makes the reference's trajectory, if there is one."""
    spec = settings.reference_trajectory
    return {} if spec is None else {REFERENCE_TRAJECTORY: {"sampler": spec.model_dump()}}


def independent_jobs() -> dict[str, dict[str, object]]:
    """Parameters of the jobs that measure on an independent set, whose reference are the frames of the data set."""
    return {
        "errors": {"observable": {"name": "errors", "settings": {}}},
        "leakage": {"observable": {"name": "leakage", "settings": {}}, "reference_roles": TRAINED_ROLES},
    }


def wanted_by(structures: Configurations, specs: Mapping[str, PluginSpec]) -> dict[str, Configurations]:
    """Frames whose labels by the reference method each of the observables can make use of, each frame once.

    It is an `InputError` if a structure does not serve an observable.
    """
    wanted = {key: spec.load("observables").wanted_frames(structures) for key, spec in sorted(specs.items())}
    return {key: unique([frames]) for key, frames in wanted.items() if frames is not None}


def unique(parts: Sequence[Configurations]) -> Configurations:
    """Frames of all parts, each content once, without what they say besides."""
    joined = Configurations.concatenate([part.without_info(*part.info) for part in parts])
    first = {text: frame for frame, text in reversed(list(enumerate(joined.hashes())))}
    return joined[sorted(first.values())]


# -- what the record says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What was measured of one potential."""

    specs: Mapping[str, PluginSpec] = field(default_factory=dict)
    """What was to be measured, by key."""
    observables: Mapping[str, Summary] = field(default_factory=dict)
    """Summaries, by key; those that failed are not there."""
    entries: Sequence[LabelOutcome] = ()
    """The ledger's entries of frames that the reference was asked about."""
    test_set: Mapping[str, Summary] = field(default_factory=dict)
    """Errors on the independent set, and under ``leakage`` which of its frames have been trained on."""

    @property
    def beyond(self) -> Beyond:
        """The part of a record: nothing where nothing was to be measured."""
        part: dict[str, object] = {}
        if self.specs:
            known = [key for key in self.specs if key in self.observables]
            part["observables"] = dict(self.observables)
            part["observables_missing"] = sorted(set(self.specs) - set(self.observables))
            part["quoted"] = [row for key in known for row in rows(key, self.specs[key], self.observables[key])]
            part["validation_labels"] = Labels.of(self.entries)
        if self.test_set:
            leakage = {"leakage": self.test_set["leakage"]} if "leakage" in self.test_set else {}
            part["test_set"] = {**self.test_set.get("errors", {}), **leakage}
        return Beyond.model_validate(part)


def rows(key: str, spec: PluginSpec, summary: Summary) -> list[QuotedRow]:
    """The numbers that a short table quotes, as far as there are any."""
    observable: type[Observable] = load_plugin("observables", spec.name)
    quoted = []
    for part in parts_of(summary):
        name = next((name for name, other in summary.items() if other is part), "")
        numbers = _numbers(part)
        chosen = [quantity for quantity in observable.headline if quantity in numbers] or list(islice(numbers, FEW))
        quoted += [QuotedRow(observable=key, of=name, quantity=quantity, **numbers[quantity]) for quantity in chosen]
    return quoted


def _numbers(part: Summary) -> dict[str, dict[str, Number]]:
    """Quantity to the numbers of potential, reference, difference and experiment."""
    sides = {
        "potential": Number.read_all(part.get("potential") or part.get("trajectory") or part),
        "reference": Number.read_all(part.get("reference")),
        "difference": Number.read_all(part.get("difference")) | Number.read_all(part.get("comparison")),
        "experiment": Number.read_all(part.get("experiment")),
    }
    overlap = Number.read(part.get(OVERLAP))
    if overlap is not None:
        sides["difference"][OVERLAP] = overlap
    quantities = dict.fromkeys(name for side in ("difference", "potential", "reference") for name in sides[side])
    return {name: {side: numbers[name] for side, numbers in sides.items() if name in numbers} for name in quantities}


def beside(selection: Measured, control: Measured) -> list[ArmsRow]:
    """How far the potentials of two arms are from the reference in the numbers that a short table quotes."""
    theirs = {row.place: row.difference for row in control.beyond.quoted}
    found = []
    for row in selection.beyond.quoted:
        both = {"selection": row.difference, "control": theirs.get(row.place)}
        if None not in both.values():
            of = {"observable": row.observable, "of": row.of, "quantity": row.quantity}
            reference = {} if row.reference is None else {"reference": row.reference}
            found.append(ArmsRow.model_validate({**of, **reference, **both}))
    return found


def closer(row: ArmsRow) -> Arm | Literal[""]:
    """Which arm's potential is closer to the reference.

    Empty where the 95 % intervals of their distances overlap, or both are equal.
    """
    perfect = 100.0 if row.quantity == OVERLAP else 0.0
    near, far = sorted(ARMS, key=lambda arm: abs(row.of_arm(arm).value - perfect))
    return near if _distance(row.of_arm(near), perfect)[1] < _distance(row.of_arm(far), perfect)[0] else ""


def _distance(number: Number, perfect: float) -> tuple[float, float]:
    """Bounds of how far a number is from one that is perfect: of an overlap in %, what is lacking."""
    ends = [end - perfect for end in (number.value, *number.bounds)]
    sizes = [abs(end) for end in ends]
    return 0.0 if min(ends) <= 0 <= max(ends) else min(sizes), max(sizes)


def require_measurable(spec: PluginSpec) -> None:
    """See that an observable is one that can be measured of structures.

    It is an `InputError` if there is no such observable, a setting is wrong, or it measures labelled frames.
    """
    observable: Observable = with_dynamics(spec).load("observables")
    if observable.labelled:
        raise InputError(
            f"{spec.name} measures labelled frames: of the probe a campaign does so by itself, and of frames of yours "
            "if they are given as test_set; remove it."
        )
