"""What all jobs of the program `bloomery` share: ports, job file, job script and exit codes."""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec, PortNamespace
from pydantic import JsonValue, ValidationError

from aiida_bloomery.calculations.earlier import DIED, OUT_OF_TIME, resume_port, take_up
from aiida_bloomery.calculations.job_script import (
    ONE_CORE,
    TIMED_OUT_FILE,
    code_info,
    cores_of,
    guard,
    time_limit,
    warm,
)
from aiida_bloomery.calculations.waiting import PatientCalcJob
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.described import DescribedFolder
from aiida_bloomery.data.ports import optional
from aiida_bloomery.data.potential import PotentialData
from bloomery.errors import BloomeryError
from bloomery.jobs.base import PROGRESS_FILE, RESULT_FILE, SCHEMA_VERSION, Job
from bloomery.jobs.train import REFUSED_FOLDER
from bloomery.plugins import Kind, PluginSpec, describe_validation_error
from bloomery.potentials.scale import Scale

JOB_FILE = "job.json"
OUTPUT_FILE = "bloomery.out"
DEVICES = ("auto", "cpu", "cuda")

_IS_DONE = f"""grep -qs '"status": "finished"' {RESULT_FILE}"""


@dataclass
class JobFiles:
    """What a job finds in its folder: copies of nodes, under paths that its job file names."""

    folder: Folder
    copies: list[tuple[str, str, str]] = field(default_factory=list)

    def configurations(self, node: ConfigurationsData, path: str) -> str:
        """Copy the frames of a node; return the path."""
        self.copies.append((node.uuid, ConfigurationsData.FILENAME, path))
        return path

    def configurations_of(self, nodes: Mapping[str, ConfigurationsData], folder: str) -> dict[str, str]:
        """Copy the frames of each node into a folder; return the paths by key, in the order of the keys."""
        return {key: self.configurations(node, f"{folder}/{key}.npz") for key, node in sorted(nodes.items())}

    def described(self, node: DescribedFolder, path: str) -> str:
        """Copy the folder of a potential, or of a model of a property; return the path."""
        repository = node.base.repository
        for root, _, names in repository.walk():
            self.copies.extend((node.uuid, str(root / name), f"{path}/{root / name}") for name in sorted(names))
        return path


