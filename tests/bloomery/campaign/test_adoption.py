"""Labelled frames that exist already: which are taken, which are checked, and what role each plays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.campaign.adoption import DataSettings, adopt, to_check
from bloomery.campaign.same_method import Compared
from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import RoleSettings
from bloomery.frames.suspects import SuspectSettings
from bloomery.reference.teachers import teacher_for


def frames(n: int, seed: int = 0) -> Configurations:
    rng = np.random.default_rng(seed)
    atoms = [bulk("Si", cubic=True) for _ in range(n)]
    for one in atoms:
        one.rattle(0.1, rng=rng)
    made = Configurations.from_atoms(atoms).snapped()
    return made.with_labels(energy=rng.normal(-34, 1, n), forces=rng.normal(0, 1, (8 * n, 3)))


def settings(**sources: dict[str, Any]) -> DataSettings:
    return DataSettings(sources=[{"name": f"{key}.extxyz", "batches": [key], **more} for key, more in sources.items()])


def test_frames_of_a_file_get_roles_and_keep_their_groups() -> None:
    mine = frames(20).with_info(config_type=["hot"] * 20, role=["probe"] * 20, weight=np.ones(20), step=np.arange(20))
    found = adopt({"a": mine}, settings(a={"digest": "d"}), RoleSettings(), {}, 1)
    (source,) = found.sources
    assert source.by_role == {"held_out": 4, "early_stopping": 1, "calibration": 1, "train": 14}
    taken = found.taken["a"]
    assert not taken.as_it_is
    assert {"config_type", "role", "source", "source_frame", "block", "trajectory", "pool"} <= set(taken.frames.info)
    assert "weight" not in taken.frames.info
    assert taken.frames.info["source_frame"].tolist() == list(range(20))
    again = adopt({"a": mine}, settings(a={"digest": "d"}), RoleSettings(), {}, 1)
    assert again.taken["a"].frames.digest() == taken.frames.digest()
    other = adopt({"a": mine}, settings(a={"digest": "d"}), RoleSettings(), {}, 2)
    assert other.taken["a"].frames.info["role"].tolist() != taken.frames.info["role"].tolist()


def test_blocks_of_a_file_are_held_out_as_a_whole() -> None:
    found = adopt({"a": frames(40)}, settings(a={"block_frames": 5}), RoleSettings(), {}, 3)
    roles = found.taken["a"].frames.info["role"].reshape(8, 5)
    assert (roles == roles[:, :1]).all()
    assert (roles == "held_out").sum() == 10


def test_of_equal_frames_the_first_is_taken() -> None:
    mine, more = frames(10), frames(4, seed=1)
    both = Configurations.concatenate([mine[[3, 3]], more, mine[:2]])
    found = adopt({"a": mine, "b": both, "c": more}, settings(a={}, b={}, c={}), RoleSettings(), {}, 1)
    assert [(source.n_frames, source.duplicates) for source in found.sources] == [(10, 0), (4, 4), (0, 4)]
    assert found.taken["b"].indices.tolist() == [2, 3, 4, 5]
    assert [source.batches for source in found.sources] == [["a"], ["b"], []]
    assert set(found.taken) == {"a", "b"}


def test_a_batch_of_a_campaign_stays_as_it_is_unless_something_is_left_out() -> None:
    batch = frames(6).with_info(role=["probe", "probe", "train", "train", "train", "early_stopping"])
    whole = adopt({"a": batch}, settings(a={"campaign": "uuid"}), RoleSettings(), {}, 1)
    assert whole.taken["a"].as_it_is
    assert whole.sources[0].by_role == {"early_stopping": 1, "probe": 2, "train": 3}
    part = adopt({"x": batch[:1], "a": batch}, settings(x={}, a={"campaign": "uuid"}), RoleSettings(), {}, 1)
    assert not part.taken["a"].as_it_is
    assert part.taken["a"].frames.info["role"].tolist() == batch.info["role"].tolist()[1:]


def test_energies_are_moved_by_the_shift_of_their_source() -> None:
    mine = frames(6)
    compared = {"a": Compared(n_frames=5, shift={"Si": 0.5})}
    found = adopt({"a": mine, "b": frames(6, 1)}, settings(a={}, b={}), RoleSettings(), compared, 1)
    np.testing.assert_allclose(found.taken["a"].frames.label("energy")[0] - mine.label("energy")[0], 4.0)
    assert found.sources[0].compared == compared["a"]
    assert found.sources[1].compared is None


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 1, 0, 2, 5, 6, 4]])
def test_the_check_draws_by_content_and_seed(order: list[int]) -> None:
    mine, other = frames(8), frames(3, 1)
    asked = settings(a={}, b={"checked": False}, c={}).model_copy(update={"check_labels": 3})
    places = list(to_check([mine[order], mine[:2], Configurations.concatenate([mine[:3], other])], asked, 5))
    assert [place for place, _ in places] == [0, 0, 0, 2, 2, 2]
    assert {order[index] for place, index in places if not place} == {
        index for place, index in to_check([mine], settings(a={}).model_copy(update={"check_labels": 3}), 5)
    }
    # What is there already is not asked for twice.
    assert {index for place, index in places if place == 2} == {3, 4, 5}


def test_frames_that_are_labelled_again_keep_what_they_say_and_lose_their_old_labels() -> None:
    mine = frames(6).with_info(role=["probe", "probe", "train", "train", "train", "early_stopping"], step=np.arange(6))
    asked = settings(a={"campaign": "uuid", "relabel": True, "checked": False}, b={})
    places = list(to_check([mine, frames(2, 1)], asked, 5))
    assert [place for place in places if place[0] == 0] == [(0, i) for i in range(6)]
    assert asked.buys_labels
    # Frame 3 could not be labelled.
    order = [5, 4, 0, 1, 2]
    new = np.random.default_rng(3).normal(0, 1, (40, 3))
    again = mine[order].without_labels().without_info("role", "step").with_labels(forces=new)
    found = adopt({"a": mine, "b": frames(2, 1)}, asked, RoleSettings(), {}, 1, again.with_info(label_uuid="job"))
    taken, (first, second) = found.taken["a"], found.sources
    assert (first.n_frames, first.unlabelled, first.duplicates, first.relabelled) == (5, 1, 0, True)
    assert (second.n_frames, second.unlabelled, second.relabelled) == (2, 0, False)
    assert taken.indices.tolist() == [0, 1, 2, 4, 5]
    assert taken.frames.info["role"].tolist() == ["probe", "probe", "train", "train", "early_stopping"]
    assert taken.frames.info["step"].tolist() == [0, 1, 2, 4, 5]
    assert set(taken.frames.info["label_uuid"]) == {"job"}
    assert set(taken.frames.info["source"]) == {"a.extxyz"}
    assert taken.frames.info["source_frame"].tolist() == [0, 1, 2, 4, 5]
    assert taken.frames.hashes() == [mine.hashes()[i] for i in (0, 1, 2, 4, 5)]
    assert not taken.frames.has("energy").any()
    assert taken.again is not None
    assert taken.again.tolist() == [2, 3, 4, 1, 0]
    np.testing.assert_array_equal(taken.frames[3].label("forces")[0], new[8:16])


def test_of_a_source_that_is_labelled_again_equal_frames_count_once() -> None:
    mine = frames(3)
    both = Configurations.concatenate([mine, mine[:2]])
    asked = settings(a={"relabel": True, "digest": "d"})
    assert len(list(to_check([both], asked, 1))) == 3
    found = adopt({"a": both}, asked, RoleSettings(), {}, 1, mine)
    assert (found.sources[0].n_frames, found.sources[0].duplicates, found.sources[0].unlabelled) == (3, 2, 0)


@pytest.fixture(scope="module")
def planted() -> Configurations:
    """Twenty frames with labels of a potential, two of which somebody has spoilt: forces of 4, the energy of 7."""
    bare = frames(20).without_labels()
    atoms = bare.to_atoms()
    for one in atoms:
        one.calc = teacher_for(["Si"]).make()
    forces = np.stack([one.get_forces() for one in atoms])
    energies = np.array([one.get_potential_energy() for one in atoms])
    forces[4] *= 20
    energies[7] -= 8.0
    return bare.with_labels(energy=energies, forces=forces.reshape(-1, 3))


def test_labels_of_a_file_that_cannot_be_right_are_kept_out_and_told(planted: Configurations) -> None:
    mine = Configurations.concatenate([planted[:2], planted])
    found = adopt({"a": mine}, settings(a={}), RoleSettings(), {}, 1)
    (source,) = found.sources
    assert (source.n_frames, source.duplicates, source.unlabelled) == (18, 2, 0)
    assert [(one.batch, one.frame) for one in source.suspects] == [("a", 6), ("a", 9)]
    assert source.suspects[0].reason.startswith("Its largest force")
    assert source.suspects[1].reason.startswith("Its energy is")
    taken = found.taken["a"]
    assert not {6, 9} & set(taken.frames.info["source_frame"].tolist())
    assert taken.frames.hashes() == [mine.hashes()[i] for i in taken.indices]


@pytest.mark.parametrize(
    ("more", "suspicion"),
    [({"trusted": True}, None), ({}, SuspectSettings(check=False)), ({"campaign": "uuid"}, None)],
)
def test_whoever_knows_better_learns_from_all_labels(
    planted: Configurations, more: dict[str, Any], suspicion: SuspectSettings | None
) -> None:
    mine = planted.with_info(role=["train"] * 20)
    (source,) = adopt({"a": mine}, settings(a=more), RoleSettings(), {}, 1, suspicion=suspicion).sources
    assert (source.n_frames, source.suspects) == (20, [])


def test_labels_that_were_bought_anew_are_judged_too_over_all_batches(planted: Configurations) -> None:
    order = np.arange(20)[::-1]
    again = planted[order].with_info(label_uuid="job")
    mine = planted.without_labels().with_info(role=["train"] * 20)
    asked = settings(a={"batches": ["a", "b"], "campaign": "uuid", "relabel": True, "checked": False})
    found = adopt({"a": mine[:6], "b": mine[6:]}, asked, RoleSettings(), {}, 1, again)
    (source,) = found.sources
    assert [(one.batch, one.frame) for one in source.suspects] == [("a", 4), ("b", 1)]
    assert (source.n_frames, source.unlabelled) == (18, 0)
    left = found.taken["b"]
    assert left.again is not None
    assert left.indices.tolist() == [0, *range(2, 14)]
    assert [again.hashes()[i] for i in left.again] == left.frames.hashes()
