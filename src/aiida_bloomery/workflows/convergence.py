"""Find the cheapest settings of a labeller that are dense enough: a few hot frames, labelled along ladders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions import convergence as functions
from aiida_bloomery.calculations.functions.convergence import BEFORE, CHOICE, REFERENCE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional_output, put_under
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce
from bloomery.campaign.convergence import Convergence, Place, Plan, next_place

SEPARATOR = "__"
"""Between the names of a namespace and of an input in it, where both are one name."""
POINT = "point_"
"""Before the key of a place: the label of its labelling."""


class ConvergenceWorkChain(SubmitsOnce):
    """Label frames along every ladder, choose, and label the choice as a whole until it holds."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.input("structures", valid_type=ConfigurationsData, help="What frames are made of.")
        text = "`{frames, rattle_strain}`: how many frames of each structure, and how hot."
        spec.input("hot_frames", valid_type=orm.Dict, validator=validators.hot_frames, help=text)
        spec.input("seed", valid_type=orm.Int, help="Of the frames.")
        spec.input("labeller", valid_type=orm.Str, validator=validators.labeller, help="`bloomery.labelling.*`.")
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain, as they are so far.")
        text = "`{ladders, limits}`: what is varied, and how large errors may be."
        spec.input("plan", valid_type=orm.Dict, validator=validators.convergence, help=text)
        spec.outline(
            cls.make_frames,
            while_(cls.has_ladders)(cls.label_ladders, cls.judge_ladders),
            if_(cls.is_chosen)(
                cls.label_ends, cls.look_at_ends, while_(cls.is_open)(cls.label_choice, cls.judge_choice)
            ),
            cls.conclude,
        )
        optional_output(spec, "frames", ConfigurationsData, "The frames that were labelled.")
        optional_output(spec, "result", orm.Dict, "Errors along the ladders, and what was chosen.")
        message = "Labelling failed at the dense end, which all else is held against: {message}"
        spec.exit_code(403, "ERROR_LABELLING_FAILED", message=message)
        spec.exit_code(410, "ERROR_NOT_CONVERGED", message="{message}")

    # -- ladders ------------------------------------------------------------------------------------------------------

    def make_frames(self) -> None:
        """Make the frames."""
        given = (self.inputs.structures, self.inputs.hot_frames, self.inputs.seed)
        self.ctx.frames = self.call_as("hot_frames", functions.make_hot_frames, *given)
        self.out("frames", self.ctx.frames)
        self.ctx.told, self.ctx.stage, self.ctx.failure = None, 0, ""

    def has_ladders(self) -> bool:
        """Whether ladders are left, and those before gave a choice."""
        return not self.ctx.failure and not self._known.failure and bool(self._ready)

    def label_ladders(self) -> ToContext:
        """Label the frames at all rungs that are not labelled yet."""
        places = self._places()
        self.ctx.stage += 1
        processes = {}
        for key, place in places.items():
            if POINT + key not in self.ctx:
                processes[POINT + key] = self._label(POINT + key, place)
        self.report(f"labels {self.ctx.frames.n_frames} frames at {len(processes)} places on {', '.join(self._ready)}")
        return ToContext(**processes)

    def judge_ladders(self) -> None:
        """Choose a rung of each ladder."""
        names, keys = self._ready, list(self._places())
        tops = {self._plan.key(self._plan.places(self._plan.ladder(name), self._known.chosen)[-1]) for name in names}
        if failed := next((key for key in sorted(tops) if not self._is_complete(POINT + key)), None):
            self.ctx.failure = self._why(POINT + failed)
            return
        labelled = self._labelled({key: POINT + key for key in keys})
        told = {} if self.ctx.told is None else {"told": self.ctx.told}
        given = (self.inputs.plan, orm.List(names), self.ctx.frames)
        label = f"ladders_{self.ctx.stage:02d}"
        self.ctx.told = self.call_as(label, functions.judge_ladders, *given, **told, **labelled)

    # -- the choice as a whole ----------------------------------------------------------------------------------------

    def is_chosen(self) -> bool:
        """Whether there is a choice to be tried."""
        return not self.ctx.failure and not self._known.failure

    def label_ends(self) -> ToContext:
        """Label the frames at the top of all ladders, and with the first choice."""
        plan = self._plan
        places = {POINT + plan.key(place): place for place in (plan.top, next_place(plan, self._known))}
        return ToContext(**{key: self._label(key, place) for key, place in places.items() if key not in self.ctx})

    def look_at_ends(self) -> None:
        """See whether there is anything to hold a choice against."""
        top = POINT + self._plan.key(self._plan.top)
        if not self._is_complete(top):
            self.ctx.failure = self._why(top)

    def is_open(self) -> bool:
        """Whether no choice has held so far."""
        return not self.ctx.failure and not self._known.verified

    def label_choice(self) -> ToContext:
        """Label the frames with what is to be tried next, and once with the settings that there are so far.

        These may be those of the first choice, whose labels are there by now.
        """
        place = next_place(self._plan, self._known)
        wanted: dict[str, Place | None] = {POINT + self._plan.key(place): place, BEFORE: None}
        return ToContext(**{key: self._label(key, place) for key, place in wanted.items() if key not in self.ctx})

    def judge_choice(self) -> None:
        """See whether the choice holds."""
        plan, known = self._plan, self._known
        place = next_place(plan, known)
        keys = {REFERENCE: POINT + plan.key(plan.top), CHOICE: POINT + plan.key(place), BEFORE: BEFORE}
        given = (self.inputs.plan, orm.Dict(place), self.ctx.frames, self.ctx.told)
        label = f"choice_{len(known.trials):02d}"
        self.ctx.told = self.call_as(label, functions.judge_choice, *given, **self._labelled(keys))

    def conclude(self) -> ExitCode | None:
        """Attach what came of it."""
        if self.ctx.told is not None:
            self.out("result", self.ctx.told)
        if self.ctx.failure:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(message=self.ctx.failure)
        if self._known.failure:
            return self.exit_codes.ERROR_NOT_CONVERGED.format(message=self._known.failure)
        return None

    # -- what the steps share -----------------------------------------------------------------------------------------

    @property
    def _plan(self) -> Plan:
        return Plan.model_validate(self.inputs.plan.get_dict())

    @property
    def _known(self) -> Convergence:
        return Convergence.model_validate({} if self.ctx.told is None else self.ctx.told.get_dict())

    @property
    def _ready(self) -> list[str]:
        return [ladder.name for ladder in self._plan.ready(self._known.climbs)]

    def _places(self) -> dict[str, Place]:
        """Places of the ladders that climb now, by key."""
        plan, chosen = self._plan, self._known.chosen
        places = [place for name in self._ready for place in plan.places(plan.ladder(name), chosen)]
        return {plan.key(place): place for place in places}

    def _label(self, label: str, place: Place | None) -> orm.ProcessNode:
        """Label the frames at a place, or with the settings that there are so far."""
        inputs: dict[str, Any] = dict(self.inputs.labelling)
        if place is not None:
            flat, gone = flattened(self._plan.inputs(place))
            given = {name: node for name in flat if (node := _found(inputs, name)) is not None}
            made = self.call_as(f"{label}_settings", functions.settings_at, orm.Dict(flat), **given)
            inputs = replaced(inputs, made, gone)
        labeller = WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}")
        return self.submit_as(label, labeller, configurations=self.ctx.frames, **inputs)

    def _labelled(self, keys: Mapping[str, str]) -> dict[str, ConfigurationsData]:
        """Labels by what they are to be called, of those processes that have any."""
        found = {name: self.ctx[key].outputs for name, key in keys.items()}
        labels = {name: outputs.labelled for name, outputs in found.items() if "labelled" in outputs}
        return put_under(functions.LABELLED, labels)

    def _is_complete(self, key: str) -> bool:
        """Whether a labelling gave all frames their labels."""
        outputs = self.ctx[key].outputs
        return "labelled" in outputs and set(self.ctx.frames.hashes) <= set(outputs.labelled.hashes)

    def _why(self, key: str) -> str:
        """Why a labelling is not complete."""
        process = self.ctx[key]
        entries = process.outputs.ledger["entries"] if "ledger" in process.outputs else []
        reason = next((entry["reason"] for entry in entries if entry["outcome"] == "failed"), "")
        return str(reason or how_it_ended(process))


