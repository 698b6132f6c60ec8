"""Every frame tells where it comes from, and everything tells which frames came from it."""

from __future__ import annotations

import json

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.lineage import descendants, frames_from, lineage, potential_origin
from aiida_bloomery.provenance.queries import potentials_of
from bloomery.errors import InputError


@pytest.fixture(scope="module")
def batches(chain):
    return chain.label.outputs.labelled, chain.label_1.outputs.labelled


def test_data_set_of_a_running_campaign_is_what_it_has_labelled(chain, batches):
    assert {key: node.uuid for key, node in campaigns.data_set(chain.campaign).items()} == {
        "batch_000": batches[0].uuid,
        "batch_001": batches[1].uuid,
    }


def test_frames_are_counted_over_the_batches(chain, batches):
    first = lineage(chain.campaign, batches[0].n_frames)
    assert first.batch == "batch_001"
    assert first.steps[0].node.uuid == batches[1].uuid
    assert first.steps[0].index == 0


def test_chain_of_a_frame_of_the_bootstrap(chain, batches, frames):
    found = lineage(chain.campaign, 4)
    assert [step.kind for step in found.steps] == ["label", "selection", "sampling", "structure"]
    assert [step.process.uuid for step in found.steps[:3]] == [chain.label.uuid, chain.select.uuid, chain.sample.uuid]
    assert found.steps[-1].process is None
    assert found.steps[-1].node.uuid == frames.uuid
    assert found.potentials == []
    info = batches[0].configurations.info
    assert found.steps[1].facts["rule"] == info["rule"][4]
    assert found.steps[1].facts["score"] == info["score"][4]
    assert found.steps[2].facts["sampler"] == {"rattle_strain": {"frames": 8}}
    assert found.steps[2].facts["trajectory"] == info["trajectory"][4]


def test_chain_of_a_driven_frame_leads_to_the_training_set(chain, batches):
    found = lineage(batches[1], 1)
    sampling = found.steps[2]
    assert sampling.potential.uuid == chain.train.outputs.potential.uuid
    assert sampling.facts["temperature"] in {300.0, 900.0}
    assert sampling.facts["disagreement"] >= 0
    (origin,) = found.potentials
    assert origin.training.uuid == chain.train.uuid
    assert {key: node.uuid for key, node in origin.training_set.items()} == {"batch_000": batches[0].uuid}


def test_hash_is_the_same_from_the_sampling_to_the_label(chain, batches):
    for index in range(batches[1].n_frames):
        label, selection, sampling, structure = lineage(batches[1], index).steps
        assert label.hash == selection.hash == sampling.hash != structure.hash


def test_warm_start_is_told(chain):
    origin = potential_origin(chain.train_1.outputs.potential)
    assert origin.start_from.uuid == chain.train.outputs.potential.uuid
    assert list(origin.training_set) == ["batch_000", "batch_001"]


def test_a_training_by_the_job_of_one_engine_is_found(chain, batches):
    """Campaigns of earlier versions trained by calculations named after their engines."""
    training = orm.CalcJobNode(computer=chain.train.computer, process_type="aiida.calculations:bloomery.train.hdnnp")
    training.set_process_label("TrainHdnnpCalculation")
    batch = batches[0].clone().store()
    training.base.links.add_incoming(batch, LinkType.INPUT_CALC, "batches__batch_000")
    training.store()
    potential = chain.train.outputs.potential.clone()
    potential.base.links.add_incoming(training, LinkType.CREATE, "potential")
    potential.store()
    origin = potential_origin(potential)
    assert str(origin.training) == f"TrainHdnnpCalculation<{training.pk}>"
    assert list(origin.training_set) == ["batch_000"]
    assert [node.uuid for node in potentials_of(batch)] == [potential.uuid]


def test_label_calculation_with_its_input(chain):
    label = lineage(chain.campaign, 0).steps[0]
    assert label.facts["input"] == "job.json"
    assert label.facts["code"] == "bloomery@here"


def test_plain_values_are_json(chain):
    found = json.loads(json.dumps(lineage(chain.campaign, 9).as_dict()))
    assert found["steps"][0]["process"]["uuid"]


def test_lines_name_every_node(chain, batches):
    found = lineage(batches[1], 0)
    text = "\n".join(found.lines())
    for step in found.steps:
        assert f"{step.node.kind}<{step.node.pk}>" in text
    assert str(found.potentials[0].training) in text


@pytest.mark.parametrize("frame", [-1, 10_000])
def test_frame_that_is_not_there(chain, batches, frame):
    with pytest.raises(InputError, match=f"frame {frame}: the data set of campaign .* counted from 0"):
        lineage(chain.campaign, frame)
    with pytest.raises(InputError, match=f"frame {frame}: node {batches[0].pk} has"):
        lineage(batches[0], frame)


