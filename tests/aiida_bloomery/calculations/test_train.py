"""Training jobs, with the embedded engine."""

from __future__ import annotations

import json

import pytest

from aiida_bloomery.data.potential import PotentialData

TINY = {"engine": {"hdnnp": {"members": 2, "steps": 5, "hidden": [4]}}}


def test_potential_and_history_come_out(chain):
    potential, history = chain.train.outputs.potential, chain.train.outputs.history
    assert isinstance(potential, PotentialData)
    assert potential.members == 2
    assert len(history["columns"]["train_loss"]) == len(history["columns"]["step"])
    assert history["summary"]["acceptance"]["passed"]


def test_label_names_the_engine_unless_another_is_given(jobs, chain, labelled_frames):
    assert chain.train.process_type == "aiida.calculations:bloomery.train"
    assert chain.train.label == "hdnnp"
    node = jobs.done(
        "train", batches={"batch_000": labelled_frames}, parameters=TINY, metadata={"label": "a first try"}
    )
    assert node.label == "a first try"


def test_a_warm_start_needs_a_potential_of_the_same_engine(jobs, chain, labelled_frames):
    inputs = {"batches": {"batch_000": labelled_frames}, "start_from": chain.train.outputs.potential}
    with pytest.raises(ValueError, match="start_from: was fitted by 'hdnnp'; a warm start needs"):
        jobs.run("train", parameters={"engine": "gap"}, **inputs)


def test_only_the_role_train_is_fitted(chain):
    roles = chain.label.outputs.labelled.base.attributes.get("roles")
    trained_on = chain.train.outputs.potential.base.attributes.get("trained_on")
    assert trained_on["frames"] == roles["train"] < chain.label.outputs.labelled.n_frames


def test_warm_start_is_not_for_the_job(chain):
    assert "warm_start" not in json.loads(chain.train.base.repository.get_object_content("job.json"))


def test_energy_reference_is_the_given_one(jobs, labelled_frames):
    node = jobs.done(
        "train",
        batches={"batch_000": labelled_frames},
        parameters=TINY,
        energy_reference={"values": {"Si": -4.0}, "method": "values"},
    )
    assert node.outputs.potential.energy_reference == {"Si": -4.0}


def test_refused_potential_has_its_own_exit_code_and_is_kept(jobs, labelled_frames):
    parameters = {**TINY, "acceptance": {"tolerance": 1e-30}}
    node = jobs.run("train", batches={"batch_000": labelled_frames}, parameters=parameters)
    assert node.exit_status == 440
    assert "potential" not in node.outputs
    assert "potential.json" in node.outputs.retrieved.list_object_names("refused")


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({"parameters": {"engine": {"hdnnp": {"member": 3}}}}, r"hdnnp\.member: there is no such key"),
        ({"parameters": {"engine": "gpa"}}, "engine 'gpa' is not registered"),
        ({"parameters": {**TINY, "acceptance": {"nonsense": 1}}}, r"acceptance\.nonsense: there is no such key"),
        ({"energy_reference": {"values": {"C": 1.0}}}, r"energy_reference\.values\.Si: is missing"),
    ],
)
def test_mistakes_are_refused_at_submission(jobs, labelled_frames, inputs, match):
    with pytest.raises(ValueError, match=match):
        jobs.run("train", **{"batches": {"batch_000": labelled_frames}, "parameters": TINY, **inputs})


def test_frames_without_labels_are_refused(jobs, frames):
    with pytest.raises(ValueError, match="batches: no frame has a label"):
        jobs.run("train", batches={"batch_000": frames}, parameters=TINY)
