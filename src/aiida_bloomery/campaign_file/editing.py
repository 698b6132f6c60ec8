"""Write values into a YAML file and leave everything else as it is: comments, order, quotes and line ends.

The text is changed at the places that the parser tells, and read again: unless it then says what it said before, apart
from the values, nothing is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bloomery.errors import InputError


@dataclass(frozen=True)
class Change:
    """A piece of text that takes the place of another."""

    start: int
    end: int
    text: str
    hides_comment: bool = False
    """Whether a comment inside of what goes may go along."""


def edited(text: str, where: tuple[str, ...], changes: Mapping[str, Any]) -> str:
    """Return the text with other values in the mapping that stands under some keys.

    Parameters
    ----------
    where
        Keys from the top; those that are missing are made.
    changes
        Nested; ``None`` takes a key out, if there is one.

    Raises
    ------
    InputError
        If it cannot be done without touching anything else.
    """
    nested: dict[str, Any] = dict(changes)
    for key in reversed(where):
        nested = {key: nested}
    before = yaml.safe_load(text)
    expected = _with(before, nested)
    newline = "\r\n" if "\r\n" in text else "\n"
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        found = sorted(_changes(text, root, nested, newline), key=lambda change: change.start, reverse=True)
        result = text
        for change in found:
            result = result[: change.start] + change.text + result[change.end :]
        after = yaml.safe_load(result)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError("the file cannot be changed without touching more than these values.") from error
    if after != expected or any(change.hides_comment for change in found):
        raise InputError("the file cannot be changed without touching more than these values.")
    return result


def replace_file(path: Path, text: str) -> None:
    """Write a file anew, all or nothing; its permissions stay, and a link still points to it."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o7777)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def as_lines(where: tuple[str, ...], changes: Mapping[str, Any]) -> str:
    """The values as lines of YAML, to be pasted."""
    nested = _with({}, changes)
    for key in reversed(where):
        nested = {key: nested}
    return yaml.safe_dump(nested, sort_keys=False, allow_unicode=True).rstrip()


def _with(content: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Content with the changes in it. A name alone is short for a mapping from it."""
    if isinstance(content, str):
        content = {content: {}}
    result = deepcopy(content) if isinstance(content, dict) else {}
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _with(result.get(key), value) if isinstance(value, Mapping) else value
    return result


def _changes(text: str, node: yaml.Node | None, changes: Mapping[str, Any], newline: str) -> Iterator[Change]:
    """Find the pieces of text that change, in a mapping."""
    if node is None:
        raise ValueError("there is nothing that could be changed")
    if not isinstance(node, yaml.MappingNode):
        # A name alone, or nothing: a mapping takes its place.
        before = yaml.safe_load(text[node.start_mark.index : node.end_mark.index])
        start, end = node.start_mark.index, node.end_mark.index
        space = "" if start and text[start - 1].isspace() else " "
        yield Change(start, end, f"{space}{_flow(_with(before, changes))}")
        return
    entries = {key.value: (key, value) for key, value in node.value}
    leaving = [entries[key] for key, value in changes.items() if value is None and key in entries]
    new = {key: _with({}, value) if isinstance(value, Mapping) else value for key, value in changes.items()
           if key not in entries and value is not None}  # fmt: skip
    for key, value in changes.items():
        if key not in entries or value is None:
            continue
        _, old = entries[key]
        if isinstance(value, Mapping):
            yield from _changes(text, old, value, newline)
        elif isinstance(old, yaml.ScalarNode):
            yield Change(old.start_mark.index, old.end_mark.index, _flow(value))
        else:
            start, end = _start(text, old), _end(old)
            yield Change(start, end, f"{'' if old.flow_style else ' '}{_flow(value)}", "#" in text[start:end])
    # What comes takes the place of what goes.
    for key, value in leaving:
        if not new:
            raise ValueError("nothing takes the place of a key that goes")
        name = next(iter(new))
        start, end = key.start_mark.index, _end(value)
        yield Change(start, end, f"{name}: {_flow(new.pop(name))}", "#" in text[start:end])
    if new:
        yield _insertion(text, node, new, newline)


def _insertion(text: str, node: yaml.MappingNode, new: Mapping[str, Any], newline: str) -> Change:
    """Put keys behind the last one of a mapping, or before the first where the last has more lines."""
    items = [f"{key}: {_flow(value)}" for key, value in new.items()]
    if node.flow_style:
        if not node.value:
            return Change(node.start_mark.index, node.end_mark.index, "{" + ", ".join(items) + "}")
        end = _end(node.value[-1][1])
        return Change(end, end, "".join(f", {item}" for item in items))
    first = node.value[0][0].start_mark
    indent = " " * first.column
    last = node.value[-1][1]
    if (isinstance(last, yaml.ScalarNode) and last.style not in {"|", ">"}) or getattr(last, "flow_style", False):
        stop = text.find("\n", last.end_mark.index)
        if stop < 0:
            return Change(len(text), len(text), "".join(f"{newline}{indent}{item}" for item in items))
        at = stop + 1
        return Change(at, at, "".join(f"{indent}{item}{newline}" for item in items))
    return Change(first.index, first.index, "".join(f"{item}{newline}{indent}" for item in items))


def _start(text: str, node: yaml.Node) -> int:
    """Where a value starts: of one in lines of its own, behind its key."""
    start = int(node.start_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        return len(text[:start].rstrip())
    return start


def _end(node: yaml.Node) -> int:
    """Where a value ends, without the comments that follow."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _flow(value: Any) -> str:
    """A value on one line."""
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1e9)
    return str(dumped).removesuffix("\n").removesuffix("\n...").strip()
