"""Labelled frames that exist become batches in the graph: every frame says which frame of which file it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from aiida import orm

from aiida_bloomery.calculations.functions.adoption import adopt, compare_labels, frames_to_check
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.report.words import told_source
from bloomery.campaign.record import AdoptedSource
from bloomery.frames.configurations import Configurations

SELECTION = {"selectors": ["sanity"]}


@pytest.fixture(scope="module")
def mine(profile: object, make_silicon: Callable[..., Configurations]) -> ConfigurationsData:
    """Twelve labelled frames of a file, of which the last is the first once more."""
    frames = make_silicon(11, 0.1, 5, labelled=True)
    return ConfigurationsData(Configurations.concatenate([frames, frames[:1]])).store()


def settings(**more: object) -> orm.Dict:
    source = {"name": "mine.extxyz", "batches": ["adopted_000"], "digest": "d"}
    return orm.Dict({"sources": [source], "check_labels": 3, **more})


def test_frames_of_a_file_become_a_batch(mine: ConfigurationsData) -> None:
    outputs = adopt(settings=settings(), selection=orm.Dict(SELECTION), seed=orm.Int(1), adopted_000=mine)
    (source,) = outputs["adopted"]["sources"]
    assert (source["n_frames"], source["duplicates"], source["batches"]) == (11, 1, ["adopted_000"])
    batch = outputs["adopted_000"]
    assert batch.hashes == mine.hashes[:11]
    assert set(batch.configurations.info["parent_uuid"]) == {mine.uuid}
    assert batch.configurations.info["parent_index"].tolist() == list(range(11))
    assert batch.base.attributes.get("roles") == source["by_role"]
    np.testing.assert_array_equal(batch.configurations.label("forces")[0], mine.configurations[:11].label("forces")[0])


def test_a_label_that_cannot_be_right_stays_out_unless_nothing_is_suspect(mine: ConfigurationsData) -> None:
    frames = mine.configurations
    energies = frames.label("energy")[0].copy()
    energies[5] -= 20
    spoilt = ConfigurationsData(frames.with_labels(energy=energies, forces=frames.label("forces")[0])).store()
    given = {"settings": settings(), "selection": orm.Dict(SELECTION), "seed": orm.Int(1), "adopted_000": spoilt}
    outputs = adopt(**given)
    (source,) = outputs["adopted"]["sources"]
    assert [(one["batch"], one["frame"]) for one in source["suspects"]] == [("adopted_000", 5)]
    assert "Its energy is" in told_source(AdoptedSource.model_validate(source))
    assert 5 not in outputs["adopted_000"].configurations.info["parent_index"]
    (source,) = adopt(**given, suspects=orm.Dict({"check": False}))["adopted"]["sources"]
    assert source["n_frames"] == 11


def test_a_batch_of_a_campaign_is_taken_by_reference(labelled_frames: ConfigurationsData) -> None:
    source = {"name": "campaign old", "batches": ["adopted_000_batch_000"], "campaign": "uuid", "checked": False}
    outputs = adopt(
        settings=orm.Dict({"sources": [source]}),
        selection=orm.Dict(SELECTION),
        seed=orm.Int(1),
        adopted_000_batch_000=labelled_frames,
    )
    assert set(outputs) == {"adopted"}
    assert outputs["adopted"]["sources"][0]["by_role"] == labelled_frames.base.attributes.get("roles")


def test_nothing_is_labelled_again_that_is_known(mine: ConfigurationsData) -> None:
    first = {"name": "a", "batches": ["adopted_000"], "campaign": "uuid", "checked": False}
    second = {"name": "b", "batches": ["adopted_001"]}
    asked = orm.Dict({"sources": [first, second]})
    assert frames_to_check(settings=asked, seed=orm.Int(1), adopted_000=mine, adopted_001=mine) == {}


def test_some_are_labelled_again_and_compared(mine: ConfigurationsData) -> None:
    frames = frames_to_check(settings=settings(), seed=orm.Int(1), adopted_000=mine)["frames"]
    assert (frames.n_frames, frames.base.attributes.get("labels")) == (3, {})
    places = frames.configurations.info["parent_index"]
    labelled = mine.configurations[places]
    again = ConfigurationsData(labelled.with_labels(forces=2 * labelled.label("forces")[0]))
    compared = compare_labels(settings=settings(), again=again, adopted_000=mine)
    assert compared["adopted_000"]["n_frames"] == 3
    assert compared["adopted_000"]["factor"] == pytest.approx(2)
    assert compared["adopted_000"]["energy"] == pytest.approx(0, abs=1e-9)
    outputs = adopt(
        settings=settings(), selection=orm.Dict(SELECTION), seed=orm.Int(1), compared=compared, adopted_000=mine
    )
    assert outputs["adopted"]["sources"][0]["compared"]["factor"] == pytest.approx(2)


def test_frames_that_are_labelled_again_descend_from_their_new_labels(mine: ConfigurationsData) -> None:
    source = {"name": "mine.extxyz", "batches": ["adopted_000"], "digest": "d", "relabel": True, "checked": False}
    asked = orm.Dict({"sources": [source]})
    drawn = frames_to_check(settings=asked, seed=orm.Int(1), adopted_000=mine)["frames"]
    assert (drawn.n_frames, drawn.base.attributes.get("labels")) == (11, {})
    order = np.random.default_rng(2).permutation(11)
    forces = mine.configurations[drawn.configurations.info["parent_index"][order]].label("forces")[0]
    again = ConfigurationsData(drawn.configurations[order].with_labels(forces=-forces)).store()
    outputs = adopt(settings=asked, selection=orm.Dict(SELECTION), seed=orm.Int(1), again=again, adopted_000=mine)
    batch = outputs["adopted_000"].configurations
    assert set(batch.info["parent_uuid"]) == {again.uuid}
    assert [again.hashes[i] for i in batch.info["parent_index"]] == batch.hashes() == mine.hashes[:11]
    np.testing.assert_array_equal(batch.label("forces")[0], -mine.configurations[:11].label("forces")[0])
