"""The labellers that run in one process: a calculator, and a library."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_bloomery.calculations.label_cache import FINGERPRINT_ATTRIBUTE, job_fingerprint, of_job
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from aiida_bloomery.workflows.labelling.lookup import LookupLabellingWorkChain
from bloomery.frames.configurations import Configurations


def copper(n_frames: int, seed: int = 0) -> list:
    frames = []
    for index in range(n_frames):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, rng=np.random.default_rng([seed, index]))
        frames.append(atoms)
    return frames


@pytest.fixture
def coppers(profile, request):
    """Frames that no other test has labelled: what has a label is not labelled again."""
    roles = np.array(["probe", "train", "train"])
    frames = Configurations.from_atoms(copper(3, seed=crc32(request.node.name.encode())))
    return ConfigurationsData(frames.with_info(role=roles)).store()


def called(node, label):
    return [child for child in node.called if child.process_label.startswith(label)]


def test_calculator_labels_what_ase_would(bloomery_code, coppers):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers, "fast")
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    labelled = outputs["labelled"].configurations
    assert labelled.info["role"].tolist() == ["probe", "train", "train"]
    assert labelled.info["parent_uuid"].tolist() == [coppers.uuid] * 3
    (job,) = called(node, "LabelCalculation")
    assert set(labelled.info["label_uuid"]) == {job.uuid}
    for frame, atoms in zip(labelled.to_atoms(), coppers.configurations.to_atoms(), strict=True):
        atoms.calc = EMT()
        np.testing.assert_allclose(frame.get_forces(), atoms.get_forces(), atol=1e-10)
    assert [entry["outcome"] for entry in outputs["ledger"]["entries"]] == ["labelled"] * 3
    assert {entry["job"] for entry in outputs["ledger"]["entries"]} == {job.uuid}


def test_frames_that_fail_are_in_the_ledger_and_fail_the_batch_if_too_many(bloomery_code, profile):
    frames = [*copper(2), bulk("Si")]  # EMT knows no silicon
    node = ConfigurationsData(Configurations.from_atoms(frames)).store()
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", node, "stringent")
    outputs, process = run_get_node(builder)
    assert process.exit_status == 450
    assert "1 of 3 frames" in process.exit_message
    assert outputs["labelled"].n_frames == 2
    entry = outputs["ledger"]["entries"][2]
    assert entry["outcome"] == "failed"
    assert entry["reason"]


def test_job_that_is_killed_is_resumed_with_what_is_left(bloomery_code, computer, tmp_path, coppers):
    """The first start of the job ends at once, as on a lost node."""
    marks = tmp_path / "ran"
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(
        bloomery_code,
        "emt",
        coppers,
        options={"custom_scheduler_commands": f"[ -e {marks} ] || {{ touch {marks}; exit 1; }}"},
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert [job.is_finished_ok for job in called(node, "LabelCalculation")] == [False, True]
    assert outputs["labelled"].n_frames == 3


def outcomes(outputs):
    return [entry["outcome"] for entry in outputs["ledger"]["entries"]]


def test_labels_that_exist_are_taken_from_the_graph(bloomery_code, coppers):
    """The second run starts no job: its labels come from the first, and their origin stays that job."""
    make = CalculatorLabellingWorkChain.get_builder_from_protocol
    first, node = run_get_node(make(bloomery_code, "emt", coppers))
    (job,) = called(node, "LabelCalculation")
    assert job.base.extras.get(FINGERPRINT_ATTRIBUTE) == job_fingerprint(**of_job(job.inputs))
    again = ConfigurationsData(coppers.configurations[[2, 0]].with_info(role=["probe", "train"])).store()
    second, node = run_get_node(make(bloomery_code, {"name": "emt", "arguments": {}}, again))
    assert node.is_finished_ok, node.exit_message
    assert called(node, "LabelCalculation") == []
    assert outcomes(second) == ["cached"] * 2
    assert {entry["job"] for entry in second["ledger"]["entries"]} == {job.uuid}
    labelled = second["labelled"].configurations
    assert labelled.info["role"].tolist() == ["probe", "train"]
    assert labelled.info["parent_uuid"].tolist() == [again.uuid] * 2
    assert set(labelled.info["label_uuid"]) == {job.uuid}
    energies = first["labelled"].configurations.label("energy")[0]
    np.testing.assert_array_equal(labelled.label("energy")[0], energies[[2, 0]])
    (function,) = called(node, "labels_from_cache")
    links = function.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    (source,) = (link.node for link in links if link.link_label.startswith("source_"))
    assert source.creator.uuid == job.uuid


def test_only_what_is_new_is_labelled(bloomery_code, coppers):
    make = CalculatorLabellingWorkChain.get_builder_from_protocol
    some = ConfigurationsData(coppers.configurations[:2]).store()
    run_get_node(make(bloomery_code, "emt", some))
    outputs, node = run_get_node(make(bloomery_code, "emt", coppers))
    assert outcomes(outputs) == ["cached", "cached", "labelled"]
    (job,) = called(node, "LabelCalculation")
    assert job.inputs.configurations.n_frames == 1
    other, node = run_get_node(make(bloomery_code, {"emt": {"asap_cutoff": True}}, some))
    assert outcomes(other) == ["labelled"] * 2


def test_a_frame_that_is_there_twice_is_labelled_once(bloomery_code, coppers):
    """Also one that says a charge of zero, which is what nothing said means."""
    frames = coppers.configurations[[0, 1, 0, 1]].with_states(charge=0, stated={"charge": [False, True, True, False]})
    node = ConfigurationsData(frames.without_info("role")).store()
    told = {"name": "emt", "state": {"charge": "info"}}
    outputs, process = run_get_node(CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, told, node))
    (job,) = called(process, "LabelCalculation")
    assert job.inputs.configurations.n_frames == 2
    labelled = outputs["labelled"].configurations
    assert labelled.stated["charge"].tolist() == [False, True, True, False]
    energies = labelled.label("energy")[0]
    np.testing.assert_array_equal(energies[:2], energies[2:])


def test_a_label_is_of_one_state(bloomery_code, coppers):
    make = CalculatorLabellingWorkChain.get_builder_from_protocol
    told = {"name": "emt", "state": {"charge": "info"}}
    neutral, _ = run_get_node(make(bloomery_code, told, coppers))
    charged = ConfigurationsData(coppers.configurations.with_states(charge=2)).store()
    outputs, _ = run_get_node(make(bloomery_code, told, charged))
    assert outcomes(outputs) == ["labelled"] * 3
    assert outputs["labelled"].hashes == charged.hashes != neutral["labelled"].hashes
    assert set(outputs["labelled"].configurations.states["charge"]) == {2.0}


def test_a_state_that_is_not_heeded_is_refused(bloomery_code, coppers):
    charged = ConfigurationsData(coppers.configurations.with_states(charge=2)).store()
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", charged)
    with pytest.raises(ValueError, match="configurations: frame 0: charge: the calculator 'emt' does not say"):
        run_get_node(builder)


def test_fingerprints_are_of_what_decides_a_label(bloomery_code, coppers, tmp_path):
    def of(settings, library=None, name="calculator"):
        return job_fingerprint(bloomery_code, orm.Dict({"labeller": {"name": name, "settings": settings}}), library)

    plain = of({"calculator": "emt"})
    assert plain == of({"calculator": {"name": "emt", "arguments": {}}})
    assert plain == of({"calculator": "emt", "frame_timeout_s": 5})
    assert plain != of({"calculator": "lj"})
    assert plain != of({"calculator": {"emt": {"asap_cutoff": True}}})
    model = tmp_path / "a.model"
    model.write_text("one")
    commands = {"calculator": {"lj": {"lmpcmds": [f"pair_coeff * * {model} Si"]}}}
    with_file, with_command = of({"calculator": {"lj": {"sigma": str(model)}}}), of(commands)
    model.write_text("two")
    assert with_file != of({"calculator": {"lj": {"sigma": str(model)}}})
    assert with_command != of(commands)
    library = ConfigurationsData(coppers.configurations.with_labels(energy=[1, 2, 3]))
    other = ConfigurationsData(coppers.configurations.with_labels(energy=[1, 2, 4]))
    first = of({"require": ["energy"]}, library, "lookup")
    assert first == of({"require": ["energy"], "library": "elsewhere.npz"}, library, "lookup")
    assert len({first, of({"require": ["energy"]}, other, "lookup"), of({}, library, "lookup")}) == 3


def test_labels_of_a_library_are_found_again(bloomery_code, profile):
    atoms = copper(2, seed=77)
    for frame in atoms:
        frame.calc = EMT()
        frame.get_forces()
    library = ConfigurationsData(Configurations.from_atoms(atoms)).store()
    make = LookupLabellingWorkChain.get_builder_from_protocol
    wanted = ConfigurationsData(library.configurations.without_labels()).store()
    run_get_node(make(bloomery_code, library, wanted))
    outputs, node = run_get_node(make(bloomery_code, library, wanted))
    assert outcomes(outputs) == ["cached"] * 2
    assert called(node, "LabelCalculation") == []
    charged = ConfigurationsData(wanted.configurations.with_states(charge=1)).store()
    outputs, node = run_get_node(make(bloomery_code, library, charged))
    assert node.exit_status == 450, "a library of neutral frames has no label of charged ones"


def test_library_gives_its_labels_and_misses_are_failures(bloomery_code, profile):
    atoms = copper(3, seed=5)
    for frame in atoms:
        frame.calc = EMT()
        frame.get_forces()
    everything = Configurations.from_atoms(atoms)
    library = ConfigurationsData(everything[:2]).store()
    wanted = ConfigurationsData(everything[[2, 1]].without_labels()).store()
    builder = LookupLabellingWorkChain.get_builder_from_protocol(bloomery_code, library, wanted)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert [entry["outcome"] != "failed" for entry in outputs["ledger"]["entries"]] == [False, True]
    np.testing.assert_allclose(
        outputs["labelled"].configurations.labels["forces"], everything[[1]].labels["forces"], atol=1e-12
    )


def test_library_without_labels_is_refused(bloomery_code, coppers):
    with pytest.raises(ValueError, match="library: holds no labels"):
        LookupLabellingWorkChain.get_builder_from_protocol(bloomery_code, coppers, coppers)


def test_other_labeller_is_refused(bloomery_code, coppers):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers)
    with pytest.raises(ValueError, match="this workchain runs 'calculator'"):
        builder.parameters = orm.Dict({"labeller": {"name": "lookup", "settings": {}}})


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_share_must_be_a_share(bloomery_code, coppers, share):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers)
    with pytest.raises(ValueError, match="max_failed_share: must lie between 0 and 1"):
        builder.max_failed_share = orm.Float(share)


@pytest.mark.parametrize(
    ("name", "workchain"), [("calculator", CalculatorLabellingWorkChain), ("lookup", LookupLabellingWorkChain)]
)
def test_workchains_are_registered(name, workchain):
    assert WorkflowFactory(f"bloomery.labelling.{name}") is workchain
