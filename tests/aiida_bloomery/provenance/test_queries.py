"""The recipes of the documentation, each on a graph whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_bloomery.provenance import queries


@pytest.fixture(scope="module")
def batches(chain):
    return chain.label.outputs.labelled, chain.label_1.outputs.labelled


def test_frames_by_temperature(batches):
    temperature = batches[1].configurations.info["temperature"]
    found = {node.uuid: indices for node, indices in queries.frames_by_temperature(800, 1000)}
    assert found.get(batches[1].uuid, []) == np.flatnonzero(temperature == 900).tolist()
    assert batches[0].uuid not in found
    found = {node.uuid: indices for node, indices in queries.frames_by_temperature(0, 2000)}
    assert found[batches[1].uuid] == list(range(batches[1].n_frames))


def test_pools_are_not_labelled_and_not_found(chain):
    found = [node.uuid for node, _ in queries.frames_by_temperature(0, 2000)]
    assert chain.sample_1.outputs.frames.uuid not in found


def test_frames_by_error(chain, batches):
    potential = chain.train_1.outputs.potential
    found = list(queries.frames_by_error(potential, 0.0))
    errors = [error for _, _, error in found]
    assert errors == sorted(errors, reverse=True)
    assert len(found) == chain.observe_1.outputs.observation["n_frames"]
    for node, index, error in found:
        frame = node.configurations[[index]]
        assert frame.info["role"][0] == "probe"
        difference = potential.load().predict(frame).force - frame.label("forces")[0]
        assert error == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-6)
    limit = errors[0] - 1e-9
    assert len(list(queries.frames_by_error(potential, limit))) == sum(error >= limit for error in errors)


def test_potential_that_nobody_observed_has_no_errors(potential):
    assert list(queries.frames_by_error(potential, 0.0)) == []


def test_frames_by_iteration(chain, batches):
    assert queries.frames_by_iteration(chain.campaign, 0).uuid == batches[0].uuid
    assert queries.frames_by_iteration(chain.campaign, 1).uuid == batches[1].uuid
    assert queries.frames_by_iteration(chain.campaign, 2) is None


def test_labels_by_version(batches):
    found = {node.uuid for node in queries.labels_by_version("calculator, bloomery 0")}
    assert {node.uuid for node in batches} <= found
    assert queries.labels_by_version("pw.x 99") == []


def test_labels_by_code(bloomery_code, batches):
    found = {node.uuid for node in queries.labels_by_code(bloomery_code)}
    assert {node.uuid for node in batches} <= found


def test_potentials_of_a_batch(chain, batches):
    potentials = [chain.train.outputs.potential.uuid, chain.train_1.outputs.potential.uuid]
    assert [node.uuid for node in queries.potentials_of(batches[0])] == potentials
    assert [node.uuid for node in queries.potentials_of(batches[1])] == potentials[1:]
