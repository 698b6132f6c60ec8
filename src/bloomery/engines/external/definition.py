"""The definition of an external engine: what is written, what is run, what is kept, how it is evaluated."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from string import Template
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import DIMENSIONS

BUILT_IN = frozenset({"seed", "device", "threads", "elements", "symbols", "n_elements", "n_train", "folder"})


def _plain(name: str) -> str:
    if not name or PurePosixPath(name).name != name or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a plain file name; files lie in the member's own folder")
    return name


def _regular(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression ({error})") from error
    return text


FileName = Annotated[str, AfterValidator(_plain)]
Pattern = Annotated[str, AfterValidator(_regular)]
Command = Annotated[list[str], Field(min_length=1)]


class Units(Settings):
    """Units in which the external program reads and writes."""

    energy: str = "eV"
    """One of the energies that settings know: eV, meV, Ry, Ha, kJ/mol, kcal/mol, ..."""
    length: str = "Å"
    """One of Å, nm, bohr."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for what in ("energy", "length"):
            known = DIMENSIONS[what]
            if getattr(self, what) not in known:
                raise ValueError(f"{what} {getattr(self, what)!r} is not known; choose one of {', '.join(known)}")
        return self

    @property
    def in_ev(self) -> float:
        """The unit of energy in eV."""
        return DIMENSIONS["energy"][self.energy]

    @property
    def in_angstrom(self) -> float:
        """The unit of length in Å."""
        return DIMENSIONS["length"][self.length]


class LabelKeys(Settings):
    """Names under which labels stand in a data file; a label without a name is not written."""

    energy: str | None = "energy"
    """Total energy, above the energy reference."""
    forces: str | None = "forces"
    """Forces."""
    stress: str | None = None
    """Stress, 3 x 3, positive under tension."""
    virial: str | None = None
    """Virial, 3 x 3: minus stress times volume."""


class DataFormat(Settings):
    """How frames with labels are written for the program."""

    format: Literal["extxyz", "dataframe", "npz"] = "extxyz"
    """``extxyz``; ``dataframe``, a gzipped pickle of pandas with ``ase_atoms`` and columns; ``npz``, plain arrays.

    The latter is what `bloomery.frames.configurations.Configurations.load` reads: names of labels are our own, absent
    ones are masked, and units are eV and Å.
    """
    train: FileName
    """File of the training frames."""
    validation: FileName | None = None
    """File of the early-stopping frames, or of the training frames where there are none."""
    keys: LabelKeys = LabelKeys()
    """Names of the labels."""
    absent: Literal["leave_out", "nan"] = "leave_out"
    """A frame that lacks a label is left out, or the label is NaN."""


class Progress(Settings):
    """How far the program is, from the lines that it writes."""

    file: FileName | None = None
    """The file to look into; by default what the program prints."""
    pattern: Pattern
    """Regular expression with named groups: ``epoch``, and numbers with any other names."""
    epochs: str
    """How many there will be: a number, or a template such as ``${epochs}``."""

    @field_validator("pattern")
    @classmethod
    def _with_epoch(cls, pattern: str) -> str:
        if "epoch" not in re.compile(pattern).groupindex:
            raise ValueError("pattern has no group named epoch, (?P<epoch>...)")
        return pattern


class ErrorRule(Settings):
    """A failure that the program's output tells of."""

    pattern: Pattern
    """Regular expression that is looked for in what the program prints."""
    message: str
    """One sentence for the user: what is wrong and what to do."""
    kind: Literal["bad_input", "diverged", "failed"] = "failed"
    """Whether the input is at fault, the training diverged, or else."""


class Training(Settings):
    """How a member is fitted."""

    data: DataFormat
    """The frames."""
    files: dict[FileName, str] = {}  # noqa: RUF012  pydantic copies defaults
    """Further files to write: name to template."""
    command: Command
    """The program and its arguments, each a template. There is no shell: an argument is passed as it is."""
    warm_command: Command | None = None
    """The same for a training that starts from an earlier potential, whose files lie in the folder ``start``."""
    keep: Annotated[list[FileName], Field(min_length=1)]
    """Files that make the potential."""
    progress: Progress | None = None
    """How to follow it."""
    errors: list[ErrorRule] = []  # noqa: RUF012
    """Failures to tell apart."""


class PredictionFile(Settings):
    """Predictions that the program writes: as many frames as it was given, in their order."""

    file: FileName
    """An extxyz file."""
    energy: str = "energy"
    """Name of the total energy."""
    forces: str = "forces"
    """Name of the forces."""
    stress: str | None = None
    """Name of the stress, six or nine numbers, positive under tension; without it stresses are zero."""