def flattened(changes: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Changes of inputs by one name for each input, ``NAMESPACE__INPUT``, and the names of inputs that go.

    The first level of changes are inputs or namespaces; namespaces hold inputs.
    """
    flat: dict[str, dict[str, Any]] = {}
    gone: list[str] = []
    for namespace, below in changes.items():
        for name, value in below.items():
            whole = f"{namespace}{SEPARATOR}{name}"
            if value is None:
                gone.append(whole)
            else:
                flat[whole] = dict(value)
    return flat, gone


def replaced(inputs: Mapping[str, Any], nodes: Mapping[str, orm.Data], gone: list[str]) -> dict[str, Any]:
    """Inputs with other nodes in their namespaces, and without those that go."""
    result = {name: dict(value) if isinstance(value, Mapping) else value for name, value in inputs.items()}
    for whole in gone:
        namespace, _, name = whole.partition(SEPARATOR)
        result.get(namespace, {}).pop(name, None)
    for whole, node in nodes.items():
        namespace, _, name = whole.partition(SEPARATOR)
        result.setdefault(namespace, {})[name] = node
    return result


def _found(inputs: Mapping[str, Any], whole: str) -> orm.Data | None:
    namespace, _, name = whole.partition(SEPARATOR)
    return inputs.get(namespace, {}).get(name)
