"""What a campaign measures of its potentials besides errors on the probe: observables, and an independent set.

What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from typing import Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, WorkChain

from aiida_bloomery.calculations.functions.campaign import plan_validation
from aiida_bloomery.calculations.functions.frames import specs_of
from aiida_bloomery.calculations.functions.labels import merge_ledgers
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import optional, optional_output, outputs_by_key, put_under, under
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.comparison import ComparisonWorkChain
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.properties import Properties
from aiida_bloomery.workflows.stages import Processes, Stages
from bloomery.campaign.measuring import FINAL, REFERENCE_TRAJECTORY

KEY = "measuring"
"""Of this part in the context of a campaign."""

COMPARISON, TEST = "comparison", "test"


class MeasuringContext(Protocol):
    """What a campaign keeps of its measuring."""

    plan: dict[str, orm.Dict]
    """Parameters of what is measured, as `plan_validation` gave them; empty where nothing is."""
    known: dict[str, ConfigurationsData]
    """What the reference method has said already: it is not asked again."""
    ledgers: dict[str, orm.Dict]
    """Of the frames that it was asked about."""
    reference_trajectory: orm.WorkChainNode | None
    processes: dict[str, orm.WorkChainNode]
    """`comparison` and `test` of this iteration, with what the labels of their stages begin with."""
    final: dict[str, orm.Dict]
    """What was measured of the delivered potential, as `measured_from` takes it."""


def measuring_ports(spec: ProcessSpec) -> None:
    """Declare inputs and outputs of what is measured."""
    spec.input_namespace("validation", required=False, help="What is measured besides errors on the probe.")
    text = "`{final, each_iteration, reference_trajectory}`: observables, and dynamics by the reference method."
    spec.input("validation.settings", valid_type=orm.Dict, validator=validators.validation, help=text)
    for name, text in (
        ("structures", "What observables are measured on; by default the starting structures."),
        ("trajectory", "A trajectory of the reference method."),
        ("test_set", "Labelled frames that nothing is trained on."),
    ):
        optional(spec, f"validation.{name}", ConfigurationsData, text)
    text = "Observables of the delivered potential, beside the reference."
    outputs_by_key(spec, "observations", orm.Dict, text, required=False)
    text = "What happened to every frame that the reference was asked about for validation alone."
    optional_output(spec, "validation_ledger", orm.Dict, text)


class Measuring:
    """The part of a campaign that measures; without `validation`, nothing in it does anything."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.inputs = chain.inputs.get("validation", {})
        self.ctx = cast("MeasuringContext", chain.ctx.setdefault(KEY, AttributeDict()))

    def begin(self) -> None:
        """Plan what is measured, and let the reference method run its trajectory while the campaign goes on."""
        self.ctx.known, self.ctx.ledgers, self.ctx.final = {}, {}, {}
        self.ctx.plan, self.ctx.reference_trajectory = {}, None
        self.begin_iteration()
        if "settings" in self.inputs:
            self.ctx.plan = self.stages.function("validation_plan", plan_validation, settings=self.inputs.settings)
        samplers = under("samplers__", self.ctx.plan)
        if samplers and "trajectory" not in self.inputs:
            seed = self.stages.inputs.seed
            self.ctx.reference_trajectory = self.stages.sample(REFERENCE_TRAJECTORY, self._structures, samplers, seed)

    def begin_iteration(self) -> None:
        """Forget what was measured in the iteration before."""
        self.ctx.processes = AttributeDict()

    @property
    def is_planned(self) -> bool:
        """Whether anything is measured."""
        return bool(self.ctx.plan)

    # -- a trajectory of the reference method -----------------------------------------------------------------------

    @property
    def _structures(self) -> ConfigurationsData:
        """What observables are measured on."""
        return self.inputs.get("structures", self.stages.inputs.structures)

    def reference(self, when: str) -> Processes:
        """What to wait for before observables are measured, if any of them is compared with a trajectory."""
        process = self.ctx.reference_trajectory
        specs = specs_of(self._planned(when)).values()
        averages = any(not spec.load("observables").wants_frames for spec in specs)
        return {f"{KEY}.{REFERENCE_TRAJECTORY}": process} if averages and process is not None else {}

    def _trajectory(self) -> ConfigurationsData | None:
        """The reference's trajectory: that of the user, or the one that was run, if it has ended well."""
        process = self.ctx.reference_trajectory
        if "trajectory" in self.inputs or process is None:
            return self.inputs.get("trajectory")
        if process.is_finished_ok:
            return process.outputs.pools[REFERENCE_TRAJECTORY]
        if process.is_terminated:
            what = f"{process.process_label}<{process.pk}> {how_it_ended(process)}"
            self.stages.report(f"without a reference trajectory: {what}")
        return None

    # -- measuring ----------------------------------------------------------------------------------------------------

    def _planned(self, when: str) -> dict[str, orm.Dict]:
        """Parameters of the observables that are measured then, by key."""
        return under(f"{when}__", self.ctx.plan)

    def measure(self, stage: str, when: str, potential: PotentialData) -> Processes:
        """Compare a potential with the reference, and measure it on the independent set; see `compare`."""
        processes = self.compare(stage, when, potential)
        if self.has_test_set:
            processes[f"{KEY}.processes.{stage}{TEST}"] = self.test(f"{stage}test", potential, leakage=when == FINAL)
        return processes

    def compare(self, stage: str, when: str, potential: PotentialData) -> Processes:
        """Measure observables of a potential beside the reference, if there are any ``final`` or ``each_iteration``.

        Labels of the processes begin with ``stage``, such as ``final_``.
        """
        observables = self._planned(when)
        if not observables:
            return {}
        inputs = stage_inputs(self.stages.inputs, self.stages.ctx.plan["seed"])
        inputs |= self.stages.chain.given("labeller", "labelling")
        inputs |= {"potential": potential, "structures": self._structures, "observables": observables}
        trajectory = self._trajectory()
        if trajectory is not None:
            inputs["trajectory"] = trajectory
        if self.ctx.known:
            inputs["known"] = self.ctx.known
        models = Properties(self.stages.chain).ctx.models
        if models:
            inputs["property_models"] = models
        name = "observables" if stage == "control_" else "compare"  # control_compare is that of both arms
        process = self.stages.submit(f"{stage}{name}", ComparisonWorkChain, **inputs)
        return {f"{KEY}.processes.{stage}{COMPARISON}": process}

    @property
    def has_test_set(self) -> bool:
        """Whether there is an independent set."""
        return "test_set" in self.inputs

    def test(self, stage: str, potential: PotentialData, *, leakage: bool = False) -> orm.WorkChainNode:
        """Measure a potential on the independent set, and look which of its frames have been trained on."""
        jobs = under("independent__", self.ctx.plan)
        reference = {"reference": self.stages.ctx.batches} if leakage else {}
        observables = jobs if leakage else {"errors": jobs["errors"]}
        return self.stages.observe(stage, {"test_set": self.inputs.test_set}, observables, potential, **reference)

    def measured(self, stage: str = "") -> dict[str, orm.Dict]:
        """What came of it, as `measured_from` takes it; labels are noted, so that they are not asked for again."""
        if not self.is_planned:
            return {}
        found = {"settings": self.inputs.settings}
        comparison = self.ctx.processes.get(f"{stage}{COMPARISON}")
        if comparison is not None:
            outputs = comparison.outputs
            if not comparison.is_finished_ok:
                self.stages.report(f"{comparison.process_label}<{comparison.pk}>: {how_it_ended(comparison)}")
            if "labelled" in outputs:
                self.ctx.known[f"labels_{len(self.ctx.known):03d}"] = outputs.labelled
            if "ledger" in outputs:
                self.ctx.ledgers[f"{stage or 'iteration_'}{self.stages.ctx.iteration:03d}"] = outputs.ledger
                found["ledger"] = outputs.ledger
            if "observations" in outputs:
                found |= put_under("observable__", outputs.observations)
        test = self.ctx.processes.get(f"{stage}{TEST}")
        if test is not None and "observations" in test.outputs:
            found |= put_under("test_set__", test.outputs.observations)
        return found

    # -- the end --------------------------------------------------------------------------------------------------

    def note_final(self) -> None:
        """Take what was measured of the potential that is delivered."""
        self.ctx.final = self.measured("final_")

    def results(self) -> None:
        """Attach observations and ledger."""
        observations = under("observable__", self.ctx.final)
        if observations:
            self.stages.chain.out("observations", observations)
        if self.ctx.ledgers:
            chain = self.stages.chain
            chain.out("validation_ledger", chain.call_as("validation_ledger", merge_ledgers, **self.ctx.ledgers))
