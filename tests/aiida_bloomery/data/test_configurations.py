"""A node keeps frames as they are, knows what is in it, and refuses parents that are not what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.orm import load_node

from aiida_bloomery.data.configurations import ConfigurationsData, check_parents, with_parents
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations


def test_frames_come_back_with_their_hashes(profile, make_silicon):
    frames = make_silicon(4, labelled=True).with_info(role=["train"] * 3 + ["probe"], step=[0, 5, 10, 15])
    node = ConfigurationsData(frames).store()
    back = load_node(node.pk).configurations
    assert back.hashes() == frames.hashes() == node.hashes
    assert back.digest() == frames.digest()
    assert np.array_equal(back.label("forces")[0], frames.label("forces")[0])


def test_attributes_say_what_is_inside(profile, make_silicon):
    frames = make_silicon(3, labelled=True)
    frames = frames.with_labels(energy=[1.0, 2.0, 3.0], masks={"energy": [True, False, True]})
    frames = frames.with_info(role=["train", "probe", "train"], temperature=[-1.0, 300.0, 900.0])
    attributes = ConfigurationsData(frames).base.attributes.all
    assert attributes["n_frames"] == 3
    assert attributes["n_atoms"] == 24
    assert attributes["elements"] == ["Si"]
    assert attributes["formulas"] == ["Si8"]
    assert attributes["labels"] == {"energy": 2, "forces": 3, "stress": 3}
    assert attributes["roles"] == {"probe": 1, "train": 2}
    assert attributes["temperature"] == {"min": 300.0, "max": 900.0}
    assert attributes["info_keys"] == ["role", "temperature"]


def test_positions_are_on_the_grid_before_they_are_hashed(profile, make_silicon):
    frames = make_silicon(1)
    off = Configurations.from_arrays({**frames.to_arrays(), "positions": frames.positions + 4.9e-7})
    node = ConfigurationsData(off).store()
    assert node.configurations.hashes() == off.hashes()
    assert np.allclose(node.configurations.positions / 1e-6, np.rint(node.configurations.positions / 1e-6), atol=1e-6)


def test_equal_content_makes_equal_nodes(profile, make_silicon):
    frames = make_silicon(2)
    narrow = frames.with_info(role=np.array(["train", "probe"], dtype="U5"), step=np.array([1, 2], dtype=np.int32))
    wide = frames.with_info(role=np.array(["train", "probe"], dtype="U40"), step=np.array([1, 2]))
    first, second = ConfigurationsData(narrow).store(), ConfigurationsData(wide).store()
    assert first.uuid != second.uuid
    assert first.base.caching.get_hash() == second.base.caching.get_hash()


def test_one_other_label_makes_another_hash(profile, make_silicon):
    frames = make_silicon(2, labelled=True)
    other = frames.with_labels(energy=frames.label("energy")[0] + [0.0, 1e-9])
    assert (
        ConfigurationsData(frames).store().base.caching.get_hash()
        != ConfigurationsData(other).store().base.caching.get_hash()
    )


def test_node_without_frames_can_be_stored(profile):
    node = ConfigurationsData(Configurations.empty()).store()
    assert len(load_node(node.pk).configurations) == 0
    assert node.elements == []


def test_empty_node_is_not_false(profile):
    assert ConfigurationsData(Configurations.empty())


def test_clone_has_the_same_frames(frames):
    clone = frames.clone()
    assert clone.configurations.hashes() == frames.hashes
    clone.store()


def test_node_exports_itself_as_extxyz(frames, tmp_path):
    frames.export(str(tmp_path / "frames.extxyz"), fileformat="extxyz")
    assert Configurations.read(tmp_path / "frames.extxyz").hashes() == frames.hashes


def test_parents_are_what_the_frames_say(frames):
    made = frames.configurations[[2, 0]]
    node = ConfigurationsData(with_parents(made, frames, [2, 0])).store()
    assert node.configurations.info["parent_uuid"].tolist() == [frames.uuid] * 2
    assert node.configurations.info["parent_hash"].tolist() == [frames.hashes[2], frames.hashes[0]]


def test_frames_without_parent_can_be_stored_beside_others(frames):
    made = with_parents(frames.configurations, frames, [-1, 1, -1])
    assert made.info["parent_uuid"].tolist() == ["", frames.uuid, ""]
    ConfigurationsData(made).store()


def test_broken_index_is_refused_on_store(frames):
    made = with_parents(frames.configurations, frames, [0, 1, 2])
    broken = made.with_info(parent_index=[0, 2, 2])
    with pytest.raises(ValidationError, match=f"frame 1: frame 2 of {frames.uuid} has the content hash"):
        ConfigurationsData(broken).store()


def test_index_beyond_the_parent_is_refused_on_store(frames):
    made = with_parents(frames.configurations, frames, [0, 1, 2]).with_info(parent_index=[0, 1, 3])
    with pytest.raises(ValidationError, match=r"frame 2: its parent is frame 3 .* which has 3 frames"):
        ConfigurationsData(made).store()


def test_parent_that_is_not_there_is_refused_on_store(frames):
    gone = "00000000-0000-4000-8000-000000000000"
    made = with_parents(frames.configurations, frames, [0, 1, 2]).with_info(parent_uuid=[gone] * 3)
    with pytest.raises(ValidationError, match=f"frame 0: its parent is in node {gone}"):
        ConfigurationsData(made).store()


def test_parent_must_hold_configurations(frames):
    other = orm.Int(1).store()
    made = with_parents(frames.configurations, frames, [0, 1, 2]).with_info(parent_uuid=[other.uuid] * 3)
    with pytest.raises(ValidationError, match="not a stored ConfigurationsData"):
        ConfigurationsData(made).store()


def test_parents_without_hashes_are_refused_on_store(frames):
    made = with_parents(frames.configurations, frames, [0, 1, 2]).without_info("parent_hash")
    with pytest.raises(ValidationError, match="no parent_hash"):
        ConfigurationsData(made).store()


def test_file_that_does_not_fit_its_attributes_is_refused(profile, make_silicon):
    node = ConfigurationsData(make_silicon(2))
    node.base.attributes.set("digest", "0" * 32)
    with pytest.raises(ValidationError, match="not those that the attributes describe"):
        node.store()


def test_file_that_cannot_be_read_is_refused(profile, make_silicon):
    node = ConfigurationsData(make_silicon(2))
    node.base.repository.put_object_from_bytes(b"nonsense", ConfigurationsData.FILENAME)
    with pytest.raises(ValidationError, match="cannot be read"):
        node.store()


def test_index_beyond_the_parent_is_named_when_parents_are_set(frames):
    with pytest.raises(InputError, match="frame 1: is said to be made from frame 7"):
        with_parents(frames.configurations, frames, [0, 7, 1])


def test_frames_without_parent_arrays_pass(make_silicon):
    assert check_parents(make_silicon(1)) is None


def test_frames_come_back_in_their_states(profile, make_silicon):
    """A node from before, without states, has the attributes and the hashes that it had."""
    plain = make_silicon(3)
    frames = plain.with_states(
        charge=[0, 1, 2],
        stated={"charge": [True, False, True]},
        initial_magmoms=np.linspace(-1, 1, plain.n_atoms),
        masses=30.0,
    )
    node = ConfigurationsData(frames).store()
    back = load_node(node.pk).configurations
    assert back.hashes() == frames.snapped().hashes() == node.hashes
    assert back.state_keys() == frames.snapped().state_keys()
    np.testing.assert_array_equal(back.masses, frames.masses)
    assert node.base.attributes.get("states") == {"charge": 2, "initial_magmoms": 3, "masses": 3}
    assert "states" not in ConfigurationsData(plain).base.attributes.all
    children = ConfigurationsData(with_parents(frames[[2, 0]], node, [2, 0])).store()
    assert children.hashes == [node.hashes[2], node.hashes[0]]
