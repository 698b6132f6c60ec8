"""The generated reference says what the models say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from pydantic import Field

from bloomery.plugins import KINDS, PluginSpec, Settings, registered
from bloomery.quantities import Unit

reference = pytest.importorskip("bloomery_reference")


class Inner(Settings):
    """What is inside."""

    width: Annotated[float, Unit("Ry"), Field(gt=0)] | None = None
    """A width in ``Ry``."""


class Outer(Settings):
    """What is outside."""

    count: int
    """How many."""
    kind: Literal["a", "b"] = "a"
    """Which | one."""
    repeats: tuple[int, int, int] = (1, 1, 1)
    plugins: list[PluginSpec] = Field(default=[])
    share: Annotated[float, Unit("1")] = 0.5
    inner: Inner = Inner()


def test_table_of_settings() -> None:
    rows = reference.settings_table(Outer).splitlines()
    assert rows[2] == "| `count` | integer | required | How many. |"
    assert rows[3] == "| `kind` | `a` or `b` | `a` | Which \\| one. |"
    assert rows[4].startswith("| `repeats` | 3 × integer | `[1, 1, 1]` |")
    assert rows[5].startswith("| `plugins` | list of plug-in |")
    assert rows[6].startswith("| `share` | share, such as `0.1` or `10 %` | `0.5` |")


def test_models_inside_have_their_own_section_with_units() -> None:
    text = reference.model_reference(Outer, "outer", 2)
    assert "### `outer.inner`" in text
    assert "| `width` | number in Ry |  | A width in `Ry`. |" in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_a_section(kind: str) -> None:
    text = reference.kind_reference(kind, 3)
    for name in registered(kind):
        assert f"### `{name}`" in text


@pytest.mark.parametrize("program", ["aiida_bloomery.cli:main", "bloomery.program.cli:cli"])
def test_every_command_has_a_section(program: str) -> None:
    text = reference.command_reference(program, 3)
    assert text.count("Usage:") == text.count("### `") + 1


def test_blocks_of_a_page_are_written_out_and_others_left_alone() -> None:
    page = "# Title\n\n```{campaign-keys}\n:level: 2\n```\n\n```{eval-rst}\n.. note::\n```\n"
    text = reference.generate(page)
    assert "| `seed` |" in text
    assert "\n## `structures`" in text
    assert text.endswith("```{eval-rst}\n.. note::\n```\n")


def test_schema_lies_beside_the_pages(tmp_path: Path) -> None:
    made = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    reference.write_schema(made, None)
    schema = json.loads((tmp_path / "campaign.schema.json").read_text(encoding="utf-8"))
    assert "labelling" in schema["properties"]