def test_node_that_is_no_campaign(chain):
    with pytest.raises(InputError, match=r"is not a campaign but SampleCalculation\(rattle_strain\)"):
        lineage(chain.sample, 0)


# -- the other way round ---------------------------------------------------------------------------------------------


def places(found):
    return {(entry.node.uuid, entry.index) for entry in found}


def all_of(*nodes):
    return {(node.uuid, index) for node in nodes for index in range(node.n_frames)}


def test_frames_from_a_label_calculation(chain, batches):
    assert places(frames_from(chain.label_1)) == all_of(batches[1])
    assert places(frames_from(chain.label_1, campaign=chain.campaign)) == all_of(batches[1])


def test_frames_from_a_sampling_job(chain, batches):
    assert places(frames_from(chain.sample, campaign=chain.campaign)) == all_of(batches[0])
    assert places(frames_from(chain.sample_1)) == all_of(batches[1])


def test_frames_from_a_potential(chain, batches):
    assert places(frames_from(chain.train.outputs.potential)) == all_of(batches[1])
    assert frames_from(chain.train_1.outputs.potential) == []


def test_frames_from_a_structure(chain, batches, frames):
    assert places(frames_from(frames, campaign=chain.campaign)) == all_of(*batches)
    expected = {
        (node.uuid, index)
        for node in batches
        for index in range(node.n_frames)
        if node.configurations.info["start"][index] == 1
    }
    assert places(frames_from(frames, index=1, campaign=chain.campaign)) == expected != set()


def test_parts_that_a_workchain_joined_are_not_counted_twice(frames, computer):
    workchain = orm.WorkChainNode().store()
    pack = orm.CalcJobNode(computer=computer)
    pack.base.links.add_incoming(workchain, LinkType.CALL_CALC, "pack")
    pack.base.links.add_incoming(frames, LinkType.INPUT_CALC, "configurations")
    pack.store()
    labelled = with_parents(frames.configurations, frames, range(3)).with_info(label_uuid=pack.uuid)
    part = ConfigurationsData(labelled)
    part.base.links.add_incoming(pack, LinkType.CREATE, "labelled")
    part.store()
    join = orm.CalcFunctionNode()
    join.base.links.add_incoming(workchain, LinkType.CALL_CALC, "join")
    join.base.links.add_incoming(part, LinkType.INPUT_CALC, "part")
    join.store()
    joined = ConfigurationsData(labelled)
    joined.base.links.add_incoming(join, LinkType.CREATE, "labelled")
    joined.store()
    joined.base.links.add_incoming(workchain, LinkType.RETURN, "labelled")
    assert places(frames_from(pack)) == all_of(joined)


def test_batches_of_a_finished_campaign_are_its_outputs(chain, batches, make_campaign):
    finished = make_campaign({}, data_set__batch_000=batches[1])
    assert next(iter(campaigns.data_set(finished).values())).uuid == batches[1].uuid
    assert lineage(finished, 0).batch == "batch_000"


def test_parent_that_is_lost_is_named(frames):
    info = {"parent_uuid": "00000000-0000-4000-8000-000000000000", "parent_index": 0, "parent_hash": "0" * 32}
    broken = frames.configurations.with_info(**info)
    node = ConfigurationsData(broken)
    with pytest.raises(InputError, match="which this profile does not have; import the archive"):
        lineage(node, 0)


def test_structure_given_by_the_user_has_no_history(frames):
    found = lineage(frames, 0)
    assert [step.kind for step in found.steps] == ["structure"]
    assert found.steps[0].facts["formula"] == "Si8"


def test_process_without_frames_gives_none(profile):
    assert frames_from(orm.Int(3).store()) == []


def test_descendants_are_found_however_many_paths_lead_to_them(profile):
    # Twelve layers of three calculations that all take what the layer before made: half a million paths.
    first = latest = orm.Int(0).store()
    made = [latest]
    for layer in range(12):
        results = []
        for branch in range(3):
            calculation = orm.CalcFunctionNode()
            for index, node in enumerate(made):
                calculation.base.links.add_incoming(node, LinkType.INPUT_CALC, f"input_{index}")
            calculation.store()
            latest = orm.Int(3 * layer + branch)
            latest.base.links.add_incoming(calculation, LinkType.CREATE, "result")
            results.append(latest.store())
        made = results
    found = descendants(first)
    assert latest.pk in found
    assert len(found) == 1 + 12 * 3 * 2
