"""Observations: numbers and arrays with units."""

from __future__ import annotations

import numpy as np
import pytest


def test_only_the_roles_asked_for_are_observed(chain):
    batches = (chain.label.outputs.labelled, chain.label_1.outputs.labelled)
    expected = sum(node.base.attributes.get("roles")["probe"] for node in batches)
    assert chain.observe_1.outputs.observation["n_frames"] == expected


def test_numbers_are_those_of_the_frames(chain):
    potential = chain.train_1.outputs.potential.load()
    parts = []
    for node in (chain.label.outputs.labelled, chain.label_1.outputs.labelled):
        frames = node.configurations
        frames = frames[frames.info["role"] == "probe"]
        parts.append((potential.predict(frames).force - frames.label("forces")[0]).ravel())
    rmse = 1000 * np.sqrt((np.concatenate(parts) ** 2).mean())
    assert chain.observe_1.outputs.observation["forces"]["rmse"]["value"] == pytest.approx(rmse, rel=1e-6)


def test_arrays_have_units(chain):
    arrays = chain.observe_1.outputs.arrays
    units = arrays.base.attributes.get("units")
    assert units["frame_force_rmse"] == "eV/Å"
    assert set(units) <= set(arrays.get_arraynames())


def test_frames_without_labels_are_reported_by_the_job(jobs, frames, potential):
    node = jobs.run(
        "observe", configurations={"frames": frames}, potential=potential, parameters={"observable": "errors"}
    )
    assert node.exit_status == 200
    assert "frame 0 has neither energy nor forces" in node.exit_message
