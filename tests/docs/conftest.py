"""Reading the documentation as a reader does: pages, code blocks, commands.

A test asks for ``page``, ``python_page``, ``yaml_block`` or ``command`` and runs once for each.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: page, line, language and content."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A page: its text, and what stands in it."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        return FENCE.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        text = self.text
        return [
            Block(self.path, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["body"])
            for match in FENCE.finditer(text)
        ]

    def of(self, *languages: str) -> list[Block]:
        return [block for block in self.blocks if block.language in languages]


def pages() -> list[Page]:
    """Every page of documentation in the project."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "examples").rglob("*.md"))
    return [Page(path) for path in found if path.is_file() and "_build" not in path.parts]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Our commands and those of verdi in console blocks, as words, with where they stand."""
    for page in pages():
        for block in page.of("console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ ")) if line.startswith("$ ") else []
                if words and words[0] in ("bloomery", "aiida-bloomery", "verdi"):
                    yield block.where, words


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each thing that it asks for."""

    def give(name: str, values: list, ids: list[str]) -> None:
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, ids=ids)

    def named(page: Page) -> str:
        return str(page.path.relative_to(ROOT))

    everything = pages()
    python = [page for page in everything if page.of("python")]
    blocks = [block for page in everything for block in page.of("yaml")]
    lines = list(commands())
    give("page", everything, [named(page) for page in everything])
    give("python_page", python, [named(page) for page in python])
    give("yaml_block", blocks, [block.where for block in blocks])
    give("command", [words for _, words in lines], [f"{where} {' '.join(words[:2])}" for where, words in lines])


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the project."""
    return ROOT
