"""Finding plug-ins by name, and the settings that every plug-in has."""

from __future__ import annotations

import difflib
import importlib.util
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, model_validator

from bloomery.errors import InputError
from bloomery.papers import Paper

Kind = Literal[
    "descriptors", "engines", "samplers", "selectors", "labellers", "observables", "foundations", "property_models"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Settings(BaseModel):
    """Base of all settings models: unknown keys and numbers that are none are refused, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class PluginSpec(Settings):
    """A plug-in by name, with its settings: what a campaign file and a job file say of it.

    The short forms of the campaign file are accepted: ``sanity``, or ``farthest_point: {frames: 12}``.
    """

    name: str
    settings: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and not {"name", "settings"} & set(value):
            name, settings = next(iter(value.items()))
            return {"name": name, "settings": settings or {}}
        return value

    def load(self, kind: Kind) -> Any:
        """Make the plug-in: its class, with its checked settings.

        Raises
        ------
        InputError
            If there is no such plug-in, or a setting is wrong.
        """
        plugin = load_plugin(kind, self.name)
        return plugin(parse_settings(plugin.Settings, self.settings, where=self.name))


def parse_settings(model: type[Settings], values: dict[str, Any], where: str) -> Any:
    """Check settings against their model; the first mistake becomes one sentence that names its key.

    Raises
    ------
    InputError
        If a key is unknown, missing, of the wrong type or out of range.
    """
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(describe_validation_error(error, where, model)) from error


def describe_validation_error(error: pydantic.ValidationError, where: str, model: type[BaseModel]) -> str:
    """Turn the first problem that pydantic found into one sentence."""
    loc, message = first_mistake(error, model)
    return f"{'.'.join(str(part) for part in (where, *loc) if str(part) != '')}: {message}"


def first_mistake(error: pydantic.ValidationError, model: type[BaseModel]) -> tuple[tuple[int | str, ...], str]:
    """Place and description of what pydantic found first; a misspelt key precedes the one that it leaves missing."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    loc = first["loc"]
    if first["type"] == "extra_forbidden":
        known = list(_model_at(model, loc[:-1]).model_fields)
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        choice = f"write {close[0]!r}, or " if close else f"choose one of {', '.join(known)}, or " if known else ""
        return loc, f"there is no such key; {choice}remove it."
    if first["type"] == "missing":
        return loc, "is missing; add this key."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] in {"model_type", "model_attributes_type"}:
        message = f"needs keys with values below it: {', '.join(_model_at(model, loc).model_fields)}"
    elif first["type"] == "dict_type":
        message = "needs keys, each with its value, such as {key: value}"
    elif first["type"] == "list_type":
        message = "should be a list, of which each item stands in a line of its own behind a hyphen, or all in [...]"
    elif first["type"] == "string_type" and not isinstance(first["input"], dict | list | None):
        message = "should be a text; put it in quotes"
    got = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
    return loc, f"{message[:1].lower()}{message[1:]}{got}."


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model at a place, or the nearest above it."""
    for part in loc:
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field is not None else None) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The last model in an annotation, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in reversed(get_args(annotation)) if (found := _model_in(part)) is not None), None)


@cache
def registered(kind: str) -> dict[str, EntryPoint]:
    """Entry points of the group ``bloomery.KIND`` by name, sorted: of a kind of plug-ins, or another group of ours."""
    return {point.name: point for point in sorted(entry_points(group=f"bloomery.{kind}"), key=lambda point: point.name)}


def load_plugin(kind: Kind, name: str) -> Any:
    """Import a plug-in's class.

    Raises
    ------
    InputError
        If nothing of that name is registered, or a package that it needs is missing.
    """
    known, called = registered(kind), f"{kind.removesuffix('s').replace('_', ' ')} {name!r}"
    if name not in known:
        raise InputError(f"{called} is not registered; choose one of {', '.join(known) or 'none'}.")
    try:
        return known[name].load()
    except ImportError as error:
        raise InputError(f"{called} cannot be loaded: {error}; install what it needs.") from error


def find_plugin(kind: Kind, name: str) -> Any | None:
    """Return a plug-in's class; ``None`` if it is not registered or cannot be loaded here."""
    try:
        return load_plugin(kind, name)
    except InputError:
        return None


def declares(kind: Kind, name: str, variable: str) -> bool:
    """Tell whether a plug-in sets a class variable of its contract, such as ``cleans``; what is not there does not."""
    return bool(getattr(find_plugin(kind, name), variable, False))


class Plugin:
    """Base of all plug-ins: a name, a settings model, and the settings they were made with.

    Subclasses set ``name`` (equal to their entry point) and ``Settings``, and read ``self.settings``. What else the
    package must know of a plug-in are class variables too, of its own or of its kind; nothing is looked up by name.
    """

    name: str
    Settings: type[Settings] = Settings
    title: ClassVar[str] = ""
    """What reports call it; of an engine its potentials, in the plural. Left out, it is called by its name."""
    references: ClassVar[tuple[Paper | str, ...]] = ()
    """Papers to cite where it was used."""

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @classmethod
    def make(cls, **settings: Any) -> Self:
        """Make the plug-in from keyword settings, checked."""
        return cls(parse_settings(cls.Settings, settings, where=cls.name))


class PackagedPlugin(Plugin):
    """Base of plug-ins that may need a package which is no part of bloomery, in an environment of its own."""

    role: ClassVar[str]
    """What one of the kind is called: the option of `aiida-bloomery setup` that makes its environment."""
    package: ClassVar[str] = ""
    """The distribution that it needs, in an environment of its own; empty for one that needs none."""
    module: ClassVar[str] = ""
    """What that distribution is imported as."""

    @classmethod
    def missing(cls) -> str | None:
        """Return one sentence if the package cannot be imported here, or ``None``. Imports nothing."""
        if not cls.module or importlib.util.find_spec(cls.module) is not None:
            return None
        return (
            f"{cls.role} {cls.name!r} needs the package {cls.package}: run `aiida-bloomery setup --{cls.role} "
            f"{cls.name}`, and use the `bloomery` of its environment."
        )

    @classmethod
    def require(cls) -> None:
        """Raise `InputError`, with one sentence that says how to get it, if the package is not there."""
        sentence = cls.missing()
        if sentence is not None:
            raise InputError(sentence)
