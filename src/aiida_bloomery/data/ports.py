"""Ports declared in a line, and entries of one namespace that are told apart by the beginning of their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiida import orm
from aiida.engine import ProcessSpec

Entry = TypeVar("Entry")

Validator = Callable[[Any, Any], str | None]
"""Returns one sentence about a node that is wrong for its port, or nothing."""


def optional(spec: ProcessSpec, port: str, kind: type[orm.Data], text: str, validator: Validator | None = None) -> None:
    """Declare an input that may be left out, and then is not checked."""

    def check(node: orm.Data | None, context: Any) -> str | None:
        return validator(node, context) if validator is not None and node is not None else None

    spec.input(port, valid_type=kind, required=False, validator=check, help=text)


def optional_output(spec: ProcessSpec, port: str, kind: type[orm.Data], text: str) -> None:
    """Declare an output that may be missing."""
    spec.output(port, valid_type=kind, required=False, help=text)


def by_key(spec: ProcessSpec, port: str, kind: type[orm.Data], text: str, *, required: bool = True) -> None:
    """Declare inputs by key."""
    spec.input_namespace(port, dynamic=True, valid_type=kind, required=required, help=text)


def outputs_by_key(spec: ProcessSpec, port: str, kind: type[orm.Data], text: str, *, required: bool = True) -> None:
    """Declare outputs by key."""
    spec.output_namespace(port, dynamic=True, valid_type=kind, required=required, help=text)


def under(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries whose keys begin so, by what follows."""
    return {key.removeprefix(prefix): entry for key, entry in entries.items() if key.startswith(prefix)}


def put_under(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries with a prefix before their keys."""
    return {f"{prefix}{key}": entry for key, entry in entries.items()}
