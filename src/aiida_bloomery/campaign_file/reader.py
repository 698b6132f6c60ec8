"""Read a campaign file: YAML without duplicate keys, and every mistake as one sentence with file, line and key."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from aiida_bloomery.campaign_file.campaign import Key, Source
from bloomery.errors import InputError
from bloomery.plugins import first_mistake

MOST_VALUES = 100_000
"""Keys and items that a campaign file may hold; aliases of aliases make many of a few lines."""
MEMBERS = {"bool", "float", "int", "str"}
"""What pydantic calls the members of a union that are no models."""

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Source:
    """Read a YAML file; raise `InputError` if there is none, it holds a key twice, or anything but a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give a YAML file in UTF-8.") from error
    lines: dict[Key, int] = {}
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _walk(root, (), lines, path)
        content = loader.construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = error.problem or error.context or "it cannot be parsed"
        message = f"{path}{line}: is not valid YAML ({problem}); correct the line or the one before it."
        raise InputError(message) from error
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        message = f"holds the character {error.character:#x}, which is none of a text; remove it."
        raise InputError(f"{path}, line {number}: {message}") from error
    except (AttributeError, LookupError) as error:
        raise InputError(f"{path}: holds a tag of YAML (!!...) that does not fit its value; leave it out.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid YAML ({error}).") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys; write `name: ...`, `structures: ...` and so on, one to a line.")
    return Source(path, content, lines)


def parse_model(model: type[Model], values: Any, source: Source, where: Key) -> Model:
    """Check values that stand under a key against a model; raise `InputError` for the first mistake."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        loc, message = first_mistake(error, model)
        raise source.error((*where, *_plain_location(loc, source, where)), message) from error


def _plain_location(loc: Key, source: Source, where: Key) -> Key:
    """Leave out what pydantic adds to a place: the tried members of a union, and validators' names."""
    node: Any = source.content
    for part in where:
        node = _child(node, part)
    kept: list[Hashable] = []
    for index, part in enumerate(loc):
        child = _child(node, part)
        last = index == len(loc) - 1
        missing = isinstance(part, str) and part.isidentifier() and part not in MEMBERS
        if child is None and not (last and missing):
            continue
        kept.append(part)
        node = child
    return tuple(kept)


def _child(node: Any, part: Hashable) -> Any:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _walk(node: yaml.Node | None, key: Key, lines: dict[Key, int], path: Path) -> None:
    if len(lines) > MOST_VALUES:
        raise InputError(
            f"{path}: holds more than {MOST_VALUES} values, those of its aliases counted; leave aliases out."
        )
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            label = str(name.value)
            if label in seen and label != "<<":
                raise InputError(
                    f"{path}, line {line}: {'.'.join(map(str, (*key, label)))}: stands in line {seen[label]} already; "
                    "remove one of the two."
                )
            seen[label] = line
            lines[(*key, label)] = line
            _walk(value, (*key, label), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*key, index)] = value.start_mark.line + 1
            _walk(value, (*key, index), lines, path)
    elif isinstance(node, yaml.ScalarNode) and any(ord(letter) < 32 and letter not in "\n\t" for letter in node.value):
        line, place = node.start_mark.line + 1, ".".join(map(str, key))
        raise InputError(f"{path}, line {line}: {place}: holds a control character; remove it.")
