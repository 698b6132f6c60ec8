"""The reinforcement loop: from starting structures to a validated potential and the data set it was trained on."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_

from aiida_bloomery.calculations.functions.campaign import plan_iteration
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import under
from aiida_bloomery.workflows.adoption import Adoption
from aiida_bloomery.workflows.ahead import Ahead
from aiida_bloomery.workflows.arms import ControlArm
from aiida_bloomery.workflows.campaign_builder import FromProtocol
from aiida_bloomery.workflows.energy_reference import EnergyReferenceWorkChain
from aiida_bloomery.workflows.measuring import Measuring
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.properties import Properties
from aiida_bloomery.workflows.recording import Recording
from aiida_bloomery.workflows.selection import SelectionWorkChain
from aiida_bloomery.workflows.stages import Stages
from aiida_bloomery.workflows.standing import Standing
from aiida_bloomery.workflows.starts import Starts
from bloomery.campaign.measuring import EACH, FINAL
from bloomery.campaign.starts import SCRATCH

NO_LABEL = "no label is left to learn from: all are suspect or were taken out; `ledger --suspect` lists them."


class ReinforcementWorkChain(FromProtocol, SubmitsOnce):
    """Sample, select, label, assess, train, validate, record: again until a stop rule fires.

    The bootstrap is iteration 0 of the same loop, with samplers of its own and no potential yet.
    What is kept between the steps, `CampaignContext` lists.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare outline and exit codes."""
        super().define(spec)
        spec.outline(
            cls.setup,
            if_(cls.wants_isolated_atoms)(cls.label_atoms, cls.refer_to_atoms),
            if_(cls.has_data)(cls.check_data, cls.adopt_data),
            while_(cls.is_not_done)(
                cls.begin_iteration,
                if_(cls.is_not_begun)(cls.plan, cls.sample, cls.select),
                cls.label,
                if_(cls.goes_ahead)(
                    cls.plan_ahead, cls.sample_ahead, cls.select_ahead, cls.wait_for_labels, cls.label_ahead
                ),
                cls.learn,
                if_(cls.has_other_starts)(cls.compare_starts, cls.choose_start),
                cls.validate, cls.record
            ),
            if_(cls.was_warm_started)(cls.train_final, cls.validate_final, cls.choose_final),
            if_(cls.had_other_starts)(cls.measure_starts, cls.judge_starts),
            if_(cls.is_measured_at_the_end)(cls.wait_for_reference, cls.measure_final, cls.note_final),
            if_(cls.has_two_arms)(cls.train_arms, cls.validate_arms, cls.judge_arms),
            cls.results,
        )  # fmt: skip
        text = "{message} Give data of the method that labels, in eV and Å, or leave them out; none was used."
        spec.exit_code(210, "ERROR_DATA_OF_ANOTHER_METHOD", message=text)
        spec.exit_code(401, "ERROR_SAMPLING_FAILED", message="Sampling failed in {where}: {message}")
        spec.exit_code(402, "ERROR_SELECTION_FAILED", message="Selection failed in {where}: {message}")
        spec.exit_code(403, "ERROR_LABELLING_FAILED", message="Labelling failed in {where}: {message}")
        spec.exit_code(404, "ERROR_TRAINING_FAILED", message="Training failed in {where}: {message}")
        spec.exit_code(405, "ERROR_VALIDATION_FAILED", message="Validation failed in {where}: {message}")

    # -- parts, and where we are ----------------------------------------------------------------------------------

    @property
    def _stages(self) -> Stages:
        return Stages(self)

    @property
    def _recording(self) -> Recording:
        return Recording(self)

    @property
    def _measuring(self) -> Measuring:
        return Measuring(self)

    @property
    def _properties(self) -> Properties:
        return Properties(self)

    @property
    def _standing(self) -> Standing:
        return Standing(self)

    @property
    def _control(self) -> ControlArm:
        return ControlArm(self)

    @property
    def _adoption(self) -> Adoption:
        return Adoption(self)

    @property
    def _starts(self) -> Starts:
        return Starts(self)

    @property
    def _ahead(self) -> Ahead:
        return Ahead(self)

    def _fail(self, label: str, process: orm.ProcessNode) -> ExitCode:
        """Attach what there is, then end: nothing that was computed is lost."""
        self.results()
        return self.exit_codes[label].format(where=self._stages.where, message=how_it_ended(process))

    def _with_potential(self) -> dict[str, orm.Data]:
        """The present potential and its known error, where there are any."""
        known = {"potential": self.ctx.potential, "scale": self.ctx.plan.get("scale")}
        return {key: node for key, node in known.items() if node is not None}

    def setup(self) -> None:
        """Begin with nothing, or with a potential."""
        self.ctx.iteration = 0
        self.ctx.batches, self.ctx.ledgers, self.ctx.left, self.ctx.booked = {}, {}, {}, []
        for name in ("potential", "history", "decision", "reference", "warm"):
            self.ctx[name] = None
        self._control.begin()
        self._adoption.begin()
        self.ctx.potential = self._adoption.potential
        self._standing.begin()
        self._measuring.begin()
        self._properties.begin()
        self._starts.begin()
        self._ahead.begin()
        if self.inputs.energy_reference["method"] == "values":
            self.ctx.reference = self.inputs.energy_reference

    # -- energy reference -----------------------------------------------------------------------------------------

    def wants_isolated_atoms(self) -> bool:
        """Whether the reference comes from isolated atoms."""
        return bool(self.inputs.energy_reference["method"] == "isolated_atoms")

    def label_atoms(self) -> ToContext:
        """Let the labeller compute the isolated atoms."""
        inputs = self.given("structures", "labeller", "labelling")
        return ToContext(atoms=self._stages.submit("atoms", EnergyReferenceWorkChain, **inputs))

    def refer_to_atoms(self) -> ExitCode | None:
        """Take the energy reference of all potentials from them."""
        if not self.ctx.atoms.is_finished_ok:
            return self._fail("ERROR_LABELLING_FAILED", self.ctx.atoms)
        self.ctx.reference = self.ctx.atoms.outputs.energy_reference
        return None

    # -- data that exist ------------------------------------------------------------------------------------------

    def has_data(self) -> bool:
        """Whether there are labelled frames to begin with."""
        return self._adoption.is_wanted

    def check_data(self) -> ToContext:
        """Label some of them again."""
        return ToContext(**self._adoption.check())

    def adopt_data(self) -> ExitCode | None:
        """Make them batches, if their labels are of the method that labels."""
        process = self._adoption.ctx.checking
        if process is not None and not (process.is_finished_ok and "labelled" in process.outputs):
            return self._fail("ERROR_LABELLING_FAILED", process)
        mistake = self._adoption.adopt()
        return self.exit_codes.ERROR_DATA_OF_ANOTHER_METHOD.format(message=mistake) if mistake else None

    # -- the loop -------------------------------------------------------------------------------------------------

    def is_not_done(self) -> bool:
        """Whether no stop rule has fired, or labels are still to come."""
        return self.ctx.decision is None or not self.ctx.decision["done"] or self._ahead.is_labelled

    def begin_iteration(self) -> None:
        """Forget the iteration before, and take what was begun of this one."""
        self.ctx.assessment = self.ctx.training = self.ctx.validation = None
        for part in (self._control, self._measuring, self._properties, self._starts):
            part.begin_iteration()
        self._ahead.take()

    def is_not_begun(self) -> bool:
        """Whether nothing of this iteration is there."""
        return not self.ctx.plan

    def plan(self) -> None:
        """Decide what this iteration does."""
        inputs = self.given("seed", "selection", "stop", "control", "starts") | self._adoption.given()
        inputs["stage"] = self.inputs.sampling if self.ctx.iteration else self.inputs.bootstrap
        inputs |= self.given("before") if self.ctx.history is None else {"history": self.ctx.history}
        if self.ctx.expected is not None:
            inputs["expected"] = self.ctx.expected.outputs.funnel
        self.ctx.plan = self._stages.function("plan", plan_iteration, **inputs)

    def sample(self) -> ToContext | None:
        """Make a pool of candidates; a bootstrap of data alone needs none."""
        samplers = under("samplers__", self.ctx.plan)
        if not samplers:
            return None
        inputs = self._with_potential() | self.given("frames")
        if self.ctx.left:
            inputs["continued"] = self.ctx.left
        process = self._stages.sample("sample", self.inputs.structures, samplers, self.ctx.plan["seed"], **inputs)
        return ToContext(sampling=process)

    def select(self) -> ExitCode | ToContext | None:
        """Select what is worth a label, and draw the probe."""
        if self.ctx.sampling is None:
            return None
        if not self.ctx.sampling.is_finished_ok:
            return self._fail("ERROR_SAMPLING_FAILED", self.ctx.sampling)
        if "left" in self.ctx.sampling.outputs:
            self.ctx.left = {**self.ctx.left, **self.ctx.sampling.outputs.left}
        inputs = stage_inputs(self.inputs, self.ctx.plan["seed"]) | self._with_potential() | self._control.known()
        known = dict(self.ctx.batches)
        if self.ctx.expected is not None:
            known[f"batch_{self.ctx.iteration - 1:03d}"] = self.ctx.expected.outputs.selected
        inputs |= {"pools": dict(self.ctx.sampling.outputs.pools), "data_set": known}
        inputs |= {"descriptor": self.ctx.plan["descriptor"], "parameters": self.ctx.plan["selection"]}
        if self._properties.ctx.models:
            inputs["property_models"] = self._properties.ctx.models
        return ToContext(selection=self._stages.submit("select", SelectionWorkChain, **inputs))

    def label(self) -> ExitCode | ToContext | None:
        """Label the selected frames, and wait for their labels unless the next iteration is begun meanwhile."""
        if self.ctx.selection is None:
            return None
        if not self.ctx.selection.is_finished_ok:
            return self._fail("ERROR_SELECTION_FAILED", self.ctx.selection)
        if "selected" not in self.ctx.selection.outputs:
            return None
        if self.ctx.labelling is None:
            self.ctx.labelling = self._stages.label("label", self.ctx.selection.outputs.selected)
        labelling = {} if self.goes_ahead() else {"labelling": self.ctx.labelling}
        return ToContext(**labelling, **self._control.label(), **self._starts.study())

    def goes_ahead(self) -> bool:
        """Whether the next iteration is begun while this batch is labelled."""
        return self._ahead.is_wanted

    def plan_ahead(self) -> None:
        """Plan the next iteration."""
        self._ahead.do(self.plan)

    def sample_ahead(self) -> ToContext:
        """Make its pool with the potential that there is."""
        return ToContext(**self._ahead.do(self.sample))

    def select_ahead(self) -> ToContext | None:
        """Select from it; what is being labelled counts as labelled."""
        return ToContext(**self._ahead.do(self.select)) if self._ahead.went_well("sampling") else None

    def wait_for_labels(self) -> ToContext:
        """Wait for the labels of this iteration."""
        return ToContext(labelling=self.ctx.labelling)

    def label_ahead(self) -> None:
        """Label what was selected, and do not wait for it: the potential is trained meanwhile."""
        if self._ahead.went_well("selection"):
            self._ahead.do(self._label_selected)

    def _label_selected(self) -> None:
        if "selected" in self.ctx.selection.outputs:
            self.ctx.labelling = self._stages.label("label", self.ctx.selection.outputs.selected)

    def learn(self) -> ExitCode | ToContext | None:
        """Assess the potential on what it has not seen, and train the next: side by side, neither needs the other."""
        process, key, labelled = self.ctx.labelling, f"batch_{self.ctx.iteration:03d}", None
        if process is None and (self.ctx.iteration or not self.ctx.batches):
            return None
        if process is not None:
            labelled = self._standing.take("judge", key, process, self.ctx.batches)
            if labelled is not None:
                self.ctx.batches[key] = labelled
            if not process.is_finished_ok or "labelled" not in process.outputs:
                return self._fail("ERROR_LABELLING_FAILED", process)
        self._standing.heed(self.uuid)
        if not self.ctx.batches:
            self.results()
            return self.exit_codes.ERROR_LABELLING_FAILED.format(where=self._stages.where, message=NO_LABEL)
        labelled = self.ctx.batches.get(key)
        start_from = self._starts.from_scratch if self.ctx.iteration else None
        processes = {"training": self._stages.train_on("train", start_from), **self._starts.train()}
        processes |= self._properties.learn()
        self.ctx.warm = "start_from" in processes["training"].inputs
        if self.ctx.potential is not None and labelled is not None:
            yardsticks = self._stages.yardsticks("probe", "selected")
            processes["assessment"] = self._stages.observe("assess", {key: labelled}, yardsticks)
        return ToContext(**processes, **self._control.train(labelled), **self._measuring.reference(EACH))

    def has_other_starts(self) -> bool:
        """Whether potentials of other starts than scratch were trained."""
        return self._starts.are_compared

    def compare_starts(self) -> ExitCode | ToContext:
        """Measure them and that from scratch on the whole probe."""
        if not self.ctx.training.is_finished_ok:
            return self._fail("ERROR_TRAINING_FAILED", self.ctx.training)
        return ToContext(**self._starts.validate(self.ctx.training.outputs.potential, *self._adoption.yardsticks))

    def choose_start(self) -> ExitCode | None:
        """Go on with the best for its cost."""
        scratch = self._starts.ctx.validation[SCRATCH]
        if not scratch.is_finished_ok:
            return self._fail("ERROR_VALIDATION_FAILED", scratch)
        self.ctx.training, self.ctx.validation = self._starts.choose()
        return None

    def validate(self) -> ExitCode | ToContext | None:
        """Measure the new potential on the whole probe, which it has never seen, unless that is done."""
        if self.ctx.training is None:
            return None
        if not self.ctx.training.is_finished_ok:
            return self._fail("ERROR_TRAINING_FAILED", self.ctx.training)
        self.ctx.potential = self.ctx.training.outputs.potential
        self._properties.take()
        processes = {}
        if self.ctx.validation is None:
            processes["validation"] = self._stages.observe_probe("validate", *self._adoption.yardsticks)
        return ToContext(
            **processes,
            **self._measuring.measure("", EACH, self.ctx.potential),
            **self._control.validate(self.ctx.potential),
        )

    def record(self) -> ExitCode | None:
        """Write the iteration into the history, and let the stop rules decide."""
        if self.ctx.validation is not None and not self.ctx.validation.is_finished_ok:
            return self._fail("ERROR_VALIDATION_FAILED", self.ctx.validation)
        more: dict[str, orm.Data] = {} if self.ctx.iteration else {**self._adoption.given()}
        more |= {**self._control.record(), **self._standing.words(), **self._starts.record(), **self._ahead.record()}
        more |= self._properties.record()
        self._recording.record(self._measuring.measured(), more)
        if self.ctx.decision["done"] and self._ahead.is_labelled:
            self.report("goes on for the labels of the next batch, which are being computed already")
        self.ctx.iteration += 1
        return None

    # -- the end --------------------------------------------------------------------------------------------------

    def was_warm_started(self) -> bool:
        """Whether the last potential carries weights from earlier data: then it is retrained before delivery."""
        return bool(self.ctx.warm)

    def train_final(self) -> ToContext:
        """Train the delivered potential from scratch on the whole data set."""
        self._standing.heed(self.uuid)
        self._starts.keep()
        return ToContext(training=self._stages.train("final_train", None))

    def validate_final(self) -> ExitCode | ToContext:
        """Validate it like every other."""
        if not self.ctx.training.is_finished_ok:
            return self._fail("ERROR_TRAINING_FAILED", self.ctx.training)
        potential, names = self.ctx.training.outputs.potential, self._adoption.yardsticks
        process = self._stages.observe_probe("final_validate", *names, potential=potential)
        return ToContext(validation=process, **self._starts.validate_kept(*names))

    def choose_final(self) -> None:
        """Deliver the potential from scratch, unless that of another start is better beyond its interval."""
        scratch = self.ctx.training.outputs.potential
        self.ctx.potential, self.ctx.validation = self._starts.choose_final(scratch, self.ctx.validation)

    def had_other_starts(self) -> bool:
        """Whether potentials of other starts were ever measured."""
        return self._starts.were_compared

    def measure_starts(self) -> ToContext:
        """Measure all potentials of the loop on the whole probe."""
        return ToContext(**self._starts.measure())

    def judge_starts(self) -> None:
        """Say what each start was worth."""
        self._starts.conclude()

    def is_measured_at_the_end(self) -> bool:
        """Whether the potential that is delivered is measured."""
        return self._measuring.is_planned and self.ctx.potential is not None

    def wait_for_reference(self) -> ToContext:
        """Wait for the reference's trajectory, if it still runs."""
        return ToContext(**self._measuring.reference(FINAL))

    def measure_final(self) -> ToContext:
        """Measure the potential that is delivered."""
        return ToContext(**self._measuring.measure("final_", FINAL, self.ctx.potential))

    def note_final(self) -> None:
        """Take what was measured."""
        self._measuring.note_final()

    def has_two_arms(self) -> bool:
        """Whether there is a control arm that has learned from labels of its own."""
        return self._control.is_there

    def train_arms(self) -> ToContext:
        """Train both arms from scratch, from several seeds; the first of the campaign's is delivered and there."""
        return ToContext(**self._control.train_final())

    def validate_arms(self) -> ToContext:
        """Measure them on the whole probe, and all potentials of the loop too: learning curves need the same frames."""
        return ToContext(**self._control.validate_final(self.ctx.potential))

    def judge_arms(self) -> None:
        """Say whether the selection helped."""
        self._control.judge()

    def results(self) -> None:
        """Attach data set, potential, history and ledger."""
        self._recording.results()
        self._control.results()
        self._measuring.results()
        self._properties.results()
        words = self._standing.words() if self.was_warm_started() else {}
        end = {**self._measuring.ctx.final, **words, **self._starts.conclusion()}
        self._recording.conclude(end, self._control.ctx.verdict)
