from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage import get_manager
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.provenance.campaign import CAMPAIGN_TYPE
from aiida_bloomery.report import write_report
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.facts import FINAL
from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.origin import with_origin

pytestmark = pytest.mark.usefixtures("profile")


def process(caller: orm.WorkChainNode | None = None, label: str = "", state: str = "finished") -> orm.WorkChainNode:
    """A workchain, called under a label, that stands in a state."""
    node = orm.WorkChainNode()
    if caller is not None:
        node.base.links.add_incoming(caller, LinkType.CALL_WORK, label)
    node.set_process_state(state)
    if state == "finished":
        node.set_exit_status(0)
    return node.store()


def campaign(state: str = "finished", **inputs: Any) -> orm.WorkChainNode:
    node = orm.WorkChainNode(process_type=CAMPAIGN_TYPE, label="silicon <8>")
    for name, value in inputs.items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_WORK, name)
    node.set_process_state(state)
    if state == "finished":
        node.set_exit_status(0)
    return node.store()


def give(node: orm.ProcessNode, **outputs: orm.Data) -> None:
    for label, data in outputs.items():
        data.store().base.links.add_incoming(node, LinkType.RETURN, label)


@pytest.fixture
def built(example: SimpleNamespace) -> orm.WorkChainNode:
    """A campaign with a bootstrap and one iteration, and the jobs of both."""
    node = campaign(
        stop=orm.Dict({"targets": {"forces": 60.0}, "max_labels": 80}),
        seed=orm.Int(7),
        labelling__pw__parameters=orm.Dict({"SYSTEM": {"ecutwfc": 30.0}}),
    )
    funnel = [{"selector": "sanity", "came_in": 5, "left": 4, "reasons": {"too close": 1}}]
    give(process(node, "bootstrap_select"), funnel=orm.Dict({"funnel": funnel}))
    give(process(node, "bootstrap_label"), ledger=orm.Dict({"entries": [example.entry(0), example.entry(1, "failed")]}))
    give(process(node, "iteration_001_label"), ledger=orm.Dict({"entries": [example.entry(0)]}))
    arrays = orm.ArrayData({"forces_reference": np.zeros((3, 3)), "forces_predicted": np.ones((3, 3))})
    arrays.base.attributes.set("units", {"forces_reference": "eV/Å"})
    give(process(node, "iteration_001_validate"), arrays__probe=arrays)
    history = {"iterations": [example.iteration(0, 90.0), example.iteration(1, 50.0)], "decision": {"success": True}}
    give(node, history=orm.Dict(history))
    return node


def test_stages_are_read_by_iteration(built: orm.WorkChainNode) -> None:
    facts = collect(built)
    assert facts.title == "silicon <8>"
    assert facts.outcome.state == "finished"
    assert [row.selector for row in facts.funnels[0]] == ["sanity"]
    assert [(entry["iteration"], entry["outcome"]) for entry in facts.ledger] == [
        (0, "labelled"),
        (0, "failed"),
        (1, "labelled"),
    ]
    assert facts.validation["forces_predicted"].shape == (3, 3)
    assert facts.units == {"forces_reference": "eV/Å"}
    assert set(facts.times) == {0, 1}
    assert len(facts.iterations) == 2


def test_the_final_training_has_a_time_of_its_own() -> None:
    node = campaign()
    process(node, "iteration_001_train")
    process(node, "iteration_002_final_train")
    times = collect(node).times
    assert (list(times[1]), list(times[FINAL])) == (["train"], ["train"])


def test_inputs_are_plain_values(built: orm.WorkChainNode) -> None:
    assert collect(built).inputs == {
        "stop": {"targets": {"forces": 60.0}, "max_labels": 80},
        "seed": 7,
        "labelling": {"pw": {"parameters": {"SYSTEM": {"ecutwfc": 30.0}}}},
    }


def test_running_campaign_has_the_history_of_its_latest_record(example: SimpleNamespace) -> None:
    node = campaign(state="waiting")
    for index in range(2):
        record = orm.CalcFunctionNode()
        record.base.links.add_incoming(node, LinkType.CALL_CALC, f"iteration_{index:03d}_record")
        record.set_process_state("finished")
        record.set_exit_status(0)
        record.store()
        history = orm.Dict({"iterations": [example.iteration(i, 90.0) for i in range(index + 1)]})
        history.base.links.add_incoming(record, LinkType.CREATE, "result")
        history.store()
    process(node, "iteration_002_label", state="waiting")
    facts = collect(node)
    assert (facts.outcome.state, facts.outcome.stage) == ("running", "iteration_002_label")
    assert len(facts.iterations) == 2


def test_failed_campaign_says_why() -> None:
    node = campaign(state="waiting")
    node.set_process_state("finished")
    node.set_exit_status(403)
    node.set_exit_message("Labelling failed in bootstrap: no pw.x.")
    assert collect(node).outcome.message == "Labelling failed in bootstrap: no pw.x. (exit code 403)"


def test_excepted_campaign_gives_the_last_line_of_its_exception() -> None:
    node = campaign(state="waiting")
    node.set_process_state("excepted")
    node.set_exception("Traceback\n  File ...\nValueError: bad")
    assert collect(node).outcome.message == "ValueError: bad"


def test_versions_of_all_jobs_are_gathered() -> None:
    node = campaign()
    for version in ("0.1.0", "0.2.0", "0.2.0"):
        job = orm.CalcJobNode()
        job.base.links.add_incoming(node, LinkType.CALL_CALC, f"job{job.uuid[:8]}")
        job.store()
        result = orm.Dict({"versions": {"bloomery": version}})
        result.base.links.add_incoming(job, LinkType.CREATE, "report")
        result.store()
    assert collect(node).versions == {"bloomery": ["0.1.0", "0.2.0"]}


