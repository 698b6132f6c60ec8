"""What a campaign file may say, key by key. The schema for editors is made from these models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bloomery.campaign.agreement import ObservableTarget
from bloomery.campaign.plateau import Plateau
from bloomery.campaign.properties import LearnedProperty, PropertyTargets
from bloomery.campaign.schedules import SamplerSpec
from bloomery.campaign.stages import EnergyReference
from bloomery.campaign.starts import StartName
from bloomery.campaign.targets import TARGETS, ErrorLimits
from bloomery.errors import InputError
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.file_units import FileUnits
from bloomery.frames.labels import PROPERTIES
from bloomery.frames.states import STATES
from bloomery.frames.suspects import SuspectSettings
from bloomery.plugins import Kind, PluginSpec, Settings, declares
from bloomery.properties.laws import PropertyName
from bloomery.quantities import Unit

Protocol = Literal["fast", "balanced", "stringent"]
Device = Literal["auto", "cpu", "cuda"]

JOBS = ("sample", "describe", "select", "label", "train", "observe")
"""What `bloomery` jobs do: for each, a code entry may say how it runs."""

SANE_TARGETS = {"energy": (0.01, 1000.0), "forces": (0.1, 10000.0), "stress": (1e-4, 100.0)}
"""Smallest and largest target that can be meant, in the units of `bloomery.campaign.targets.TARGETS`: potentials are
not better than labels, and worse is of no use."""

USE = "use"
"""Key of the name of the labeller that labels, where there are several."""

LEAST_MEMORY = 1024
"""kB. Who asks for less has left out the unit."""


@dataclass(frozen=True)
class OfKind:
    """Annotation of a plug-in's place in the file: which kind belongs there."""

    kind: Kind


Sampler = Annotated[SamplerSpec, OfKind("samplers")]
Selector = Annotated[PluginSpec, OfKind("selectors")]
Descriptor = Annotated[PluginSpec, OfKind("descriptors")]
Engine = Annotated[PluginSpec, OfKind("engines")]
Observable = Annotated[PluginSpec, OfKind("observables")]
Foundation = Annotated[FoundationSpec, OfKind("foundations")]
Positive = Annotated[int, Field(ge=1)]


def _pk_is_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


NodeName = Annotated[str, BeforeValidator(_pk_is_text)]
"""What names a node, or a folder in its place; a PK may stand as a number."""


def _in_a_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


OneOrMore = BeforeValidator(_in_a_list)
"""Annotation of a list: one item need not be in one."""


class ShortForm(Settings):
    """Settings that a plain value may stand for: that of the key ``short``, if it is of one of its types."""

    short: ClassVar[tuple[str, type]]

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        key, kind = cls.short
        return {key: value} if isinstance(value, kind) and not isinstance(value, bool) else value


class PartOfFile(ShortForm):
    """Some frames of a file. A file name alone is a short form."""

    short = ("file", str)

    index: str = Field(default=":", json_schema_extra={"type": ["string", "integer"]})
    """Which frames of the file, as a Python index or slice; by default all."""

    @field_validator("index", mode="before")
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("index")
    @classmethod
    def _is_index(cls, value: str) -> str:
        parts = value.split(":")
        try:
            numbers = [int(part or 1) for part in parts]
        except ValueError:
            numbers = []
        if not 1 <= len(numbers) <= 3 or not all(numbers[2:]):
            raise ValueError("should be an index or a slice of frames, such as 0, '10:20' or '::5'")
        return value


class Structures(PartOfFile):
    """Starting structures from one file. A file name alone is a short form."""

    file: str
    """File of any format that ASE reads (extxyz, POSCAR, CIF, ...), relative to the campaign file."""
    supercell: tuple[Positive, Positive, Positive] = (1, 1, 1)
    """Repeats along the cell vectors."""


