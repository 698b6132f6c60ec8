"""The files that stand at the top of the repository agree with each other."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from aiida_bloomery.cli import main


def test_readme_shows_the_silicon_campaign_as_it_is(root: Path) -> None:
    example = (root / "examples" / "silicon" / "campaign.yaml").read_text(encoding="utf-8")
    lines = [line for line in example.splitlines() if not line.startswith("#")]
    assert "```yaml\n" + "\n".join(lines) + "\n```" in (root / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("where", ["README.md", "docs/tutorial/silicon.md"])
def test_plan_of_the_silicon_campaign_is_what_check_prints(root: Path, where: str) -> None:
    result = CliRunner().invoke(main, ["check", "--file-only", str(root / "examples" / "silicon" / "campaign.yaml")])
    assert result.exit_code == 0, result.output
    plan = [line.rstrip() for line in result.output.splitlines() if line.strip()]
    plan = plan[plan.index("At most") :]
    assert "\n".join(plan) in (root / where).read_text(encoding="utf-8")


def test_readme_and_tutorial_show_the_same_run(root: Path) -> None:
    table = (root / "docs" / "tutorial" / "silicon-run.txt").read_text(encoding="utf-8")
    assert f"```text\n{table}```" in (root / "README.md").read_text(encoding="utf-8")


def test_citation_and_changelog_know_the_version(root: Path) -> None:
    ours = version("aiida-bloomery")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == ours
    first = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] == ours


def test_workflow_of_the_public_host_calls_the_same_test(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["test"]["steps"]
    assert "./test" in [step.get("run") for step in steps]


@pytest.mark.parametrize("name", ["run", "test"])
def test_commands_of_the_readme_are_programs(root: Path, name: str) -> None:
    assert (root / name).stat().st_mode & 0o111