class BloomeryCalculation(PatientCalcJob):
    """A job of the program `bloomery`. Subclasses set the class variables, declare ports, and write `job_fields`."""

    VERB: ClassVar[str]
    PLUGINS: ClassVar[dict[str, Kind]] = {}
    """Keys of `parameters` that hold a plug-in, or a list of them, and its kind."""
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {}
    """Values for the fields of the job file that `parameters` does not hold, for checking it on its own."""
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    """Keys of `parameters` that are not for the job."""
    RESULT_FILES: ClassVar[tuple[str, ...]] = ()
    """Files that the parser turns into nodes, and that are not kept besides."""
    CHECKPOINT: ClassVar[str | None] = None
    """File or folder in which the job writes down how far it has come, if it does."""
    DIED: ClassVar[frozenset[int]] = DIED | {300, 310}
    """Exit statuses of a job that may well succeed when it is tried again."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare what all jobs have."""
        super().define(spec)
        text = "What to do, as in the job file."
        spec.input("parameters", valid_type=orm.Dict, validator=cls.validate_parameters, help=text)
        text = "Seed of every random choice in the job."
        spec.input("seed", valid_type=orm.Int, default=lambda: orm.Int(0), validator=_validate_seed, help=text)
        text = "Where torch runs: `auto` (a GPU where there is one), `cpu` or `cuda`."
        spec.input("device", valid_type=orm.Str, default=lambda: orm.Str("auto"), validator=_validate_device, help=text)
        resume_port(spec)
        options = spec.inputs["metadata"]["options"]
        options["resources"].default = lambda: dict(ONE_CORE)
        options["resources"].required = False
        options["withmpi"].default = False
        options["parser_name"].default = f"bloomery.{cls.VERB}"
        options["input_filename"].default = JOB_FILE
        options["output_filename"].default = OUTPUT_FILE
        spec.inputs.validator = cls.validate_inputs
        _exit_codes(spec)

    @classmethod
    def has_died(cls, node: orm.CalcJobNode) -> bool:
        """Whether a job that failed may well succeed when it is taken up: also one out of time that has come on."""
        return node.exit_status in cls.DIED or (node.exit_status == OUT_OF_TIME and cls.goes_on(node))

    @classmethod
    def goes_on(cls, node: orm.CalcJobNode) -> bool:  # noqa: ARG003
        """Whether a job that takes this one up goes on where it was."""
        return cls.CHECKPOINT is not None

    # -- checks at submission -------------------------------------------------------------------------------------

    @classmethod
    def validate_parameters(cls, node: orm.Dict, _: Any) -> str | None:
        """Check the parameters against the job's own model, and the settings of each plug-in against its own."""
        content = {key: value for key, value in node.get_dict().items() if key not in cls.IGNORED}
        misplaced = sorted(set(content) & (set(Job.model_fields) | set(cls.spec().inputs)))
        if misplaced:
            return f"parameters.{misplaced[0]}: does not belong here; it is an input of its own, or follows from one."
        model: type[Job] = importlib.import_module(f"bloomery.jobs.{cls.VERB}").Model
        try:
            model.model_validate({"verb": cls.VERB, **cls.PLACEHOLDERS, **content})
            for kind, spec in cls._plugins(content):
                spec.load(kind)
        except ValidationError as error:
            return describe_validation_error(error, "parameters", model)
        except BloomeryError as error:
            return f"parameters: {error}"
        return None

    @classmethod
    def validate_inputs(cls, value: Mapping[str, orm.Data], namespace: PortNamespace) -> str | None:
        """Check what concerns several ports at a time."""
        if "parameters" not in value or "parameters" not in namespace:
            return None  # a process that wraps this one fills the ports in later
        return cls.check_inputs(AttributeDict(value))

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:  # noqa: ARG003
        """Return a sentence about ports that do not go together, or ``None``."""
        return None

    @classmethod
    def _plugins(cls, parameters: Mapping[str, Any]) -> Iterator[tuple[Kind, PluginSpec]]:
        """The plug-ins that parameters name, with their kinds."""
        for key, kind in cls.PLUGINS.items():
            values = parameters.get(key, [])
            for value in values if isinstance(values, list) else [values]:
                yield kind, PluginSpec.model_validate(value)

    # -- submission -----------------------------------------------------------------------------------------------

    @abstractmethod
    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Fields of the job file that are particular to the verb; files they name are put into ``files``."""

    def potential_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Fields of a potential and of what is known of its errors, where these are given."""
        fields: dict[str, JsonValue] = {}
        if "potential" in self.inputs:
            fields["potential"] = files.described(self.inputs.potential, "potential")
        if "scale" in self.inputs:
            fields["scale"] = self.inputs.scale.get_dict()
        return fields

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the job file."""
        files = JobFiles(folder)
        cores = cores_of(self.node.get_option("resources"))
        job = {
            "schema_version": SCHEMA_VERSION,
            "verb": self.VERB,
            "seed": self.inputs.seed.value,
            "device": self.inputs.device.value,
            **self.job_fields(files),
        }
        with folder.open(JOB_FILE, "w", encoding="utf-8") as handle:
            json.dump(job, handle, indent=1)
        before, after = self._time_limit()
        info = CalcInfo()
        info.codes_info = [code_info(self.inputs.code, [self.VERB, JOB_FILE], OUTPUT_FILE)]
        left = [*self.RESULT_FILES, *([self.CHECKPOINT] if self.CHECKPOINT else []), RESULT_FILE]
        earlier = take_up(self.inputs, self.node.computer, left)
        once = guard(self.node.computer, cores, earlier=earlier, done=_IS_DONE)
        lines = [once, f"export OMP_NUM_THREADS={cores}", warm(self.node.computer), before]
        info.prepend_text = "\n".join(filter(None, lines))
        info.append_text = after
        info.local_copy_list = files.copies
        info.retrieve_list = [RESULT_FILE, OUTPUT_FILE, PROGRESS_FILE, TIMED_OUT_FILE, REFUSED_FOLDER]
        info.retrieve_temporary_list = list(self.RESULT_FILES)
        return info

    def _time_limit(self) -> tuple[str, str]:
        """Lines that end the job after its wall time, where the scheduler does not."""
        seconds = self.node.get_option("max_wallclock_seconds")
        if not seconds or self.node.computer.scheduler_type != "core.direct":
            return "", ""
        return time_limit(seconds)

    def _build_process_label(self) -> str:
        """Name the plug-in beside the class in `verdi process list`."""
        names = [spec.name for _, spec in self._plugins(self.inputs.parameters.get_dict())]
        return f"{type(self).__name__}({', '.join(names)})" if names else type(self).__name__


def scale_port(spec: CalcJobProcessSpec) -> None:
    """Declare the optional port `scale` of a job that goes by the errors of a potential."""
    text = (
        "`{error, factor}`: force RMSE of the potential on the probe in eV/Å, and calibration factor of the "
        "disagreement of its forces."
    )
    optional(spec, "scale", orm.Dict, text, validator=_validate_scale)


def split_port(spec: CalcJobProcessSpec, port: str) -> None:
    """Declare the optional port `split` of a job that goes by the roles of frames."""
    text = f"`{{key: [role, ...]}}`: role of each frame of the nodes in `{port}`, in the place of those they hold."
    optional(spec, "split", orm.Dict, text)


def check_split(inputs: AttributeDict, port: str) -> str | None:
    """Return a sentence if a split is not of the frames that it is given for, or ``None``."""
    if "split" not in inputs:
        return None
    split = inputs["split"].get_dict()
    for key, node in inputs[port].items():
        if len(split.get(key, ())) != len(node):
            return f"split: gives {len(split.get(key, ()))} roles for {port}.{key}, which has {len(node)} frames."
    return None


def unknown_elements(potential: PotentialData, configurations: ConfigurationsData, port: str) -> str | None:
    """Return a sentence if a port holds elements that a potential does not know, or ``None``."""
    unknown = ", ".join(element for element in configurations.elements if element not in potential.elements)
    known = f"which the potential does not know (it knows {', '.join(potential.elements)})"
    return f"{port}: holds {unknown}, {known}; train on frames with them first." if unknown else None


def _validate_scale(node: orm.Dict, _: Any) -> str | None:
    """Return a sentence if what is said of a potential's errors cannot be, or ``None``."""
    try:
        Scale.model_validate(node.get_dict())
    except ValidationError as error:
        return describe_validation_error(error, "scale", Scale)
    return None