class Data(PartOfFile):
    """Labelled frames that exist already: of a file, of a campaign, or of a campaign in an archive.

    A file name alone is a short form.
    """

    file: str | None = None
    """File with labelled frames, of any format that `bloomery convert` reads, relative to the campaign file."""
    campaign: NodeName | None = None
    """Name, PK or UUID of a campaign that has ended: its data set, with the roles that its frames have. Of an archive
    that holds several, the name or UUID of one."""
    archive: str | None = None
    """File that `aiida-bloomery archive` wrote, relative to the campaign file: the campaign in it is imported."""
    units: str | None = None
    """Length and energy of a file of n2p2 or LAMMPS that does not say its units, such as ``Å,eV``."""
    elements: list[str] = Field(default=[])
    """Elements of the types of a file that only numbers them."""
    prefix: str | None = None
    """What stands before the names of labels, such as ``EMT_`` of ``EMT_energy``."""
    without: list[str] = Field(default=[])
    """States of frames that are left out, such as ``initial_magmoms``."""
    require: list[Literal["energy", "forces", "stress"]] = Field(default=["energy", "forces"], min_length=1)
    """Labels that every frame of a file must have."""
    block_frames: int = Field(default=1, ge=1)
    """So many frames of a file in a row are correlated, as those of a trajectory are, and get one role together."""
    method: str = ""
    """Which method labelled the frames, in words, for the report."""
    same_method: bool = False
    """Whether you know that it is the method that labels."""
    relabel: bool = False
    """Whether the method that labels labels all of them again; what labels they have is not used."""
    trusted: bool = False
    """Whether labels that seem wrong are learnt from too; by default they are kept out, as `suspects` says."""

    @field_validator("units")
    @classmethod
    def _units_are_known(cls, value: str | None) -> str | None:
        try:
            return None if value is None else str(FileUnits.parse(value))
        except InputError as error:
            raise ValueError(str(error).rstrip(".")) from error

    @field_validator("without")
    @classmethod
    def _states_are_known(cls, value: list[str]) -> list[str]:
        if strange := next((name for name in value if name not in STATES), None):
            raise ValueError(f"{strange!r} is no state of a frame; choose of {', '.join(STATES)}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.file is None) == (self.campaign is None and self.archive is None):
            raise ValueError("is either a file with labelled frames or a campaign or an archive; give one of them")
        own = sorted(self.model_fields_set - {"campaign", "archive", "method", "same_method", "relabel", "trusted"})
        if self.file is None and own:
            raise ValueError(f"{own[0]} is about files; leave it out, since a campaign's frames are known")
        told = sorted(self.model_fields_set & {"method", "require", "same_method"})
        if self.relabel and told:
            raise ValueError(f"{told[0]} is about labels that are used, and relabel leaves them out; remove one")
        return self

    @property
    def how(self) -> dict[str, Any]:
        """How its file is read, as `Configurations.read` takes it."""
        units = None if self.units is None else FileUnits.parse(self.units)
        how = {"units": units, "elements": tuple(self.elements), "prefix": self.prefix, "without": tuple(self.without)}
        return {name: value for name, value in how.items() if value}

    @property
    def name(self) -> str:
        """What texts call it: the file with its index, or the campaign, or the archive."""
        if self.file is not None:
            return self.file if self.index == ":" else f"{self.file}@{self.index}"
        named = "" if self.campaign is None else f"campaign {self.campaign}"
        where = "" if self.archive is None else f"archive {self.archive}"
        return " of ".join(part for part in (named, where) if part)


class Starting(Settings):
    """Where potentials start, if a foundation is named: from scratch, or another start that is better on the probe.

    ``auto``, ``scratch``, or the starts that are compared are a short form.
    """

    compare: list[Literal["auto", StartName]] = Field(default=["auto"], min_length=1)
    """Starts that are compared with scratch: ``baseline`` (the foundation is taken off the labels and added again),
    ``tuned`` (its weights are fitted to the labels), ``student`` (weights that were trained on its labels) and
    ``zero_shot`` (the foundation alone). ``auto``: all that are possible and quick; ``scratch``: none."""
    student_frames: int = Field(default=80, ge=8)
    """So many frames of the bootstrap's pools are labelled by the foundation for the student."""
    comparisons: int = Field(default=3, ge=1)
    """In so many iterations at most starts are compared that cannot be told from scratch; then scratch it is."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"compare": _in_a_list(value)} if isinstance(value, str | list) else value


class Bootstrap(Settings):
    """Iteration 0: frames for a first potential, made without one."""

    samplers: list[Sampler] | None = Field(default=None, min_length=1)
    """What makes the pool; by default the samplers of the protocol."""
    selection: list[Selector] | None = None
    """Selectors applied in turn; by default those of the protocol."""


class Iterations(ShortForm):
    """Bounds on the number of turns of the loop, after the bootstrap. One number is the upper bound."""

    short = ("max", int)

    min: int | None = Field(default=None, ge=0)
    """Targets do not end the campaign before so many."""
    max: int | None = Field(default=None, ge=0)
    """The campaign ends after so many."""

    @model_validator(mode="after")
    def _ordered(self) -> Iterations:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}; give a max of at least {self.min}")
        return self


class Stop(ErrorLimits):
    """When the campaign is done.

    An RMSE is a target: it is reached when the upper confidence bound of the probe's error is below.
    """

    observables: dict[str, ObservableTarget] = Field(default={})
    """Targets for observables that are measured in each iteration: how near a number must come to the reference, such
    as ``equation_of_state.a: 0.01 Å``, ``elastic.C11: 5 %``, or ``agree`` within the statistical error."""
    properties: PropertyTargets = Field(default={})
    """Targets for properties that are learnt, on the probe: ``5 %`` of what labels scatter, or an RMSE with its unit.
    They may stand beside the others: ``dipole: 5 %``."""
    labels: int | None = Field(default=None, ge=1)
    """The campaign ends when so many labels are spent; those of a control arm count."""
    core_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """No further iteration begins once the campaign's jobs took so many core-hours: their wall time, times the cores
    that they ask for."""
    gpu_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """GPU-hours likewise, by the GPUs that jobs ask their scheduler for."""
    iterations: Iterations | None = None
    """Bounds on the number of turns of the loop."""
    consecutive: int | None = Field(default=None, ge=1)
    """Targets must be reached in so many iterations running."""
    probe_frames: int | None = Field(default=None, ge=2)
    """Targets and plateau wait until the probe holds so many frames."""
    plateau: Plateau | None = None
    """When more labels are no longer worth their price, by what the learning curve promises of the next batch."""

    @model_validator(mode="before")
    @classmethod
    def _properties_beside(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        beside = {name: value[name] for name in PROPERTIES if name in value}
        inside = value.get("properties", {})
        if not beside or not isinstance(inside, dict):
            return value
        rest = {key: given for key, given in value.items() if key not in beside}
        return {**rest, "properties": {**inside, **beside}}

    @field_validator(*SANE_TARGETS)
    @classmethod
    def _sane(cls, value: float | None, info: ValidationInfo) -> float | None:
        name = str(info.field_name)
        (low, high), unit = SANE_TARGETS[name], TARGETS[name].unit
        if value is not None and not low <= value <= high:
            raise ValueError(f"{value:g} {unit} is beyond any use; give a target between {low:g} and {high:g} {unit}")
        return value


class Code(ShortForm):
    """How one program runs: where, and with which resources. The label alone is a short form."""

    short = ("code", str)

    code: str | None = None
    """Label of the AiiDA code, such as ``pw@cluster``; by default the one on this machine."""
    cores: int = Field(default=1, ge=1)
    """Cores of one process: MPI ranks for ``pw``, threads for ``bloomery``."""
    parallel: int | None = Field(default=None, ge=1)
    """How many frames are labelled at a time within one job, which asks for ``cores`` times this; by default what a
    machine without a queue has room for, elsewhere one."""
    nodes: int = Field(default=1, ge=1)
    """Machines of one job."""
    resources: dict[str, int | str] = Field(default={})
    """What a scheduler is asked for that does not count machines and processes, in AiiDA's words, in the place of
    ``cores``, ``nodes`` and ``parallel``: ``{num_cpus: 8, memory_mb: 4000}`` of HyperQueue, or
    ``{parallel_env: mpi, tot_num_mpiprocs: 8}`` of Grid Engine. With MPI say ``mpi: true`` too."""
    walltime: Annotated[int, Unit("s"), Field(ge=60)] | None = None
    """Longest time of one job, in s (``1 h``, ``00:30:00``)."""
    queue: str | None = None
    """Queue or partition of the scheduler."""
    account: str | None = None
    """Account that the scheduler charges."""
    qos: str | None = None
    """Quality of service of the scheduler."""
    memory: Annotated[int, Unit("kB")] | None = None
    """Memory of one job per machine, in kB (``4 GB``)."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of one job, on each of its machines; the request is written for the computer's scheduler."""
    mpi: bool | None = None
    """Whether the program is started through MPI; by default where it uses more than one core and is ``pw``."""
    commands: list[str] = Field(default=[])
    """Further lines for the head of the job script, such as ``#SBATCH --constraint=v100``."""
    prepend: list[str] = Field(default=[])
    """Shell lines that run before the program, such as ``module load QuantumESPRESSO``."""

    @field_validator("memory")
    @classmethod
    def _enough(cls, value: int | None) -> int | None:
        if value is not None and value < LEAST_MEMORY:
            raise ValueError(f"is {value} kB, in which no program runs; give a number with its unit, such as '4 GB'")
        return value

    @model_validator(mode="after")
    def _counted_once(self) -> Self:
        twice = [name for name in ("cores", "nodes", "parallel") if self.resources and name in self.model_fields_set]
        if twice:
            raise ValueError(f"resources say what {twice[0]} would say; remove one of them")
        return self


class Codes(Settings):
    """How the programs run, by program and, for the program `bloomery`, by what its job does.

    The name of an engine, such as `mace`, is a key too: its program runs every job that trains or loads a potential. So
    is the name of a foundation, such as `sevennet`, and the program of a labeller, such as `pw`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Code] = Field(init=False)

    bloomery: Code = Code()
    """Every job of the program `bloomery`."""
    sample: Code | None = None
    """Sampling jobs, where they run in another way than other jobs; likewise the following."""
    describe: Code | None = None
    """Jobs that compute descriptors."""
    select: Code | None = None
    """Selection jobs."""
    label: Code | None = None
    """Jobs of labellers that run in `bloomery`, such as `calculator` and `lookup`."""
    train: Code | None = None
    """Training jobs; may name another code, such as one on a GPU machine."""
    observe: Code | None = None
    """Validation jobs."""

    def entry(self, key: str) -> Code | None:
        """What stands under a key."""
        return self.__dict__.get(key) or self.__pydantic_extra__.get(key)


class Control(Settings):
    """A control arm: in each iteration as many labels go to frames that another selection takes from the same pools."""

    arm: Annotated[list[Selector] | None, OneOrMore] = Field(default=None, min_length=1)
    """The other selection: a selector, or several applied in turn; by default `random`. It takes as many frames as the
    campaign's selection, so the number need not be said."""
    trainings: int | None = Field(default=None, ge=1, le=20)
    """Trainings of each arm, from as many seeds, that the final comparison rests on; by default three."""


class Validation(ShortForm):
    """What is measured besides errors on the probe. A list is a short form: observables of the delivered potential."""

    short = ("final", list)

    final: list[Observable] = Field(default=[])
    """Observables of the potential that is delivered, each beside the reference method; those of each iteration are
    among them."""
    each_iteration: list[Observable] = Field(default=[])
    """Observables of the potential of each iteration, which stop rules may ask about."""
    structures: Annotated[list[Structures], OneOrMore] = Field(default=[])
    """What observables are measured on; by default the starting structures."""
    reference_trajectory: str | Annotated[PluginSpec, OfKind("samplers")] | None = None
    """Frames of a trajectory of the reference method, which observables of trajectories are compared with: a file
    (extxyz), or the sampler `reference_md` with its settings, which the campaign runs once."""
    test_set: str | None = None
    """Labelled frames (extxyz) on which every potential is measured, and nothing is trained."""

    @field_validator("reference_trajectory", mode="before")
    @classmethod
    def _sampler_alone(cls, value: Any) -> Any:
        alone = isinstance(value, str) and declares("samplers", value, "driven_by_labeller")
        return {value: {}} if alone else value


def _labellers(given: dict[Any, Any]) -> dict[str, dict[str, object]]:
    """Check labellers under names of their own; return each with its settings."""
    found: dict[str, dict[str, object]] = {}
    for name, value in given.items():
        if name == USE:
            continue
        one = {value: {}} if isinstance(value, str) else value
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"{name} is no name for a labeller; use letters, digits and underscores")
        if not isinstance(one, dict) or len(one) != 1 or not all(isinstance(key, str) for key in one):
            raise ValueError(f"{name} is one labeller with its settings, such as {name}: {{quantumespresso: {{...}}}}")
        if not all(isinstance(settings, dict | None) for settings in one.values()):
            raise ValueError(f"{name} has no settings of its labeller; give keys and values below the labeller's name")
        found[name] = one
    if not isinstance(given[USE], str) or given[USE] not in found:
        raise ValueError(f"use says {given[USE]}, and the labellers are {', '.join(found) or 'none'}; choose one")
    return found


