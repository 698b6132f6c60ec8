"""Selection jobs: what is selected knows its place in the pool."""

from __future__ import annotations

import pytest


def test_parents_are_frames_of_the_pool(chain):
    pool, selected = chain.sample_1.outputs.frames, chain.select_1.outputs.selected
    info = selected.configurations.info
    assert set(info["parent_uuid"].tolist()) == {pool.uuid}
    assert [pool.hashes[index] for index in info["parent_index"]] == selected.hashes


def test_roles_and_rules_are_kept(chain):
    selected = chain.select_1.outputs.selected
    info = selected.configurations.info
    assert selected.base.attributes.get("roles")["probe"] >= 1
    assert set(info["rule"].tolist()) == {"probe", "farthest_point"}
    assert set(info["pool"].tolist()) == {"md_0"}
    assert selected.n_frames == chain.select_1.outputs.funnel["n_selected"] <= 6


def test_nothing_left_gives_a_funnel_and_no_frames(chain, jobs):
    pools = {"rattle_strain_0": chain.sample.outputs.frames}
    parameters = {"selectors": ["sanity", {"random": {"frames": 3}}], "max_frames": 0}
    node = jobs.done("select", pools=pools, parameters=parameters)
    assert "selected" not in node.outputs
    assert node.outputs.funnel["n_selected"] == 0


def test_selector_without_its_features_is_refused(chain, jobs):
    with pytest.raises(ValueError, match="features: is missing; the selector 'farthest_point' needs"):
        jobs.run(
            "select",
            pools={"pool": chain.sample.outputs.frames},
            parameters={"selectors": [{"farthest_point": {"frames": 2}}]},
        )


def test_selector_of_atoms_needs_a_descriptor(chain, jobs):
    inputs = {"pools": {"pool": chain.sample.outputs.frames}}
    inputs["parameters"] = {"selectors": [{"farthest_point": {"frames": 2, "per": "atom"}}]}
    with pytest.raises(ValueError, match="descriptor: is missing; the selector 'farthest_point' compares atoms"):
        jobs.run("select", **inputs)
    with pytest.raises(ValueError, match="descriptor: descriptor 'soup' is not registered"):
        jobs.run("select", **inputs, descriptor={"descriptor": "soup"})


def test_no_pool_is_refused(jobs):
    with pytest.raises(ValueError, match="pools: is empty"):
        jobs.run("select", pools={}, parameters={"selectors": ["sanity"]})


def test_roles_are_checked_at_submission(chain, jobs):
    with pytest.raises(ValueError, match=r"parameters\.roles\.probe_share: .* got 2"):
        jobs.run(
            "select",
            pools={"pool": chain.sample.outputs.frames},
            parameters={"selectors": ["sanity"], "roles": {"probe_share": 2}},
        )


def test_known_errors_are_checked_at_submission(chain, jobs):
    with pytest.raises(ValueError, match=r"scale\.factor: .* greater than 0, got -1"):
        jobs.run(
            "select",
            pools={"pool": chain.sample.outputs.frames},
            parameters={"selectors": ["sanity"]},
            scale={"factor": -1},
        )
