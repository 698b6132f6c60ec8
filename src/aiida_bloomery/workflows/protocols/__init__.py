"""Protocols: the physics and the effort of a workchain by name, in one YAML file each.

A file has ``default_inputs``, ``default_protocol`` and ``protocols``; each protocol has a ``description``, and what in
it differs from the default inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, TypedDict

import yaml


class ProtocolFile(TypedDict):
    """Content of a protocol file."""

    default_inputs: dict[str, object]
    default_protocol: str
    protocols: dict[str, dict[str, object]]


def load_protocol(name: str | Path) -> ProtocolFile:
    """Read a protocol file: ours by its place here, as ``labelling.quantumespresso``, or that of another package."""
    path = files(__name__).joinpath(*f"{name.replace('.', '/')}.yaml".split("/")) if isinstance(name, str) else name
    content: ProtocolFile = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def protocols(name: str | Path) -> dict[str, str]:
    """Names and descriptions of a file's protocols."""
    return {key: str(value["description"]) for key, value in load_protocol(name)["protocols"].items()}


def protocol_inputs(
    name: str | Path, protocol: str | None = None, overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the inputs of a protocol, as plain values.

    Parameters
    ----------
    name
        As for `load_protocol`.
    protocol
        Its name; by default the file's own choice.
    overrides
        Values that differ: mappings are merged, everything else, lists too, is replaced.

    Raises
    ------
    ValueError
        If there is no such protocol.
    """
    content = load_protocol(name)
    chosen = protocol or content["default_protocol"]
    if chosen not in content["protocols"]:
        raise ValueError(f"protocol: {chosen!r} is none of {', '.join(content['protocols'])}.")
    changes = {key: value for key, value in content["protocols"][chosen].items() if key != "description"}
    return merge(merge(content["default_inputs"], changes), overrides or {})


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of ``base`` with ``changes`` merged into it, mapping by mapping."""
    result = deepcopy(dict(base))
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result
