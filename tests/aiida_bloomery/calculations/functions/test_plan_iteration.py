"""A plan is the same whenever it is made of the same inputs."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.calculations.functions.campaign import next_seed, plan_iteration

STAGE = {"samplers": [{"rattle_strain": {"frames": 4}}, {"rattle_strain": {"frames": 2}}], "selectors": ["sanity"]}


def plan(**more):
    return plan_iteration(
        orm.Int(7), orm.Dict(STAGE), orm.Dict({"selectors": ["sanity"]}), orm.Dict({"max_labels": 50}), **more
    )


def test_every_sampler_has_a_key_of_its_own(profile):
    planned = plan()
    assert planned["samplers__rattle_strain_0"]["sampler"]["settings"] == {"frames": 4}
    assert planned["samplers__rattle_strain_1"]["sampler"]["settings"] == {"frames": 2}
    assert planned["selection"]["max_frames"] == 50
    assert "scale" not in planned


def test_same_inputs_give_the_same_plan_and_another_iteration_another_seed(profile):
    entry = {"labels_total": 20, "validation": {"forces": {"rmse": {"value": 80.0}}}}
    later = plan(history=orm.Dict({"iterations": [entry]}))
    assert plan()["seed"].value == plan()["seed"].value != later["seed"].value
    assert later["scale"].get_dict() == {"error": 0.08}
    assert later["selection"]["max_frames"] == 30


def test_next_seed_is_another_one(profile):
    first = next_seed(orm.Int(1))
    assert first.value == next_seed(orm.Int(1)).value
    assert len({1, first.value, next_seed(first).value}) == 3
