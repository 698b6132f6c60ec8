"""Entries that are told apart by the beginning of their keys, as ports and links are that stand in one namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def under(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries whose keys begin so, by what follows."""
    return {key.removeprefix(prefix): entry for key, entry in entries.items() if key.startswith(prefix)}


def put_under(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries with a prefix before their keys."""
    return {f"{prefix}{key}": entry for key, entry in entries.items()}
