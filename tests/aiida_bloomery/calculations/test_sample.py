"""Sampling jobs: what is sampled knows the structure that it began as."""

from __future__ import annotations

import pytest


def test_parents_are_the_starting_structures(chain, frames):
    info = chain.sample.outputs.frames.configurations.info
    assert set(info["parent_uuid"].tolist()) == {frames.uuid}
    assert info["parent_index"].tolist() == info["start"].tolist()
    assert info["parent_hash"].tolist() == [frames.hashes[index] for index in info["start"]]


def test_potential_drives_the_dynamics(chain):
    configurations = chain.sample_1.outputs.frames.configurations
    assert set(configurations.info["temperature"].tolist()) == {300.0, 900.0}
    assert (configurations.info["disagreement"] >= 0).all()
    assert chain.sample_1.outputs.frames.base.attributes.get("temperature") == {"min": 300.0, "max": 900.0}
    assert len(chain.sample_1.outputs.report["trajectories"]) == 6


def test_same_seed_samples_the_same_frames(chain, jobs, frames):
    again = jobs.done("sample", start=frames, seed=1, parameters=chain.sample.inputs.parameters)
    assert again.outputs.frames.hashes == chain.sample.outputs.frames.hashes


def test_dynamics_without_potential_are_refused(jobs, frames):
    with pytest.raises(ValueError, match="potential: is missing; the sampler 'md' needs one"):
        jobs.run("sample", start=frames, parameters={"sampler": {"md": {"temperatures": [300]}}})


def test_bad_structures_are_reported_by_the_job(jobs, frames):
    from_empty = type(frames)(frames.configurations[:0]).store()
    node = jobs.run("sample", start=from_empty, parameters={"sampler": "rattle_strain"})
    assert node.exit_status == 200
    assert node.exit_message == "rattle_strain: there are no starting structures; give at least one."
