"""The reinforcement loop: from starting structures to a validated potential and the data set it was trained on."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions.campaign import conclude, decide, plan_iteration, record_iteration
from aiida_bloomery.calculations.functions.labels import merge_ledgers
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.control import ControlArm
from aiida_bloomery.workflows.energy_reference import EnergyReferenceWorkChain
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.protocols import protocol_inputs
from aiida_bloomery.workflows.sampling import SamplingWorkChain
from aiida_bloomery.workflows.selection import SelectionWorkChain
from aiida_bloomery.workflows.stages import namespace
from bloomery.campaign.measuring import EACH


class ReinforcementWorkChain(ControlArm):
    """Sample, select, label, assess, train, validate, record: again until a stop rule fires.

    The bootstrap is iteration 0 of the same loop, with samplers of its own and no potential yet.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.input("structures", valid_type=ConfigurationsData, help="Starting structures.")
        spec.input_namespace(
            "codes",
            valid_type=orm.AbstractCode,
            dynamic=True,
            help="`bloomery`: the program that the jobs run; `engine`: that of the engine's own environment, for jobs "
            "that train or load a potential; `train`: another one for trainings.",
        )
        spec.input("seed", valid_type=orm.Int, serializer=orm.to_aiida_type, help="Of every random choice.")
        spec.input("device", valid_type=orm.Str, required=False, help="Where torch runs: `auto`, `cpu` or `cuda`.")
        spec.input(
            "bootstrap", valid_type=orm.Dict, validator=validators.stage, help="`{samplers, selectors}` of iteration 0."
        )
        spec.input("sampling", valid_type=orm.Dict, validator=validators.stage, help="`{samplers}` of the loop.")
        spec.input_namespace(
            "frames",
            dynamic=True,
            valid_type=ConfigurationsData,
            required=False,
            help="The user's own frames, by label.",
        )
        spec.input(
            "selection", valid_type=orm.Dict, validator=validators.selection, help="`{descriptor, selectors, roles}`."
        )
        spec.input(
            "labeller", valid_type=orm.Str, validator=validators.labeller, help="`bloomery.labelling.*` without prefix."
        )
        spec.input_namespace("labelling", dynamic=True, valid_type=orm.Data, help="Inputs of the labelling workchain.")
        spec.input(
            "training", valid_type=orm.Dict, validator=validators.training, help="`{engine, acceptance, warm_start}`."
        )
        spec.input(
            "energy_reference", valid_type=orm.Dict, validator=validators.energy_reference, help="`{method, values}`."
        )
        spec.input("stop", valid_type=orm.Dict, validator=validators.stop, help="Stop rules and budgets.")
        spec.input("options", valid_type=orm.Dict, required=False, help="Scheduler options by verb.")
        spec.outline(
            cls.setup,
            if_(cls.wants_isolated_atoms)(cls.label_atoms, cls.refer_to_atoms),
            while_(cls.is_not_done)(
                cls.plan, cls.sample, cls.select, cls.label, cls.learn, cls.validate, cls.record
            ),
            if_(cls.was_warm_started)(cls.train_final, cls.validate_final),
            if_(cls.is_measured_at_the_end)(cls.wait_for_reference, cls.measure_final, cls.note_final),
            if_(cls.has_two_arms)(cls.train_arms, cls.validate_arms, cls.judge_arms),
            cls.results,
        )  # fmt: skip
        spec.output_namespace("data_set", dynamic=True, valid_type=ConfigurationsData, help="Labelled frames by batch.")
        spec.output("potential", valid_type=PotentialData, required=False, help="The latest accepted potential.")
        spec.output("history", valid_type=orm.Dict, required=False, help="Every iteration, and why the loop ended.")
        spec.output("ledger", valid_type=orm.Dict, required=False, help="What happened to every frame to be labelled.")
        spec.exit_code(401, "ERROR_SAMPLING_FAILED", message="Sampling failed in {where}: {message}")
        spec.exit_code(402, "ERROR_SELECTION_FAILED", message="Selection failed in {where}: {message}")
        spec.exit_code(403, "ERROR_LABELLING_FAILED", message="Labelling failed in {where}: {message}")
        spec.exit_code(404, "ERROR_TRAINING_FAILED", message="Training failed in {where}: {message}")
        spec.exit_code(405, "ERROR_VALIDATION_FAILED", message="Validation failed in {where}: {message}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structures: ConfigurationsData,
        labeller: str,
        labelling: dict[str, Any] | ProcessBuilder,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        *,
        frames: dict[str, ConfigurationsData] | None = None,
        validation: dict[str, ConfigurationsData] | None = None,
        options: dict[str, Any] | None = None,
        engine_code: orm.AbstractCode | None = None,
        device: str = "auto",
        seed: int = 1,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        code
            The `bloomery` program.
        structures
            Starting structures.
        labeller, labelling
            Name of a labelling workchain, and its inputs, or the builder that its own ``get_builder_from_protocol``
            gives.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the inputs `bootstrap`, `sampling`, `selection`, `training`, `energy_reference` and `stop` that
            differ from the protocol's; mappings are merged, lists replaced. With `control` there is a control arm, with
            `validation` (`{final, each_iteration, reference_trajectory}`) observables are measured.
        frames
            The user's own frames, for the sampler `from_file`.
        validation
            What is measured on: `structures`, `trajectory` (of the reference method), `test_set`; all may be left out.
        options
            Scheduler options by verb.
        engine_code
            The `bloomery` program of the engine's own environment, for an engine that needs one.
        """
        inputs = protocol_inputs("campaign", protocol, overrides)
        builder = cls.get_builder()
        builder.codes = {"bloomery": code} | ({"engine": engine_code} if engine_code is not None else {})
        builder.structures = structures
        builder.labeller = orm.Str(labeller)
        given = labelling._inputs(prune=True) if isinstance(labelling, ProcessBuilder) else labelling  # noqa: SLF001
        builder.labelling = {name: value for name, value in given.items() if name != "metadata"}
        for name in ("bootstrap", "sampling", "selection", "training", "energy_reference", "stop"):
            builder[name] = orm.Dict(inputs[name])
        if "control" in inputs:
            builder.control = orm.Dict(inputs["control"])
        if "validation" in inputs or validation:
            builder.validation = {"settings": orm.Dict(inputs.get("validation", {})), **(validation or {})}
        if frames:
            builder.frames = frames
        if options:
            builder.options = orm.Dict(options)
        builder.device = orm.Str(device)
        builder.seed = orm.Int(seed)
        return builder

    # -- where we are ---------------------------------------------------------------------------------------------

    def _fail(self, label: str, process: orm.ProcessNode) -> ExitCode:
        """Attach what there is, then end: nothing that was computed is lost."""
        self.results()
        message = process.exit_message or f"<{process.pk}> ended as {process.process_state.value}."
        return self.exit_codes[label].format(where=self.where, message=message)

    def _with_potential(self) -> dict[str, Any]:
        """The present potential and its known error, where there are any."""
        inputs = {}
        if self.ctx.potential is not None:
            inputs["potential"] = self.ctx.potential
        if "scale" in self.ctx.plan:
            inputs["scale"] = self.ctx.plan["scale"]
        return inputs

    def setup(self) -> None:
        """Begin with nothing."""
        self.ctx.iteration = 0
        self.ctx.batches = {}
        self.ctx.ledgers = {}
        self.ctx.left = {}
        for name in ("potential", "history", "decision", "reference", "funnel", "warm"):
            self.ctx[name] = None
        self._begin_control()
        self._begin_measuring()
        if self.inputs.energy_reference["method"] == "values":
            self.ctx.reference = self.inputs.energy_reference

    # -- energy reference -----------------------------------------------------------------------------------------

    def wants_isolated_atoms(self) -> bool:
        """Whether the reference comes from isolated atoms."""
        return bool(self.inputs.energy_reference["method"] == "isolated_atoms")

    def label_atoms(self) -> ToContext:
        """Let the labeller compute the isolated atoms."""
        names = ("structures", "labeller", "labelling")
        process = self._submit("atoms", EnergyReferenceWorkChain, **{name: self.inputs[name] for name in names})
        return ToContext(atoms=process)

    def refer_to_atoms(self) -> ExitCode | None:
        """Take the energy reference of all potentials from them."""
        if not self.ctx.atoms.is_finished_ok:
            return self._fail("ERROR_LABELLING_FAILED", self.ctx.atoms)
        self.ctx.reference = self.ctx.atoms.outputs.energy_reference
        return None

    # -- the loop -------------------------------------------------------------------------------------------------

    def is_not_done(self) -> bool:
        """Whether no stop rule has fired."""
        return self.ctx.decision is None or not self.ctx.decision["done"]

    def plan(self) -> None:
        """Decide what this iteration does."""
        inputs = {"history": self.ctx.history} if self.ctx.history is not None else {}
        if "control" in self.inputs:
            inputs["control"] = self.inputs.control
        planned = self._function(
            "plan",
            plan_iteration,
            seed=self.inputs.seed,
            stage=self.inputs.sampling if self.ctx.iteration else self.inputs.bootstrap,
            selection=self.inputs.selection,
            stop=self.inputs.stop,
            **inputs,
        )
        self.ctx.plan = planned
        self.ctx.labelling = self.ctx.assessment = self.ctx.training = self.ctx.validation = None
        self._begin_control_iteration()
        self._begin_measuring_iteration()

    def sample(self) -> ToContext:
        """Make a pool of candidates."""
        inputs = stage_inputs(self.inputs, self.ctx.plan["seed"]) | self._with_potential()
        if "frames" in self.inputs:
            inputs["frames"] = self.inputs.frames
        if self.ctx.left:
            inputs["continued"] = self.ctx.left
        process = self._submit(
            "sample",
            SamplingWorkChain,
            structures=self.inputs.structures,
            samplers=namespace(self.ctx.plan, "samplers"),
            labeller=self.inputs.labeller,
            labelling=self.inputs.labelling,
            **inputs,
        )
        return ToContext(sampling=process)

    def select(self) -> ExitCode | ToContext:
        """Select what is worth a label, and draw the probe."""
        if not self.ctx.sampling.is_finished_ok:
            return self._fail("ERROR_SAMPLING_FAILED", self.ctx.sampling)
        if "left" in self.ctx.sampling.outputs:
            self.ctx.left = {**self.ctx.left, **self.ctx.sampling.outputs.left}
        inputs = stage_inputs(self.inputs, self.ctx.plan["seed"]) | self._with_potential()
        if self.ctx.control_batches:
            inputs["control_data_set"] = self.ctx.control_batches
        process = self._submit(
            "select",
            SelectionWorkChain,
            pools=dict(self.ctx.sampling.outputs.pools),
            data_set=self.ctx.batches,
            descriptor=self.ctx.plan["descriptor"],
            parameters=self.ctx.plan["selection"],
            **inputs,
        )
        return ToContext(selection=process)

    def label(self) -> ExitCode | ToContext | None:
        """Label the selected frames."""
        if not self.ctx.selection.is_finished_ok:
            return self._fail("ERROR_SELECTION_FAILED", self.ctx.selection)
        if "selected" not in self.ctx.selection.outputs:
            return None
        process = self._submit(
            "label",
            WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}"),
            configurations=self.ctx.selection.outputs.selected,
            **self.inputs.labelling,
        )
        return ToContext(labelling=process, **self._label_control())

    def learn(self) -> ExitCode | ToContext | None:
        """Assess the potential on what it has not seen, and train the next: side by side, neither needs the other."""
        process = self.ctx.labelling
        if process is None:
            return None
        key = f"batch_{self.ctx.iteration:03d}"
        if "ledger" in process.outputs:
            self.ctx.ledgers[key] = process.outputs.ledger
        if "labelled" in process.outputs:
            self.ctx.batches[key] = process.outputs.labelled
        if not process.is_finished_ok or "labelled" not in process.outputs:
            return self._fail("ERROR_LABELLING_FAILED", process)
        processes = {"training": self._train("train", self.ctx.potential if self._starts_warm() else None)}
        if self.ctx.potential is not None:
            processes["assessment"] = self._observe(
                "assess", {key: process.outputs.labelled}, self._observables("probe", "selected")
            )
        processes |= self._train_control(process.outputs.labelled) | self._reference_trajectory(EACH)
        return ToContext(**processes)

    def validate(self) -> ExitCode | ToContext | None:
        """Measure the new potential on the whole probe, which it has never seen."""
        if self.ctx.training is None:
            return None
        if not self.ctx.training.is_finished_ok:
            return self._fail("ERROR_TRAINING_FAILED", self.ctx.training)
        self.ctx.warm = "start_from" in self.ctx.training.inputs
        self.ctx.potential = self.ctx.training.outputs.potential
        processes = {"validation": self._observe("validate", self.ctx.batches, self._observables("probe"))}
        processes |= self._measure("", EACH, self.ctx.potential)
        return ToContext(**processes, **self._validate_control())

    def record(self) -> ExitCode | None:
        """Write the iteration into the history, and let the stop rules decide."""
        inputs = {"funnel": self.ctx.selection.outputs.funnel}
        if self.ctx.history is not None:
            inputs["history"] = self.ctx.history
        if self.ctx.validation is not None:
            if not self.ctx.validation.is_finished_ok:
                return self._fail("ERROR_VALIDATION_FAILED", self.ctx.validation)
            inputs |= {
                "ledger": self.ctx.labelling.outputs.ledger,
                "batch": self.ctx.labelling.outputs.labelled,
                "potential": self.ctx.potential,
                "training": self.ctx.training.outputs.history,
                "validation": self.ctx.validation.outputs.observations["probe"],
            }
        if self.ctx.assessment is not None and self.ctx.assessment.is_finished_ok:
            for key in ("probe", "selected"):
                inputs[f"assess_{key}"] = self.ctx.assessment.outputs.observations[key]
        inputs |= self._measured_as("measured__") | self._control_record()
        self.ctx.history = self._function("record", record_iteration, **inputs)
        self.ctx.decision = self._function("decide", decide, history=self.ctx.history, stop=self.inputs.stop)
        self.report(f"{self.where}: {self.ctx.decision['reason']}")
        self.ctx.iteration += 1
        return None

    # -- the end --------------------------------------------------------------------------------------------------

    def was_warm_started(self) -> bool:
        """Whether the last potential carries weights from earlier data: then it is retrained before delivery."""
        return bool(self.ctx.warm)

    def train_final(self) -> ToContext:
        """Train the delivered potential from scratch on the whole data set."""
        return ToContext(training=self._train("final_train", None))

    def validate_final(self) -> ExitCode | ToContext:
        """Validate it like every other."""
        if not self.ctx.training.is_finished_ok:
            return self._fail("ERROR_TRAINING_FAILED", self.ctx.training)
        self.ctx.potential = self.ctx.training.outputs.potential
        return ToContext(validation=self._observe("final_validate", self.ctx.batches, self._observables("probe")))

    def results(self) -> None:
        """Attach data set, potential, history and ledger."""
        if self.ctx.batches:
            self.out("data_set", self.ctx.batches)
        if self.ctx.ledgers:
            self.out("ledger", merge_ledgers(**self.ctx.ledgers, metadata={"call_link_label": "ledger"}))
        if self.ctx.potential is not None:
            self.out("potential", self.ctx.potential)
        self._control_results()
        self._measuring_results()
        if self.ctx.history is not None:
            inputs = {"history": self.ctx.history}
            if self.ctx.decision is not None:
                inputs["decision"] = self.ctx.decision
            if self.ctx.potential is not None:
                inputs["potential"] = self.ctx.potential
            if self.ctx.validation is not None and self.ctx.validation.is_finished_ok:
                inputs["validation"] = self.ctx.validation.outputs.observations["probe"]
            if self.ctx.control_verdict is not None:
                inputs["control"] = self.ctx.control_verdict
            inputs |= self.ctx.measured_final
            self.out("history", conclude(**inputs, metadata={"call_link_label": "results"}))
