"""Values written into a YAML file, and everything else as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_bloomery.campaign_file.editing import as_lines, edited, replace_file
from bloomery.errors import InputError

WHERE = ("labelling", "quantumespresso")
BLOCK = """\
# A campaign.
name: silicon  # its name

labelling:
  quantumespresso:
    # how labels are made
    kpoints: {mesh: [3, 3, 3], shift: [1, 1, 1]}  # coarse
    ecutwfc: "20 Ry"   # far too low
    smearing:
      # cold
      type: cold
      width: 0.01 Ry
# what learns
training: {hdnnp: {members: 8}}
"""


def check(text: str, changes: dict[str, Any], *lines: str) -> str:
    """Edit, and see that all lines but these are as they were."""
    result = edited(text, WHERE, changes)
    before, after = text.splitlines(), result.splitlines()
    assert [line for line in after if line not in before] == list(lines)
    for line in before:
        if "#" in line:
            assert line[line.index("#") :] in result
    return result


def test_values_take_the_place_of_others() -> None:
    result = check(BLOCK, {"ecutwfc": "25 Ry"}, "    ecutwfc: 25 Ry   # far too low")
    assert len(result.splitlines()) == len(BLOCK.splitlines())
    check(BLOCK, {"smearing": {"type": "cold", "width": "0.02 Ry"}}, "      width: 0.02 Ry")


def test_a_key_that_comes_takes_the_place_of_one_that_goes() -> None:
    line = "    kpoints: {distance: 0.25, shift: [1, 1, 1]}  # coarse"
    check(BLOCK, {"kpoints": {"mesh": None, "distance": 0.25}}, line)


def test_new_keys_stand_beside_the_others() -> None:
    # The last key has several lines of its own: new ones come first.
    result = check(BLOCK, {"ecutrho": "100 Ry"}, "    ecutrho: 100 Ry")
    assert "    # how labels are made\n    ecutrho: 100 Ry\n    kpoints:" in result
    short = "labelling:\n  quantumespresso:\n    ecutwfc: 20 Ry # low\nname: a\n"
    assert edited(short, WHERE, {"ecutwfc": "25 Ry", "kpoints": {"distance": 0.2}}) == (
        "labelling:\n  quantumespresso:\n    ecutwfc: 25 Ry # low\n    kpoints: {distance: 0.2}\nname: a\n"
    )
    assert edited(short.removesuffix("name: a\n").rstrip("\n"), WHERE, {"ecutrho": "80 Ry"}).endswith(
        "ecutwfc: 20 Ry # low\n    ecutrho: 80 Ry"
    )


BLOCK_MESH = """\
labelling:
  quantumespresso:
    kpoints:
      mesh:
        - 3
        - 3
        - 3
      # half a step
      shift: [1, 1, 1]
