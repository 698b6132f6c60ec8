"""Where a campaign's potentials start: other starts than scratch are trained beside it, and judged on the probe.

What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, WorkChain

from aiida_bloomery.calculations.functions.starts import (
    ARRAYS,
    BATCH,
    TRAINING,
    conclude_starts,
    judge_starts,
    student_frames,
    trainings_of_starts,
)  # fmt: skip
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, put_under
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.stages import Processes, Stages
from aiida_bloomery.workflows.student import StudentWorkChain
from bloomery.campaign.record import StartsCompared
from bloomery.campaign.starts import SCRATCH, STUDENT, StartsSettings

KEY = "starts"
"""Of this part in the context of a campaign."""


class StartsContext(Protocol):
    """What a campaign keeps of the starts of its potentials."""

    parameters: dict[str, orm.Dict]
    """How potentials of starts with other engines are trained."""
    open: list[str]
    """Those that are trained beside scratch."""
    chosen: str
    """That of the present potential."""
    student: PotentialData | None
    studying: orm.WorkChainNode | None
    """Labels for the student and trains it, in the bootstrap."""
    kept: PotentialData | None
    """The last potential of the loop, if it is of another start, while that from scratch is trained for delivery."""
    kept_validation: orm.WorkChainNode | None
    """What that potential is worth on the probe that is left then."""
    scratch: PotentialData | None
    """The latest potential from scratch that was compared."""
    training: dict[str, orm.WorkChainNode]
    """Of this iteration, by start, as the next."""
    validation: dict[str, orm.WorkChainNode]
    curves: dict[str, PotentialData]
    """Potentials of the loop, ``NAME_ITERATION``."""
    measured: dict[str, orm.WorkChainNode]
    """They, on the whole probe at the end."""
    compared: orm.Dict | None
    """What was found in this iteration."""
    verdict: orm.Dict | None
    """What was found at the end."""


def starts_ports(spec: ProcessSpec) -> None:
    """Declare what the comparison of starts goes by."""
    text = "Which starts of potentials are compared with that from scratch, as `StartsSettings` has it."
    optional(spec, "starts", orm.Dict, text, validators.starts)
    text = "Inputs of the labelling workchain of foundations, for a student."
    by_key(spec, "student_labelling", orm.Data, text, required=False)


def starts_fit(inputs: Mapping[str, Any]) -> str | None:
    """Return a sentence if starts are compared and cannot be."""
    if (given := inputs.get("starts")) is None:
        return None
    if "control" in inputs:
        return "starts: are not compared in a campaign with a control arm; leave one of the two out."
    wants = StartsSettings.model_validate(given.get_dict()).student_frames
    if wants and not inputs.get("student_labelling"):
        return "starts.student_frames: nothing labels them; give student_labelling, or 0."
    return None


class Starts:
    """The part of a campaign that compares starts; where there are none, nothing in it does anything."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.inputs = chain.inputs
        self.campaign = self.stages.ctx
        self.ctx = cast("StartsContext", chain.ctx.setdefault(KEY, AttributeDict()))

    def begin(self) -> None:
        """Begin with all of them."""
        self.ctx.open = list(self.settings.others) if self.are_wanted else []
        self.ctx.chosen, self.ctx.curves, self.ctx.parameters = SCRATCH, {}, {}
        self.ctx.student = self.ctx.studying = self.ctx.scratch = self.ctx.verdict = None
        self.ctx.measured, self.ctx.kept, self.ctx.kept_validation = AttributeDict(), None, None
        self.begin_iteration()
        if self.are_wanted:
            given = {"settings": self.inputs.starts, "training": self.inputs.training}
            self.ctx.parameters = self.stages.function("starts_plan", trainings_of_starts, **given)

    def begin_iteration(self) -> None:
        """Forget the iteration before."""
        self.ctx.training, self.ctx.validation, self.ctx.compared = AttributeDict(), AttributeDict(), None

    @property
    def are_wanted(self) -> bool:
        """Whether starts are compared in this campaign."""
        return "starts" in self.inputs

    @property
    def settings(self) -> StartsSettings:
        """Which they are."""
        return StartsSettings.model_validate(self.inputs.starts.get_dict())

    @property
    def are_compared(self) -> bool:
        """Whether any other start was trained in this iteration."""
        return bool(self.ctx.training)

    @property
    def from_scratch(self) -> PotentialData | None:
        """The present potential from scratch, which the next training goes on from."""
        return self.campaign.potential if self.ctx.chosen == SCRATCH else self.ctx.scratch

    # -- in the loop ----------------------------------------------------------------------------------------------

    def study(self) -> Processes:
        """Let the foundation label frames of the first pools, and train the student on them."""
        if STUDENT not in self.ctx.open or self.campaign.iteration:
            return {}
        seed, pools = self.campaign.plan["seed"], dict(self.campaign.sampling.outputs.pools)
        given = {"settings": self.inputs.starts, "seed": seed, **put_under("pool_", pools)}
        given["selected"] = self.campaign.selection.outputs.selected
        drawn = self.stages.function("student_frames", student_frames, **given)
        if "frames" not in drawn:
            self.stages.report("without a student: the pools hold no frame that is not labelled by the reference")
            self.ctx.open.remove(STUDENT)
            return {}
        inputs = {"configurations": drawn["frames"], "labelling": self.inputs.student_labelling}
        inputs |= {"parameters": self.inputs.training, **stage_inputs(self.inputs, seed)}
        return {f"{KEY}.studying": self.stages.submit("student", StudentWorkChain, **inputs)}

    def train(self) -> Processes:
        """Train potentials of all starts that are compared, each as if it were the first."""
        process, processes = self.ctx.studying, {}
        if process is not None and self.ctx.student is None and self._went_well(process):
            self.ctx.student = process.outputs.potential
        for name in self.ctx.open:
            start_from = self.ctx.student if name == STUDENT else None
            if name == STUDENT and start_from is None:
                continue
            stage, parameters = f"{name}_train", self.ctx.parameters.get(name)
            processes[f"{KEY}.training.{name}"] = self.stages.train(stage, start_from, parameters=parameters)
        return processes

    def validate(self, scratch: PotentialData, *names: str) -> Processes:
        """Measure all potentials of this iteration on the probe; ``names`` are what the plan calls that."""
        self.ctx.scratch = scratch
        potentials: dict[str, PotentialData] = {SCRATCH: scratch}
        potentials |= {
            name: process.outputs.potential
            for name, process in sorted(self.ctx.training.items())
            if self._went_well(process)
        }
        processes = {}
        for name, potential in potentials.items():
            self.ctx.curves[f"{name}_{self.campaign.iteration:03d}"] = potential
            stage = "validate" if name == SCRATCH else f"{name}_validate"
            process = self.stages.observe_probe(stage, *names, potential=potential)
            processes[f"{KEY}.validation.{name}"] = process
        return processes

    def choose(self) -> tuple[orm.WorkChainNode, orm.WorkChainNode]:
        """Judge the starts; return training and validation of the one that the campaign goes on with.

        The validation of the potential from scratch has to have gone well.
        """
        trainings, there = {SCRATCH: self.campaign.training, **self.ctx.training}, self.ctx.validation
        arrays = self._arrays(there, "probe")
        if SCRATCH not in arrays:
            self.stages.report("starts are not compared yet: the probe holds no frame")
            self.ctx.chosen = SCRATCH
            return trainings[SCRATCH], there[SCRATCH]
        nodes = put_under(ARRAYS, arrays)
        nodes |= put_under(TRAINING, {name: trainings[name].outputs.history for name in arrays})
        self.ctx.compared = self._judged("judge_starts", nodes)
        found = StartsCompared.model_validate(self.ctx.compared.get_dict())
        self.ctx.chosen, self.ctx.open = found.chosen, list(found.open)
        self.stages.report(found.sentence)
        return trainings[found.chosen], there[found.chosen]

    def _judged(self, stage: str, nodes: dict[str, orm.Data]) -> orm.Dict:
        given = {"settings": self.inputs.starts, "seed": self.campaign.plan["seed"]}
        given |= put_under(BATCH, self.campaign.batches)
        if self.campaign.history is not None:
            given["history"] = self.campaign.history
        judged: orm.Dict = self.stages.function(stage, judge_starts, **given, **nodes)
        return judged

    def record(self) -> dict[str, orm.Data]:
        """What the record of an iteration says of it."""
        return {} if self.ctx.compared is None else {"starts": self.ctx.compared}

    # -- the end --------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep the last potential of the loop, if it is of another start than scratch."""
        self.ctx.kept = self.campaign.potential if self.ctx.chosen != SCRATCH else None

    def validate_kept(self, *names: str) -> Processes:
        """Measure it once more, beside the final one: words may have taken frames out of the probe."""
        if self.ctx.kept is None:
            return {}
        stage = f"final_{self.ctx.chosen}_validate"
        process = self.stages.observe_probe(stage, *names, potential=self.ctx.kept)
        return {f"{KEY}.kept_validation": process}

    def choose_final(
        self, scratch: PotentialData, validation: orm.WorkChainNode
    ) -> tuple[PotentialData, orm.WorkChainNode]:
        """Return the potential that is delivered with its validation, given those of the final one from scratch."""
        if self.were_compared:
            self.ctx.curves[f"{SCRATCH}_{self.campaign.iteration - 1:03d}"] = scratch
        kept, measured = self.ctx.kept, self.ctx.kept_validation
        if kept is None or measured is None:
            return scratch, validation
        if not self._went_well(measured):
            self.ctx.chosen = SCRATCH
            return scratch, validation
        if not self._went_well(validation):
            return kept, measured
        arrays = self._arrays({SCRATCH: validation, self.ctx.chosen: measured}, "probe")
        if len(arrays) > 1:
            self.ctx.chosen = str(self._judged("final_judge_starts", put_under(ARRAYS, arrays))["chosen"])
        return (scratch, validation) if self.ctx.chosen == SCRATCH else (kept, measured)

    @property
    def were_compared(self) -> bool:
        """Whether there is anything to say at the end."""
        return any(not key.startswith(SCRATCH) for key in self.ctx.curves)

    def measure(self) -> Processes:
        """Measure all potentials of the loop on the whole probe: learning curves need the same frames."""
        return {
            f"{KEY}.measured.{key}": self.stages.observe_probe(f"starts_measure_{key}", "arms", potential=potential)
            for key, potential in sorted(self.ctx.curves.items())
        }

    def conclude(self) -> None:
        """Say what each start was worth."""
        arrays = self._arrays(self.ctx.measured, "arms")
        if not any(key.startswith(SCRATCH) for key in arrays):
            return
        verdict: orm.Dict = self.stages.function(
            "conclude_starts",
            conclude_starts,
            settings=self.inputs.starts,
            history=self.campaign.history,
            delivered=orm.Str(self.ctx.chosen),
            seed=self.campaign.plan["seed"],
            **put_under(ARRAYS, arrays),
        )
        self.ctx.verdict = verdict
        self.stages.report(verdict["sentence"])

    def conclusion(self) -> dict[str, orm.Dict]:
        """What the history closes with."""
        return {} if self.ctx.verdict is None else {"starts": self.ctx.verdict}

    def _arrays(self, processes: Mapping[str, orm.WorkChainNode], name: str) -> dict[str, orm.ArrayData]:
        """What was measured under a name, by start: of those that went well and had any frame to measure."""
        found = {}
        for key, process in sorted(processes.items()):
            node = process.outputs.arrays.get(name) if "arrays" in process.outputs else None
            if self._went_well(process) and node is not None and "frame_block" in node.get_arraynames():
                found[key] = node
        return found

    def _went_well(self, process: orm.WorkChainNode) -> bool:
        if not process.is_finished_ok:
            self.stages.report(f"starts: {process.process_label}<{process.pk}> failed: {how_it_ended(process)}")
        return bool(process.is_finished_ok)
