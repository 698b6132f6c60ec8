"""Every protocol file has the three protocols, and what they say merges as documented."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.workflows.protocols import load_protocol, merge, protocol_inputs, protocols

ROOT = Path(str(files("aiida_bloomery.workflows.protocols")))
NAMES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.yaml"))

trees = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=3),
    lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@pytest.mark.parametrize("name", NAMES)
def test_file_has_the_three_protocols_with_a_description(name):
    assert set(protocols(name)) == {"fast", "balanced", "stringent"}
    assert all(text.endswith(".") for text in protocols(name).values())
    assert load_protocol(name)["default_protocol"] == "balanced"
    assert protocol_inputs(name) == protocol_inputs(name, "balanced")


@pytest.mark.parametrize("name", NAMES)
def test_protocols_change_only_what_the_defaults_have(name):
    content = load_protocol(name)
    for protocol in content["protocols"].values():
        assert set(protocol) - {"description"} <= set(content["default_inputs"])


def test_unknown_protocol_is_named():
    with pytest.raises(ValueError, match="'quick' is none of balanced, fast, stringent"):
        protocol_inputs("labelling.quantumespresso", "quick")


def test_overrides_reach_into_mappings_and_replace_lists():
    inputs = protocol_inputs(
        "labelling.quantumespresso",
        "fast",
        {"parameters": {"SYSTEM": {"degauss": 0.05}}, "kpoints": {"offset": [0, 0, 0]}},
    )
    assert inputs["parameters"]["SYSTEM"]["degauss"] == 0.05
    assert inputs["parameters"]["SYSTEM"]["occupations"] == "smearing"
    assert inputs["kpoints"] == {"distance": 0.4, "offset": [0, 0, 0]}


@given(base=mappings, changes=mappings)
def test_merge_takes_every_change_and_touches_neither(base, changes):
    before = repr((base, changes))
    merged = merge(base, changes)
    assert repr((base, changes)) == before
    assert set(merged) == set(base) | set(changes)
    for key, value in changes.items():
        if not isinstance(value, dict):
            assert merged[key] == value


@given(base=mappings)
def test_merging_nothing_or_oneself_changes_nothing(base):
    assert merge(base, {}) == base
    assert merge(base, base) == base