"""


def test_lists_in_lines_of_their_own_go_without_what_follows() -> None:
    result = edited(BLOCK_MESH, WHERE, {"kpoints": {"mesh": None, "distance": 0.25}})
    assert result.endswith("    kpoints:\n      distance: 0.25\n      # half a step\n      shift: [1, 1, 1]\n")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("labelling: quantumespresso # pw.x\n", "labelling: {quantumespresso: {ecutwfc: 25 Ry}} # pw.x\n"),
        ("labelling: {quantumespresso: {}}\n", "labelling: {quantumespresso: {ecutwfc: 25 Ry}}\n"),
        ("labelling: {quantumespresso: }\n", "labelling: {quantumespresso: {ecutwfc: 25 Ry} }\n"),
        (
            "labelling:\n  quantumespresso: # pw.x\nname: a\n",
            "labelling:\n  quantumespresso: {ecutwfc: 25 Ry} # pw.x\nname: a\n",
        ),
        (
            "labelling: {quantumespresso: {ecutrho: 80 Ry}}",
            "labelling: {quantumespresso: {ecutrho: 80 Ry, ecutwfc: 25 Ry}}",
        ),
        (
            "labelling: {quantumespresso: {ecutwfc: 20}}\r\nname: a\r\n",
            "labelling: {quantumespresso: {ecutwfc: 25 Ry}}\r\nname: a\r\n",
        ),
        (
            "labelling:\r\n  quantumespresso:\r\n    ecutrho: 80\r\n",
            "labelling:\r\n  quantumespresso:\r\n    ecutrho: 80\r\n    ecutwfc: 25 Ry\r\n",
        ),
        (
            "labelling:\n  quantumespresso: {\n    ecutrho: 80,  # a\n    ecutwfc: 20\n  }\n",
            "labelling:\n  quantumespresso: {\n    ecutrho: 80,  # a\n    ecutwfc: 25 Ry\n  }\n",
        ),
    ],
)
def test_every_way_to_write_a_section(text: str, result: str) -> None:
    assert edited(text, WHERE, {"ecutwfc": "25 Ry"}) == result


@pytest.mark.parametrize(
    "text",
    [
        # What stands under the name elsewhere would change too.
        "labelling: {quantumespresso: &own {ecutwfc: 20}}\nother: *own\n",
        "labelling: {quantumespresso: {ecutwfc: &cutoff 20}}\nother: *cutoff\n",
    ],
)
def test_what_cannot_be_done_alone_is_not_done(text: str) -> None:
    with pytest.raises(InputError, match="without touching more"):
        edited(text, WHERE, {"ecutwfc": "25 Ry"})


def test_a_comment_inside_of_what_goes_is_kept_with_it() -> None:
    text = BLOCK_MESH.replace("- 3\n        - 3\n", "- 3  # of three\n        - 3\n", 1)
    with pytest.raises(InputError, match="without touching more"):
        edited(text, WHERE, {"kpoints": {"mesh": None, "distance": 0.25}})


def test_a_key_that_goes_without_another_is_refused() -> None:
    with pytest.raises(InputError, match="without touching more"):
        edited(BLOCK, WHERE, {"kpoints": {"mesh": None}})


VALUES = st.one_of(st.integers(-5, 5), st.sampled_from(["20 Ry", "a # b", "yes", "a: b", "{", "Å"]), st.booleans())
KEYS = st.sampled_from(["ecutwfc", "ecutrho", "kpoints", "a b"])
# What looks like a comment inside of a mapping or list that goes is taken for one, and the file is left alone.
PLAIN = VALUES.filter(lambda value: "#" not in str(value))
SECTIONS = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, PLAIN), st.lists(PLAIN)), max_size=4)


@settings(max_examples=60)
@given(SECTIONS, st.dictionaries(KEYS, VALUES, min_size=1), st.sampled_from([True, False, None]))
def test_a_file_says_what_it_said_apart_from_the_values(
    section: dict[str, Any], changes: dict[str, Any], flow: bool | None
) -> None:
    content = {"name": "a", "labelling": {"quantumespresso": section}, "stop": [1, 2]}
    text = yaml.safe_dump(content, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    after = yaml.safe_load(edited(text, WHERE, changes))
    assert after == content | {"labelling": {"quantumespresso": section | changes}}


def test_lines_to_paste() -> None:
    lines = as_lines(WHERE, {"ecutwfc": "25 Ry", "kpoints": {"mesh": None, "distance": 0.25, "shift": [1, 1, 1]}})
    assert yaml.safe_load(lines) == {
        "labelling": {"quantumespresso": {"ecutwfc": "25 Ry", "kpoints": {"distance": 0.25, "shift": [1, 1, 1]}}}
    }


def test_a_file_is_replaced_whole_and_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    path, link = tmp_path / "campaign.yaml", tmp_path / "link.yaml"
    path.write_text("a: 1\n")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_file(link, "a: 2\r\n")
    assert path.read_bytes() == b"a: 2\r\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(found.name for found in tmp_path.iterdir()) == ["campaign.yaml", "link.yaml"]