class Evaluation(Settings):
    """How a member is evaluated: by an ASE calculator, or by a program that reads frames and writes predictions."""

    calculator: str | None = None
    """``module:Class`` of an ASE calculator, in eV and Å."""
    arguments: dict[str, object] = {}  # noqa: RUF012
    """Its keyword arguments; texts are templates, ``${folder}`` is where the kept files lie."""
    command: Command | None = None
    """The program and its arguments, run in that folder."""
    input: FileName = "frames.extxyz"
    """File of the frames, extxyz."""
    output: PredictionFile | None = None
    """What it writes."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.calculator is None) == (self.command is None):
            raise ValueError("give either a calculator or a command")
        if self.command is not None and self.output is None:
            raise ValueError("a command needs output: the file that it writes")
        return self


class ExportRule(Settings):
    """A form in which the potential is deployed."""

    about: str
    """What it is, and which codes run it."""
    command: Command | None = None
    """A program that makes the files from those that are kept; without it those are copied."""
    files: Annotated[list[FileName], Field(min_length=1)]
    """The files."""


class Definition(Settings):
    """An external engine."""

    about: str
    """One line: what it fits."""
    package: str | None = None
    """The Python distribution that it needs, if it is one."""
    module: str | None = None
    """What that is imported as."""
    parameters: dict[str, object] = {}  # noqa: RUF012
    """Names that templates use, with their defaults; the engine's ``values`` take their place."""
    cutoff: str
    """Range of an atom's environment in Å: a number, or a template such as ``${cutoff}``."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of the predictions."""
    learns_rotations: bool = False
    """The potential is not invariant under rotation by construction."""
    units: Units = Units()
    """Units of data and predictions; an ASE calculator is in eV and Å whatever is said here."""
    train: Training
    """How a member is fitted: its data, the files that are written, the program that is run."""
    predict: Evaluation
    """How it is evaluated, by a calculator or by a program."""
    exports: dict[str, ExportRule] = {}  # noqa: RUF012
    """Name of a format to how it is made."""

    @model_validator(mode="after")
    def _templates_are_known(self) -> Self:
        taken = BUILT_IN & set(self.parameters)
        if taken:
            raise ValueError(f"parameters must not be named {', '.join(sorted(taken))}: these names are set by us")
        known = BUILT_IN | set(self.parameters)
        for where, text in self._texts():
            template = Template(text)
            if not template.is_valid():
                raise ValueError(f"{where}: has a $ that starts no ${{name}}; write $$ for a dollar sign")
            strange = set(template.get_identifiers()) - known
            if strange:
                raise ValueError(
                    f"{where}: uses ${{{min(strange)}}}, which is neither a parameter nor one of "
                    f"{', '.join(sorted(BUILT_IN))}"
                )
        return self

    def check_package(self) -> None:
        """Raise `InputError` if the package that is named cannot be imported."""
        if self.module and importlib.util.find_spec(self.module) is None:
            package = self.package or self.module
            raise InputError(
                f"engine 'external' needs the package {package} for this definition: install it into the environment "
                f"that runs the training, `pip install {package}`."
            )

    def _texts(self) -> list[tuple[str, str]]:
        """Every template, with its place."""
        train, predict = self.train, self.predict
        commands = {
            "train.command": train.command,
            "train.warm_command": train.warm_command,
            "predict.command": predict.command,
            "predict.arguments": [text for text in predict.arguments.values() if isinstance(text, str)],
        } | {f"exports.{name}.command": rule.command for name, rule in self.exports.items()}
        found = [(where, text) for where, command in commands.items() for text in command or []]
        found += [(f"train.files.{name}", text) for name, text in train.files.items()]
        found.append(("cutoff", self.cutoff))
        if train.progress is not None:
            found.append(("train.progress.epochs", train.progress.epochs))
        return found


def built_in(
    seed: int, device: str, threads: str, elements: list[str], n_train: int, folder: Path
) -> dict[str, object]:
    """Values of the names that are `BUILT_IN`."""
    return {
        "seed": seed,
        "device": device,
        "threads": threads,
        "elements": elements,
        "symbols": " ".join(elements),
        "n_elements": len(elements),
        "n_train": n_train,
        "folder": str(folder),
    }


def fill(text: str, values: Mapping[str, object]) -> str:
    """Fill a template; lists and the like are written as JSON, which YAML reads as well."""
    return Template(text).substitute(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    )


def shipped() -> dict[str, Path]:
    """Definitions that come with this package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def read_definition(given: str) -> Any:
    """Read a shipped definition by its name, or a YAML file by its path; `ValueError` if it is neither."""
    import yaml  # noqa: PLC0415

    path = shipped().get(given, Path(given))
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"definition {given!r} is neither shipped ({', '.join(shipped())}) nor a file that can be read; give the "
            "path of a YAML file, or the definition itself."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not YAML ({' '.join(str(error).split())}).") from error
