"""Sampling jobs: what is sampled knows the structure that it began as."""

from __future__ import annotations

import ase
import pytest

from bloomery.configurations import Configurations


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


def test_structures_of_unknown_elements_are_refused(jobs, frames, potential):
    carbon = type(frames)(Configurations.from_atoms([ase.Atoms("C", cell=[5, 5, 5], pbc=True)])).store()
    with pytest.raises(ValueError, match="start: holds C, which the potential does not know"):
        jobs.run("sample", start=carbon, potential=potential, parameters={"sampler": {"md": {"temperatures": [300]}}})


def test_nothing_to_start_from_is_refused(jobs, frames):
    with pytest.raises(ValueError, match="start: holds no frame"):
        jobs.run("sample", start=frames.configurations[:0], parameters={"sampler": "rattle_strain"})
