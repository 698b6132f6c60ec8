"""Plug-ins and their settings in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spec_of(spec: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a plug-in in any of the forms that inputs hold: a name, ``{name: ...}``, or both keys."""
    if isinstance(spec, str):
        return spec, {}
    if len(spec) == 1 and not {"name", "settings"} & set(spec):
        name, settings = next(iter(spec.items()))
        return str(name), settings or {}
    return str(spec.get("name", "")), spec.get("settings") or {}


def said(settings: Mapping[str, Any]) -> str:
    """Settings as words and values, without those that are not set."""
    return ", ".join(f"{key} {value_text(value)}" for key, value in settings.items() if value is not None)


def plugin_text(spec: Any) -> str:
    """A plug-in with its settings in parentheses."""
    name, settings = spec_of(spec)
    text = said(settings)
    return f"{name} ({text})" if text else name


def plugins_text(specs: list[Any] | None, *, arrow: bool = False) -> str:
    """Several plug-ins; with arrows where one follows on the other."""
    return (" → " if arrow else "; ").join(plugin_text(spec) for spec in specs or [])


def value_text(value: Any) -> str:
    """A setting's value: numbers short, lists in brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(value_text(part) for part in value) + "]"
    if isinstance(value, Mapping) and set(value) == {"name", "settings"}:
        return plugin_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(part)}" for key, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
