"""The reference, written from the code: keys of the campaign file, plug-ins with their settings, commands."""

from __future__ import annotations

import importlib
import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from aiida_bloomery.campaign_file.labellers import labeller_parts
from aiida_bloomery.campaign_file.model import CampaignFile
from aiida_bloomery.campaign_file.schema import schema_text
from aiida_bloomery.setup.cluster import Cluster
from bloomery.plugins import Kind, PluginSpec, load_plugin, registered
from bloomery.quantities import Unit

SCHEMA_FILE = "campaign.schema.json"


def code_spans(text: str) -> str:
    """Docstring text as Markdown in one line: double backticks become code spans."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split())).replace("|", "\\|")


WORDS: dict[Any, str] = {
    float: "number", int: "integer", str: "text", bool: "yes or no", dict: "mapping", Path: "path",
}  # fmt: skip


def type_name(annotation: Any) -> str:
    """Type of a setting in the words of a campaign file."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is not None:
        return _generic_name(origin, arguments)
    if issubclass(annotation, PluginSpec):
        return "plug-in"
    return "mapping" if issubclass(annotation, BaseModel) else WORDS[annotation]


def _generic_name(origin: Any, arguments: tuple[Any, ...]) -> str:
    many = [] if origin is typing.Literal else [part for part in arguments if part is not type(None)]
    if origin is typing.Annotated:
        units = [extra.name for extra in arguments[1:] if isinstance(extra, Unit)]
        name = f"{type_name(arguments[0])} in {units[0]}" if units else type_name(arguments[0])
        return name.replace("number in 1", "share, such as `0.1` or `10 %`")
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(type_name, many)))
    if origin is list or arguments[-1] is Ellipsis:
        return f"list of {type_name(arguments[0])}"
    return f"{len(many)} × {type_name(arguments[0])}" if origin is tuple else WORDS[origin]


def default_text(field: FieldInfo) -> str:
    """Default of a setting, ``required`` if it has none; nothing where the default is to be absent."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, PluginSpec):
        value = value.name
    if value is None or value in ("", {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, (list, tuple)):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def settings_table(model: type[BaseModel]) -> str:
    """Table of a settings model: key, type, default and meaning."""
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        kind = type_name(typing.Annotated[field.annotation, *(field.metadata or [None])])
        lines.append(f"| `{name}` | {kind} | {default_text(field)} | {code_spans(field.description or '')} |")
    return "\n".join(lines)


def submodels(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Settings models inside a model, with the key that they stand under."""
    for name, field in model.model_fields.items():
        for part in _leaves(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel) and not issubclass(part, PluginSpec):
                yield name, part


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        arguments = arguments[:1]
    if not arguments:
        yield annotation
    for part in arguments:
        yield from _leaves(part)


def model_reference(model: type[BaseModel], name: str, level: int, seen: set[type[BaseModel]] | None = None) -> str:
    """Section about a model and, below it, about the models in it."""
    seen = set() if seen is None else seen
    seen.add(model)
    summary = code_spans((model.__doc__ or "").strip())
    parts = [f"{'#' * level} `{name}`" if name else "", summary, settings_table(model)]
    for key, inner in submodels(model):
        if inner not in seen:
            parts.append(model_reference(inner, f"{name}.{key}" if name else key, level + (1 if name else 0), seen))
    return "\n\n".join(part for part in parts if part)


def kind_reference(kind: Kind, level: int) -> str:
    """Section per registered plug-in of a kind."""
    parts = []
    for name in registered(kind):
        plugin = load_plugin(kind, name)
        parts.append(f"{'#' * level} `{name}`\n\n{code_spans((plugin.__doc__ or '').strip())}")
        fields = plugin.Settings.model_fields
        parts.append(settings_table(plugin.Settings) if fields else "It has no settings.")
        parts += [
            model_reference(inner, f"{name}.{key}", level + 1)
            for key, inner in submodels(plugin.Settings)
            if inner.model_fields
        ]
    return "\n\n".join(parts)


def labeller_reference(level: int) -> str:
    """Section per labeller of a campaign file."""
    parts = []
    for name, part in labeller_parts():
        parts.append(model_reference(part, name, level))
        if part.program is not None:
            parts.append(f"It runs by the entry `{part.program.key}` under `codes`: {part.program.about}")
    return "\n\n".join(parts)


def command_reference(place: str, level: int) -> str:
    """Help of a click program and of each of its commands; ``place`` is ``module:attribute``."""
    module, _, attribute = place.partition(":")
    program: click.Group = getattr(importlib.import_module(module), attribute)
    name = {"aiida_bloomery.cli": "aiida-bloomery", "bloomery.program.cli": "bloomery"}[module]
    context = click.Context(program, info_name=name, max_content_width=100)
    return "\n\n".join([_help(program, context), *_commands(program, context, level)])


def _commands(program: click.Group, context: click.Context, level: int) -> Iterator[str]:
    """Help of each command of a program, and of the commands of commands."""
    for key in program.list_commands(context):
        command = typing.cast("click.Command", program.get_command(context, key))
        inner = click.Context(command, info_name=key, parent=context, max_content_width=100)
        yield f"{'#' * level} `{inner.command_path}`\n\n{_help(command, inner)}"
        if isinstance(command, click.Group):
            yield from _commands(command, inner, level)


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```"


GENERATORS: dict[str, Callable[..., str]] = {
    "campaign-keys": lambda level: model_reference(CampaignFile, "", level),
    "cluster-keys": lambda level: model_reference(Cluster, "", level),
    "commands": lambda level, place: command_reference(place, level),
    "labellers": labeller_reference,
    "plugin-settings": lambda level, kind: kind_reference(kind, level),
}
"""What may stand in a page as a block of its own, and the function that writes what comes in its place."""

BLOCK = re.compile(r"^```\{(?P<name>[a-z-]+)\}[ ]?(?P<argument>\S*)\n(?::level: (?P<level>\d)\n)?```$", re.MULTILINE)


def generate(text: str) -> str:
    """Put the reference in the place of its blocks in a page's Markdown."""

    def replacement(match: re.Match[str]) -> str:
        if match["name"] not in GENERATORS:
            return match[0]
        arguments = [match["argument"]] if match["argument"] else []
        return GENERATORS[match["name"]](int(match["level"] or 3), *arguments)

    return BLOCK.sub(replacement, text)


def _read(_app: Sphinx, _name: str, source: list[str]) -> None:
    # Not a directive: sections that a directive makes come before what it returns, in whatever order they were.
    source[0] = generate(source[0])


def write_schema(app: Sphinx, exception: Exception | None) -> None:
    """Put the JSON Schema of campaign files beside the pages, where editors find it by its address."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the reference while pages are read, and the schema when they are written."""
    app.connect("source-read", _read)
    app.connect("build-finished", write_schema)
    return {"version": "1", "parallel_read_safe": True}
