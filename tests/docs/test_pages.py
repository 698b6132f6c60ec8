"""Links lead somewhere, pages are found, and Sphinx has nothing to complain about."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
IMAGE = re.compile(r"<img[^>]*\ssrc=\"([^\"]+)\"")
DOC = re.compile(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`")
OURS = ("aiida-bloomery", "bloomery")


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub and MyST make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    }


def test_links_resolve(page, root: Path) -> None:
    for target in [*LINK.findall(page.prose), *IMAGE.findall(page.prose)]:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        assert path.exists(), f"{page.path.relative_to(root)} links to {target}, which does not exist"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{target}: there is no such heading"


def test_references_to_documents_resolve(page, root: Path) -> None:
    for target in DOC.findall(page.prose):
        base = root / "docs" if target.startswith("/") else page.path.parent
        assert (base / f"{target.lstrip('/')}.md").is_file(), f"{page.path.relative_to(root)}: {target}"


def test_every_page_is_in_the_contents(root: Path) -> None:
    docs = root / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8")
    listed = {
        line.strip() for block in re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL) for line in block.splitlines()
    }
    pages = {str(path.relative_to(docs).with_suffix("")) for path in docs.rglob("*.md") if "_build" not in path.parts}
    assert pages - {"index"} <= listed


def test_lines_are_not_endless(page) -> None:
    """What cannot be broken (tables, links) aside, lines fit an editor."""
    for number, line in enumerate(page.prose.splitlines(), start=1):
        assert len(line) <= 120 or line.startswith(("|", "[", "!")), f"{page.path.name}: {number} of the prose"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="the extra [docs] is not installed")
def test_documentation_builds_without_a_warning(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    result = subprocess.run(
        [*command, str(root / "docs"), str(tmp_path / "html")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "html" / "index.html").is_file()