def _validate_seed(node: orm.Int, _: Any) -> str | None:
    return f"seed: must not be negative, got {node.value}." if node.value < 0 else None


def _validate_device(node: orm.Str, _: Any) -> str | None:
    return None if node.value in DEVICES else f"device: {node.value!r} is none of {', '.join(DEVICES)}."


def _exit_codes(spec: CalcJobProcessSpec) -> None:
    """Declare the exit codes; the parser fills the messages in from the job's result file."""
    missing = (
        "The job left no result: it was killed or never started. {message} Look at `verdi calcjob outputcat` and at "
        "the scheduler's error output, then run it again."
    )
    memory = "Out of memory: {message} Use smaller batches or fewer frames, or a device with more memory."
    time = "The job was ended after its wall time of {seconds} s: raise `max_wallclock_seconds`, or ask for less."
    # What the machine may have been to blame for is not taken from the cache.
    for status, label, invalidates_cache, message in (
        (200, "ERROR_BAD_INPUT", False, "The input cannot be used: {message}"),
        (300, "ERROR_RESULT_MISSING", True, missing),
        (301, "ERROR_RESULT_UNREADABLE", True, "The job's result cannot be used: {message}"),
        (310, "ERROR_NO_SPACE", True, "The disk was full: {message} Make room where the job runs, then run it again."),
        (400, "ERROR_JOB_FAILED", True, "The job failed: {message}"),
        (410, "ERROR_DIVERGED", False, "A number left its bounds: {message}"),
        (420, "ERROR_OUT_OF_MEMORY", True, memory),
        (OUT_OF_TIME, "ERROR_OUT_OF_WALLTIME", True, time),
        (440, "ERROR_POTENTIAL_REFUSED", False, "The physics is wrong: {message}"),
    ):
        spec.exit_code(status, label, message, invalidates_cache=invalidates_cache)
