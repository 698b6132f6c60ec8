"""The gallery: its campaign files are sound, and the page shows them and what they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.cli import main

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(folder.name for folder in (ROOT / "examples" / "gallery").iterdir())
ROW = re.compile(r"^ *(?:bootstrap|\d+) (?:.*?\)){2} +(?P<force>[\d.]+)% \(", re.MULTILINE)
"""A line of the table of errors, with the force error in % of the RMS force."""


def campaign_of(entry: str) -> Path:
    """The campaign file of an entry, from the top of the repository; skips where a file of Debian's is missing."""
    file = Path("examples") / "gallery" / entry / "campaign.yaml"
    labelling = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["labelling"]
    pseudopotentials = labelling.get("quantumespresso", {}).get("pseudopotentials", {})
    for name in pseudopotentials.values():
        if not Path(name).is_file():
            pytest.skip(f"{name} is not there")
    return file


def printed(entry: str) -> str:
    return (ROOT / "docs" / "gallery" / f"{entry}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", ENTRIES)
def test_file_of_an_entry_is_read_without_complaint(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    campaign, notes = load_campaign(campaign_of(entry))
    assert notes == []
    assert campaign.file.name == f"gallery-{entry}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_an_entry_printed_is_of_the_file_as_it_is(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = campaign_of(entry)
    result = CliRunner().invoke(main, ["check", "--file-only", str(file)])
    assert result.exit_code == 0, result.output
    shown = printed(entry).splitlines()
    assert {line.rstrip() for line in result.output.splitlines() if line.strip()} <= {*shown}
    assert [line for line in shown if line.startswith("$")] == [
        f"$ aiida-bloomery {command} {file}" for command in ("check", "run")
    ]


@pytest.mark.parametrize("entry", ENTRIES)
def test_errors_that_an_entry_printed_fall(entry: str) -> None:
    errors = [float(match["force"]) for match in ROW.finditer(printed(entry))]
    assert len(errors) > 1
    assert errors[-1] < errors[0]


def test_page_shows_every_entry_by_its_files() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    included = re.findall(r"^```\{literalinclude\} (\S+)\n", page, re.MULTILINE)
    files = [f"../examples/gallery/{entry}/campaign.yaml" for entry in ENTRIES]
    files += [f"gallery/{entry}.txt" for entry in ENTRIES]
    assert sorted(included) == sorted(files)
    assert {path.stem for path in (ROOT / "docs" / "gallery").iterdir()} == {*ENTRIES}
