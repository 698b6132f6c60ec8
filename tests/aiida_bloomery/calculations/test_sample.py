"""Sampling jobs: what is sampled knows the structure that it began as."""

from __future__ import annotations

import ase
import pytest

from aiida_bloomery.provenance.lineage import lineage
from bloomery.frames.configurations import Configurations


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


def test_trajectories_go_on_in_the_next_job(jobs, frames, potential):
    settings = {"temperatures": [300], "steps": 6, "interval": 2, "steps_per_run": 4, "max_disagreement": None}
    inputs = {"start": frames, "potential": potential, "parameters": {"sampler": {"on_the_fly": settings}}}
    first = jobs.done("sample", seed=1, **inputs)
    assert first.outputs.left.n_frames == 3
    second = jobs.done("sample", seed=2, continued=first.outputs.left, **inputs)
    info = second.outputs.frames.configurations.info
    assert info["step"].tolist() == [4, 6] * 3
    assert set(info["parent_uuid"].tolist()) == {first.outputs.left.uuid}
    assert info["parent_index"].tolist() == [0, 0, 1, 1, 2, 2]
    assert second.outputs.frames.hashes[::2] == first.outputs.left.hashes == first.outputs.frames.hashes[1::2]
    assert second.outputs.left.n_frames == 0
    kinds = [step.kind for step in lineage(second.outputs.frames, 5).steps]
    assert kinds == ["sampling", "sampling", "structure"]


def test_a_frame_is_in_one_state_from_its_structure_to_its_label(jobs, frames):
    """Parents are found by content, which the state is part of, so lineage shows that it is the same all the way."""
    charged = type(frames)(frames.configurations.with_states(charge=[2, 0, -2], electronic_temperature=500)).store()
    settings = {"temperatures": [300], "steps": 4, "interval": 2, "calculator": "stillinger_weber"}
    told = {"charge": "info", "electronic_temperature": "info"}
    settings["calculator"] = {"name": "stillinger_weber", "state": told}
    sampled = jobs.done("sample", seed=1, start=charged, parameters={"sampler": {"reference_md": settings}})
    found = sampled.outputs.frames.configurations
    assert found.states["charge"].tolist() == [2.0, 2.0, 0.0, 0.0, -2.0, -2.0]
    assert set(found.info["parent_hash"].tolist()) == set(charged.hashes)
    labeller = {"name": "calculator", "settings": {"calculator": settings["calculator"]}}
    labelled = jobs.done("label", configurations=sampled.outputs.frames, parameters={"labeller": labeller})
    steps = lineage(labelled.outputs.labelled, 5).steps
    assert [step.facts.get("charge") for step in steps] == [-2, None, -2]
    assert steps[0].facts["electronic_temperature"] == 500


def test_samplers_that_begin_anew_have_nothing_to_go_on_from(jobs, frames):
    with pytest.raises(ValueError, match="continued: the sampler 'rattle_strain' does not go on from an earlier job"):
        jobs.run("sample", start=frames, continued=frames, parameters={"sampler": "rattle_strain"})
