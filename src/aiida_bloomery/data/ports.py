"""Ports declared in a line: what may be left out, and namespaces of nodes of one type by keys of the user's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

Validator = Callable[[Any, Any], str | None]
"""Returns one sentence about a node that is wrong for its port, or nothing."""


def optional(
    spec: ProcessSpec, port: str, kind: type[orm.Data], text: str, validator: Validator = lambda *_: None
) -> None:
    """Declare an input that may be left out, and then is not checked."""

    def check(node: orm.Data | None, context: Any) -> str | None:
        return None if node is None else validator(node, context)

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
