"""What a foundation is: a model that others trained on many materials, with weights from a package or a file.

Weights are read by the package that they belong to. Most are pickles, which can run code when they are read: so they
come from the wheel of the package that the plug-in names, or from a file that the user names, and from nowhere else;
nothing is downloaded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from bloomery.devices import choose_device
from bloomery.errors import BloomeryError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PackagedPlugin, PluginSpec, Settings
from bloomery.seeds import digest_of_file
from bloomery.versions import package_versions

MODEL = "model"
"""The setting that names weights, as in janus-core."""


class FoundationSettings(Settings):
    """Settings that foundations on torch share; the names are those of janus-core."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes: ``auto`` takes a GPU where there is one. A campaign fills its own device in."""
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 that the file of the weights must have when it is read; a campaign fills in that of the file here."""


class FoundationSpec(PluginSpec):
    """A foundation by name, with its settings.

    Short forms are accepted: ``sevennet``, ``sevennet: {model: 7net-l3i5}``, and as in janus-core ``{arch: sevennet,
    model: 7net-l3i5, device: cpu}``.
    """

    @model_validator(mode="before")
    @classmethod
    def _as_in_janus(cls, value: Any) -> Any:
        if isinstance(value, dict) and "arch" in value:
            return {"name": value["arch"], "settings": {key: item for key, item in value.items() if key != "arch"}}
        return value

    @model_validator(mode="after")
    def _is_one(self) -> FoundationSpec:
        try:
            self.load("foundations")
        except BloomeryError as error:
            raise ValueError(str(error)) from error
        return self

    def foundation(self) -> Foundation:
        """Make the foundation; its weights are not read yet."""
        made: Foundation = self.load("foundations")
        return made


@dataclass(frozen=True)
class Facts:
    """What is known of a foundation once its weights have been read."""

    name: str
    model: str
    """What the user calls the weights."""
    functional: str
    """Of the labels that it learned; empty where nobody says."""
    elements: list[str] | None
    """Elements that it covers; ``None`` where the model does not say."""
    weights: str
    """File of the weights; empty where there is none."""
    digest: str
    """SHA-256 of that file."""
    precision: str
    device: str
    versions: dict[str, str]
    """Of its package."""

    @property
    def words(self) -> str:
        """All in one line."""
        package = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        said = [
            f"{self.model} of {package}" if package else self.model,
            f"learned {self.functional}" if self.functional else "of no stated functional",
            "elements not stated" if self.elements is None else f"{len(self.elements)} elements",
            f"weights {self.digest[:12]}" if self.digest else "",
            " on ".join(part for part in (self.precision, self.device) if part),
        ]
        return "; ".join(part for part in said if part)


class Foundation(PackagedPlugin):
    """A universal model. It needs its package for what it computes, and none for what it says of itself."""

    role = "foundation"
    tunes_quickly: ClassVar[bool] = False
    """`tuning` takes minutes on one core, for some tens of small frames."""
    environment: ClassVar[str] = ""
    """The engine in whose environment its package is; by default it has an environment of its own."""

    @property
    def model(self) -> str:
        """What the user calls the weights."""
        return str(getattr(self.settings, MODEL))

    @property
    def functional(self) -> str:
        """Functional of the labels that it learned, such as ``PBE``: what the user says; empty where nobody does."""
        return str(getattr(self.settings, "functional", ""))

    def functional_for(self, elements: Iterable[str]) -> str:  # noqa: ARG002
        """Functional of its labels for materials of these elements, where that depends on them."""
        return self.functional

    @property
    def precision(self) -> str:
        """In which it computes: ``float32``, ``float64``, or as its class does (empty)."""
        return "float32"

    @property
    def tuning(self) -> PluginSpec | None:
        """The engine that tunes its weights to labels, with settings that say which; ``None`` if there is none."""
        return None

    @property
    def covers(self) -> list[str] | None:
        """Elements that it covers, as far as that is known without reading weights; ``None`` if it is not."""
        return None

    @property
    def paths(self) -> dict[str, str]:
        """Files of the user's by setting, as that names them; none where weights come with the package."""
        return {MODEL: self.model}

    def is_weights(self, path: Path) -> bool:
        """Whether a path can be that of the weights: a file, or a folder where that is what they are."""
        return path.is_file()

    def lacks(self, given: str) -> str:
        """Say that one of these is not there."""
        return f"there is no file {given!r}; correct its path."

    def check_class(self) -> None:
        """Raise `InputError` if what it is made of cannot be there; a package that is missing here is no such thing."""

    @property
    def device(self) -> str:
        """Where it computes."""
        return choose_device(str(getattr(self.settings, "device", "auto")))

    @property
    def distributions(self) -> tuple[str, ...]:
        """The distributions whose versions have a say in what it computes."""
        return (self.package,) if self.package else ()

    def weights(self) -> Path | None:
        """File of the weights, here; ``None`` if there is none. `InputError` if it is not there."""
        if MODEL not in self.paths:
            return None
        path = Path(self.paths[MODEL])
        if not self.is_weights(path):
            raise InputError(f"{self.name}.{MODEL}: {self.lacks(self.model)}")
        return path

    @abstractmethod
    def open(self, path: Path | None) -> Any:
        """Read the weights, by the package that they belong to; return an ASE calculator on `device`."""

    def elements_of(self, calculator: Any) -> list[str] | None:  # noqa: ARG002
        """Elements that the model covers, by what was read; ``None`` where it does not say."""
        return self.covers

    def calculator(self) -> Any:
        """Make an ASE calculator.

        Raises
        ------
        InputError
            If package, file or device are not there, or the file is another one, or not such a model.
        """
        return self.read()[0]

    def calculator_for(self, made: Any, state: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Return the calculator for a frame in a state; what was ``made``, where the model knows no states."""
        return made

    def read(self) -> tuple[Any, Facts]:
        """Make an ASE calculator, and say what is known of it; see `calculator`."""
        self.require()
        path, device = self.weights(), self.device
        digest = self.checked_digest(path)
        try:
            made = self.open(path)
        except BloomeryError:
            raise
        except Exception as error:
            said = next(iter(str(error).splitlines()), "")
            raise InputError(
                f"{self.name}.{MODEL}: {self.model} cannot be read by {self.package or 'its class'} "
                f"({type(error).__name__}: {said}); give a model of it."
            ) from error
        facts = Facts(
            name=self.name,
            model=self.model,
            functional=self.functional,
            elements=self.elements_of(made),
            weights="" if path is None else str(path),
            digest=digest,
            precision=self.precision,
            device=device,
            versions=package_versions(*self.distributions),
        )
        return made, facts

    def refuse(self, elements: Iterable[str], known: Iterable[str] | None) -> None:
        """Raise `InputError` if not all elements are among those that it covers."""
        strange = sorted({*elements} - {*known}) if known is not None else []
        if strange:
            raise InputError(
                f"foundation {self.name!r} ({self.model}) does not cover {', '.join(strange)}; name another one."
            )

    def check_frames(self, frames: Configurations, where: str = "") -> None:
        """Raise `InputError` for the first frame that it would take for another one."""

    def checked_digest(self, path: Path | None) -> str:
        """SHA-256 of the file of the weights; `InputError` if it is another file than the settings say."""
        if path is None:
            return ""
        found = digest_of_file(path)
        wanted = getattr(self.settings, "digest", "")
        if wanted and found != wanted:
            raise InputError(
                f"{self.name}.{MODEL}: {path} is another file than when it was named (SHA-256 {found[:12]}… and not "
                f"{wanted[:12]}…); put the former back, or begin anew."
            )
        return found