class CampaignFile(Settings):
    """A reinforcement campaign: what it starts from, how it samples, selects, labels and trains, and when it ends."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the campaign: of its process, and of the folder with its results."""
    description: str = ""
    """What it is for, in your words."""
    structures: Annotated[list[Structures], OneOrMore] = Field(min_length=1)
    """Where sampling starts."""
    data: Annotated[list[Data], OneOrMore] = Field(default=[])
    """Labelled frames that exist already: with them a first potential needs no bootstrap, and no label is bought."""
    check_labels: int = Field(default=5, ge=0)
    """So many frames of each of these files are labelled again, to see that labels are of the same method; 0: none."""
    potential: NodeName | None = None
    """Drives the first sampling, where the file has no samplers under ``bootstrap`` by those of ``sampling``: a folder
    that `bloomery train` or an export wrote, or PK or UUID of a potential. Nothing is trained from its weights."""
    protocol: Protocol = "balanced"
    """Defaults for all that is not said here."""
    seed: int = Field(default=1, ge=0, lt=2**31)
    """Of every random choice."""
    device: Device = "auto"
    """Where training and dynamics run: ``auto`` takes a GPU where there is one."""
    foundation: Foundation | None = None
    """A universal model from elsewhere, which drives the sampler `foundation_md`: ``sevennet``, ``chgnet: {...}``, or
    as in janus-core ``{arch: mace, model: mp.model}``."""
    bootstrap: Bootstrap | None = None
    """Iteration 0."""
    sampling: list[Sampler] | None = Field(default=None, min_length=1)
    """Samplers of the loop, driven by the potential."""
    selection: list[Selector] | None = Field(default=None, min_length=1)
    """Selectors of the loop, applied in turn."""
    descriptor: Descriptor | None = None
    """What selectors measure distances in."""
    roles: dict[str, object] = Field(default={})
    """Shares of the frames' roles: probe, train, early stopping, calibration."""
    labelling: dict[str, Any] = Field(min_length=1)
    """The labeller and its settings: ``quantumespresso``, ``calculator``, ``lookup``, or another that is installed. Of
    several, each stands under a name of its own, and ``use`` says which of them labels; others drive samplers."""
    training: Engine | None = None
    """The engine and its settings."""
    start: Starting | None = None
    """Where potentials start; by default ``auto`` where a ``foundation`` is named."""
    warm_start: bool | None = None
    """Whether a training starts from the weights of the one before; what is delivered is trained from scratch."""
    acceptance: dict[str, object] = Field(default={})
    """Bounds of the physics check that a potential passes before it may drive anything."""
    suspects: SuspectSettings | None = None
    """When a label that was computed is kept out of training until somebody has looked at it."""
    energy_reference: EnergyReference | None = None
    """Energies of single atoms: ``fit``, ``isolated_atoms``, or values by element."""
    properties: dict[PropertyName, LearnedProperty] = Field(default={})
    """Properties beyond the energy that are labelled and learnt: ``[dipole, polarizability]``, or each with what learns
    it. Models are measured on the probe, and spectra go by them."""
    control: Control | None = None
    """Whether the selection helps: a second potential learns from another one, with as many labels."""
    validation: Validation | None = None
    """What is measured besides errors on the probe: observables beside the reference method, an independent set."""
    stop: Stop = Stop()
    """When the campaign is done."""
    pipeline: bool = False
    """Whether stages overlap: while a batch is labelled the potential is trained, and the next pool is sampled and
    selected with the newest that there is, one iteration older than otherwise. For labels that take long."""
    codes: Codes = Codes()
    """How the programs run."""

    @field_validator("properties", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return dict.fromkeys(_in_a_list(value)) if isinstance(value, str | list) else value

    @field_validator("labelling", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, dict) and USE in value:
            return {USE: value[USE], **_labellers(value)}
        if isinstance(value, dict) and len(value) > 1:
            raise ValueError(
                f"holds {', '.join(map(str, value))}; keep one of them, or give each a name and say which one labels: "
                "{use: fine, fine: {quantumespresso: {...}}, coarse: {...}}"
            )
        if isinstance(value, dict) and not all(isinstance(settings, dict | None) for settings in value.values()):
            raise ValueError("has no settings of the labeller; give keys and values below its name")
        return value

    @property
    def labellings(self) -> dict[str, dict[str, dict[str, object] | None]]:
        """Labellers with their settings, by the names that the file gives them; one alone needs none."""
        return {name: given for name, given in self.labelling.items() if name != USE} if USE in self.labelling else {}

    @property
    def labeller(self) -> str:
        """Name of the labeller that labels."""
        return str(next(iter(self._used)))

    @property
    def labeller_settings(self) -> dict[str, object]:
        """Settings of the labeller that labels, as they stand in the file."""
        return self._used[self.labeller] or {}

    @property
    def _used(self) -> dict[str, dict[str, object] | None]:
        return self.labellings[self.labelling[USE]] if USE in self.labelling else self.labelling

    @property
    def labeller_place(self) -> tuple[str, ...]:
        """Keys under which the settings of the labeller that labels stand."""
        return ("labelling", *([self.labelling[USE]] if USE in self.labelling else []), self.labeller)

    def with_labeller_settings(self, settings: dict[str, object]) -> CampaignFile:
        """Return the same campaign with other settings of the labeller that labels."""
        used = {self.labeller: settings}
        labelling = {**self.labelling, self.labelling[USE]: used} if USE in self.labelling else used
        return self.model_copy(update={"labelling": labelling})

    def labelled_by(self, name: str) -> CampaignFile:
        """Return the same campaign where another of its labellers labels; `InputError` if there is none of the name."""
        if name not in self.labellings:
            known = f"the labellers are {', '.join(self.labellings)}" if self.labellings else "the file names none"
            raise InputError(f"there is no labeller {name!r}; {known}.")
        return self.model_copy(update={"labelling": {**self.labelling, USE: name}})
