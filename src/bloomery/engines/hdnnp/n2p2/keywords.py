"""``input.nn``: one keyword a line, its arguments behind it, comments after ``#`` or ``!``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bloomery.errors import InputError
from bloomery.frames.input_data import read_lines

COMMENT = re.compile("[#!]")
ALIASES = {
    "symfunction": "symfunction_short", "nn_type": "nnp_type", "nnp_generation": "nnp_type", "nnp_type_gen": "nnp_type",
    "nnp_gen": "nnp_type",
}  # fmt: skip
"""Names of keywords to the usual ones."""


def words_of(path: Path) -> list[list[str]]:
    """Words of each line of a file, less its comment."""
    return [COMMENT.split(line, maxsplit=1)[0].split() for line in read_lines(path)]


@dataclass(frozen=True)
class Entry:
    """One line: its number, its keyword and its arguments."""

    line: int
    keyword: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Keywords:
    """All lines of a file."""

    path: Path
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, path: Path) -> Keywords:
        """Read the file.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        lines = enumerate(words_of(path), start=1)
        entries = (Entry(number, ALIASES.get(words[0], words[0]), tuple(words[1:])) for number, words in lines if words)
        return cls(path, tuple(entries))

    def all(self, keyword: str) -> list[Entry]:
        """Return every line with this keyword."""
        return [entry for entry in self.entries if entry.keyword == keyword]

    def has(self, keyword: str) -> bool:
        """Tell whether the keyword occurs."""
        return bool(self.all(keyword))

    def words(self, keyword: str) -> tuple[str, ...]:
        """Return the arguments of a keyword that must occur once.

        Raises
        ------
        InputError
            If it does not occur, or more than once.
        """
        found = self.all(keyword)
        if len(found) != 1:
            raise self.error(f"needs the keyword {keyword} once, and has it {len(found)} times.")
        return found[0].arguments

    def number(self, keyword: str, default: float) -> float:
        """Return the number after a keyword that may occur."""
        found = self.all(keyword)
        return self.numbers(found[0])[0] if found else default

    def numbers(self, entry: Entry, start: int = 0) -> list[float]:
        """Return an entry's arguments from ``start`` on as numbers.

        Raises
        ------
        InputError
            If there are none, or one is not a number; the line is named.
        """
        try:
            found = [float(word.replace("D", "E").replace("d", "e")) for word in entry.arguments[start:]]
        except ValueError as error:
            raise self.error(f"{error}.", entry) from error
        if not found:
            raise self.error(f"{entry.keyword} needs a number behind it.", entry)
        return found

    def error(self, message: str, entry: Entry | None = None) -> InputError:
        """Say what is wrong with the file, or with a line of it."""
        return InputError(f"{self.path}{'' if entry is None else f', line {entry.line}'}: {message}")