def test_report_is_written_into_a_new_folder(built: orm.WorkChainNode, tmp_path: Path) -> None:
    path = write_report(built, tmp_path / "new" / "report.html")
    html = path.read_text(encoding="utf-8")
    assert "silicon &lt;8&gt;" in html
    assert str(built.uuid) in html


@pytest.fixture
def sampled() -> orm.WorkChainNode:
    """A campaign whose second batch came from a pool that a sampler made, and was assessed and validated."""
    node = campaign()
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    job = orm.CalcJobNode()
    sampler = orm.Dict({"sampler": {"name": "md", "settings": {}}}).store()
    job.base.links.add_incoming(sampler, LinkType.INPUT_CALC, "parameters")
    job.store()
    frames = Configurations.from_atoms([bulk("Si", cubic=True, a=5.3 + 0.05 * index) for index in range(6)])
    pool = ConfigurationsData(with_origin(frames, trajectory=0, block=0, step=range(6), disagreement=0.1))
    pool.base.links.add_incoming(job, LinkType.CREATE, "configurations")
    pool.store()
    chosen = [1, 3, 5]
    rule = {"rule": ["probe", "random", "random"], "role": ["probe", "train", "train"]}
    selected = ConfigurationsData(with_parents(pool.configurations[chosen].with_info(**rule), pool, chosen)).store()
    kept = [0, 2]  # one label failed
    labelled = selected.configurations[kept].with_labels(energy=[-34.0, -33.0])
    labelled = labelled.with_info(label_uuid=["label-a", "label-b"])
    give(process(node, "iteration_001_sample"), pools__md_0=pool)
    give(process(node, "iteration_001_label"), labelled=ConfigurationsData(with_parents(labelled, selected, kept)))
    first = start.with_labels(energy=[-35.0]).with_info(role=["train"])
    give(process(node, "bootstrap_label"), labelled=ConfigurationsData(first))
    found = {name: measured_by(error) for name, error in (("probe", 0.3), ("selected", 0.7))}
    give(process(node, "iteration_001_assess"), **{f"arrays__{name}": arrays for name, arrays in found.items()})
    give(process(node, "iteration_001_validate"), arrays__probe=measured_by(0.2))
    return node


def measured_by(error: float) -> orm.ArrayData:
    return orm.ArrayData({"frame_force_rmse": np.array([error]), "frame_force_components": np.array([24])})


def test_every_labelled_frame_knows_its_origin_and_errors(sampled: orm.WorkChainNode) -> None:
    facts = collect(sampled)
    assert facts.data_set is not None
    columns = facts.data_set.columns
    assert facts.data_set.iteration.tolist() == [0, 1, 1]
    assert columns["step"] == [None, 1, 5]  # the frame whose label failed is skipped, and shifts none
    assert columns["sampler"] == [None, "md", "md"]
    assert columns["rule"] == [None, "probe", "random"]
    assert columns["label_uuid"] == [None, "label-a", "label-b"]
    assert columns["error_before"] == [None, 0.3, 0.7]
    assert columns["error_now"] == [None, 0.2, None]
    assert columns["hash"] == facts.data_set.configurations.hashes()
    assert facts.pools[1].tolist() == [0.1] * 6
    assert facts.data_set.map is not None
    assert len(facts.data_set.map.frames) == 3


def test_observables_beside_the_reference_are_read(example: SimpleNamespace) -> None:
    node = campaign()
    wanted = orm.Dict({"observable": {"name": "elastic", "settings": {}}}).store()
    for label, value in (("iteration_001_final_compare", 160.0), ("iteration_001_control_final_compare", 1.0)):
        comparison = orm.WorkChainNode()
        comparison.base.links.add_incoming(node, LinkType.CALL_WORK, label)
        comparison.base.links.add_incoming(wanted, LinkType.INPUT_WORK, "observables__stiffness")
        comparison.set_process_state("finished")
        comparison.store()
        numbers = orm.Dict({"Si2": {"potential": {"C11": example.number(value, "GPa")}}})
        give(comparison, observations__stiffness=numbers)
    (found,) = collect(node).measured
    assert (found.key, found.observable) == ("stiffness", "elastic")
    assert found.summary["Si2"]["potential"]["C11"]["value"] == 160.0
    assert found.control is not None
    assert found.control.summary["Si2"]["potential"]["C11"]["value"] == 1.0


def lose(node: orm.Node) -> None:
    """Take the files of a node out of the repository, as a broken disk would."""
    files = node.base.repository.serialize()["o"].values()
    get_manager().get_profile_storage().get_repository().delete_objects([file["k"] for file in files])


def test_what_the_repository_has_lost_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    node = campaign()
    frames = Configurations.from_atoms([bulk("Si", a=7.77)]).with_labels(energy=[-1.25]).with_info(role=["train"])
    labelled = ConfigurationsData(frames)
    give(process(node, "bootstrap_label"), labelled=labelled)
    errors = orm.ArrayData({"frame_force_rmse": np.array([0.777]), "frame_force_components": np.array([24])})
    give(process(node, "bootstrap_validate"), arrays__probe=errors)
    for lost in (labelled, errors):
        lose(lost)
    again = orm.load_node(node.pk)
    with pytest.warns(DataWarning, match="cannot be shown") as told:
        page = write_report(again, tmp_path / "report.html").read_text()
    assert len(told) == 2
    assert f"node {labelled.pk}: its file configurations.npz is missing in the profile" in page
    assert "errors on the probe by frame cannot be shown" in page
    with pytest.raises(InputError, match="restore it from a backup"):
        _ = orm.load_node(labelled.pk).configurations


def test_other_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="is not a campaign"):
        collect(process())
