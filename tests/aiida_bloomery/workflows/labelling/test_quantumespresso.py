"""Real pw.x on cells of two atoms, from submission to ledger."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.label_cache import FINGERPRINT_ATTRIBUTE, VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.quantumespresso import QuantumEspressoLabellingWorkChain
from bloomery.frames.configurations import Configurations

MESH = {"mesh": [1, 1, 1], "offset": [0.5, 0.5, 0.5]}
CHEAP = {"parameters": {"SYSTEM": {"ecutwfc": 8.0, "ecutrho": 32.0, "degauss": 0.03}}}

needs_pw = pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path")
pytestmark = [pytest.mark.pw, needs_pw]

# Ends the whole job, as a lost node would: the shells of the job script, then itself.
KILL_THE_JOB = """\
pid=$$
while [ "$pid" -gt 1 ]; do
  pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
  case "$(ps -o args= -p "$pid")" in *_aiidasubmit*) shells="$shells $pid" ;; esac
done
kill -9 $shells
exit 1
"""


def entries(outputs):
    return outputs["ledger"]["entries"]


def called(node, label):
    return [child for child in node.called if child.process_label == label]


def test_labels_are_those_of_pw_and_everything_else_is_kept(wrapped_pw, dimers, labelling, tmp_path):
    pw, frames = wrapped_pw(), dimers(3)
    outputs, node = run_get_node(labelling(pw.code, frames))
    assert node.is_finished_ok, node.exit_message
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled"] * 3
    assert len(pw.starts()) == 3
    (pack,) = called(node, "PwPackCalculation")
    labelled = outputs["labelled"].configurations
    assert labelled.hashes() == frames.hashes
    assert labelled.info["role"].tolist() == frames.configurations.info["role"].tolist()
    assert set(labelled.info["label_uuid"]) == {pack.uuid}
    assert labelled.info["parent_uuid"].tolist() == [frames.uuid] * 3
    for index, frame in enumerate(labelled):
        path = tmp_path / "pw.out"
        folder = labelled.info["label_folder"][index]
        path.write_text(pack.outputs.retrieved.base.repository.get_object_content(f"{folder}/aiida.out", "r"))
        other = ase.io.read(path, format="espresso-out")
        mine = frame.to_atoms()[0]
        np.testing.assert_allclose(mine.get_potential_energy(), other.get_potential_energy(), rtol=2e-7)
        np.testing.assert_allclose(mine.get_forces(), other.get_forces(), atol=2e-6)
        np.testing.assert_allclose(mine.get_stress(), other.get_stress(), atol=2e-6)
    # The input is part of what is kept, the wavefunctions are not.
    assert "frame_0000" in pack.base.repository.list_object_names()
    assert pack.outputs.retrieved.base.repository.list_object_names("frame_0000") == [
        "aiida.out",
        "data-file-schema.xml",
    ]


def test_labels_of_one_code_can_be_asked_for(wrapped_pw, dimers, labelling):
    pw = wrapped_pw()
    run_get_node(labelling(pw.code, dimers(2, seed=11)))
    query = orm.QueryBuilder().append(orm.InstalledCode, filters={"uuid": pw.code.uuid}, tag="code")
    query.append(orm.CalcJobNode, with_incoming="code", tag="pack")
    query.append(
        ConfigurationsData, with_incoming="pack", project=[f"attributes.{VERSION_ATTRIBUTE}", "attributes.n_frames"]
    )
    ((version, n_frames),) = query.all()
    assert version.startswith("pw.x ")
    assert n_frames == 2


def test_label_that_exists_is_not_computed_again(wrapped_pw, dimers, labelling):
    pw = wrapped_pw()
    first, _ = run_get_node(labelling(pw.code, dimers(2, seed=3)))
    both = ConfigurationsData(
        Configurations.concatenate([dimers(1, seed=4).configurations, dimers(2, seed=3).configurations])
    ).store()
    outputs, node = run_get_node(labelling(pw.code, both))
    assert node.is_finished_ok
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled", "cached", "cached"]
    assert [entry["attempts"] for entry in entries(outputs)] == [1, 0, 0]
    assert len(pw.starts()) == 3
    old, new = first["labelled"].configurations, outputs["labelled"].configurations
    np.testing.assert_array_equal(new[1:].labels["forces"], old.labels["forces"])
    assert new.info["label_uuid"].tolist()[1:] == old.info["label_uuid"].tolist()
    # The hit enters through the node that holds the label.
    (cache,) = [child for child in node.called if child.process_label == "labels_from_cache"]
    sources = [
        link.node
        for link in cache.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
        if "source" in link.link_label
    ]
    assert [source.creator.process_label for source in sources] == ["PwPackCalculation"]


def test_frames_of_some_of_the_elements_are_found_again(wrapped_pw, dimers, labelling, silicon_upf):
    """A campaign of several elements has frames with a part of them: their labels are of the same settings."""
    pw, frames = wrapped_pw(), dimers(2, seed=33)
    for outcome in ("labelled", "cached"):
        builder = labelling(pw.code, frames)
        builder.pw.pseudos = {"Si": silicon_upf, "Ge": silicon_upf}
        outputs, node = run_get_node(builder)
        assert node.is_finished_ok, node.exit_message
        assert [entry["outcome"] for entry in entries(outputs)] == [outcome] * 2


def test_a_frame_is_labelled_in_its_state(wrapped_pw, dimers, labelling):
    """One geometry in three states is three labels, each found again; pw.x says the charge that it was told."""
    pw, one = wrapped_pw(), dimers(1, seed=31).configurations
    frames = one[[0, 0, 0]].with_states(charge=[0, 1, -1])
    outputs, node = run_get_node(labelling(pw.code, ConfigurationsData(frames).store()))
    assert node.is_finished_ok, node.exit_message
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled"] * 3
    labelled = outputs["labelled"].configurations
    assert labelled.hashes() == frames.hashes()
    assert len(set(labelled.label("energy")[0].round(3))) == 3
    (pack,) = called(node, "PwPackCalculation")
    for folder, charge in zip(labelled.info["label_folder"], (0, 1, -1), strict=True):
        text = pack.outputs.retrieved.base.repository.get_object_content(f"{folder}/data-file-schema.xml", "r")
        assert float(re.search(r"<tot_charge>(\S+)</tot_charge>", text)[1]) == charge
    again, _ = run_get_node(labelling(pw.code, ConfigurationsData(frames[[2]]).store()))
    assert [entry["outcome"] for entry in entries(again)] == ["cached"]
    np.testing.assert_array_equal(again["labelled"].configurations.label("energy")[0], labelled.label("energy")[0][[2]])
    bare, _ = run_get_node(labelling(pw.code, ConfigurationsData(one.without_states()).store()))
    assert [entry["outcome"] for entry in entries(bare)] == ["cached"]


def test_other_settings_are_another_label(wrapped_pw, dimers, labelling):
    pw, frames = wrapped_pw(), dimers(1, seed=5)
    run_get_node(labelling(pw.code, frames))
    run_get_node(labelling(pw.code, frames, parameters={"SYSTEM": {"ecutwfc": 8.0, "ecutrho": 32.0, "degauss": 0.02}}))
    assert len(pw.starts()) == 2


def test_pack_killed_half_way_keeps_what_was_finished(wrapped_pw, dimers, labelling):
    once = f"if [ $here = frame_0002 ] && [ ! -e $marks/killed ]; then touch $marks/killed\n{KILL_THE_JOB}\nfi"
    pw = wrapped_pw(once)
    outputs, node = run_get_node(
        labelling(pw.code, dimers(4, seed=6), pack={"size": 50, "concurrency": 1, "frame_timeout_s": 3600})
    )
    assert node.is_finished_ok, node.exit_message
    packs = called(node, "PwPackCalculation")
    assert [pack.exit_status for pack in packs] == [420, 0]
    assert packs[1].inputs.frames.get_list() == [2, 3]
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled"] * 4
    assert [entry["attempts"] for entry in entries(outputs)] == [1, 1, 2, 1]
    # The third frame was ended before its pw.x began: no frame was computed twice.
    assert sorted(pw.starts()) == [f"frame_{index:04d}" for index in range(4)]
    assert outputs["labelled"].configurations.info["label_uuid"].tolist() == [packs[0].uuid] * 2 + [packs[1].uuid] * 2


def test_pack_that_runs_on_although_nobody_knows_it_is_waited_for(wrapped_pw, dimers, labelling):
    pw = wrapped_pw("sleep 2")
    builder = labelling(pw.code, dimers(4, seed=11), pack={"size": 50, "concurrency": 1, "frame_timeout_s": 3600})
    options = builder.pw.options.get_dict()
    # Stands for a queue that forgets a job while its node goes on with it.
    forgotten = f"[ -e {pw.folder}/forgotten ] || {{ touch {pw.folder}/forgotten; setsid bash $0 > /dev/null 2>&1 &"
    options["custom_scheduler_commands"] = (
        f"{forgotten} until grep -qs ' end ' frames.log; do sleep 0.1; done; exit; }}"
    )
    builder.pw.options = orm.Dict(options)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    packs = called(node, "PwPackCalculation")
    assert [pack.exit_status for pack in packs] == [420, 0]
    assert packs[1].inputs.resume_from == packs[0].outputs.remote_folder
    assert sorted(pw.starts()) == [f"frame_{index:04d}" for index in range(4)]
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled"] * 4
    assert [entry["attempts"] for entry in entries(outputs)] == [1] * 4
    others = orm.load_node(packs[0].pk).outputs.remote_folder.get_remote_path()
    assert {line.split()[0] for line in Path(others, "frames.log").read_text().splitlines()} == set(pw.starts())


def test_pack_that_never_ran_is_sent_again(wrapped_pw, dimers, labelling):
    pw = wrapped_pw()
    builder = labelling(pw.code, dimers(2, seed=7))
    marks = pw.folder / "ran"
    options = builder.pw.options.get_dict()
    # Stands for a node that dies before the first frame.
    options["custom_scheduler_commands"] = f"[ -e {marks} ] || {{ touch {marks}; exit 1; }}"
    builder.pw.options = orm.Dict(options)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert [pack.exit_status for pack in called(node, "PwPackCalculation")] == [300, 0]
    assert [entry["attempts"] for entry in entries(outputs)] == [1, 1]


def test_hanging_frame_is_ended_and_goes_out_alone(wrapped_pw, dimers, labelling):
    pw = wrapped_pw("[ $here = frame_0001 ] && sleep 3600")
    outputs, node = run_get_node(
        labelling(pw.code, dimers(3, seed=8), pack={"size": 50, "concurrency": 2, "frame_timeout_s": 10})
    )
    assert node.is_finished_ok, node.exit_message
    (pack,) = called(node, "PwPackCalculation")
    assert pack.exit_status == 400
    hung = pack.outputs.ledger["entries"][1]
    assert (hung["outcome"], hung["exit_code"]) == ("failed", 400)
    assert "10 s" in hung["reason"]
    (single,) = called(node, "PwBaseWorkChain")
    assert single.is_finished_ok
    entry = entries(outputs)[1]
    assert (entry["outcome"], entry["attempts"], entry["job"]) == ("labelled", 2, single.called[-1].uuid)
    assert outputs["labelled"].configurations.info["label_uuid"].tolist()[1] == single.called[-1].uuid
    # What was labelled alone is found by the cache like the rest.
    frames = orm.QueryBuilder().append(
        ConfigurationsData,
        filters={
            f"attributes.{FINGERPRINT_ATTRIBUTE}": pack.outputs.labelled.base.attributes.get(FINGERPRINT_ATTRIBUTE)
        },
    )
    assert sorted(found.n_frames for found in frames.all(flat=True)) == [1, 2]


def test_frame_that_fails_for_good_is_in_the_ledger_and_the_rest_goes_on(wrapped_pw, dimers, labelling):
    # pw.x crashes wherever this atom is, in the pack and alone.
    frames = dimers(3, seed=9)
    mark = f"{frames.configurations[1].positions[1, 0]:.6f}"
    pw = wrapped_pw(f"grep -q '{mark}' aiida.in && exit 1")
    outputs, node = run_get_node(labelling(pw.code, frames))
    assert node.is_finished_ok, node.exit_message
    assert [entry["outcome"] for entry in entries(outputs)] == ["labelled", "failed", "labelled"]
    entry = entries(outputs)[1]
    assert entry["exit_code"] > 0
    assert entry["reason"]
    assert entry["attempts"] >= 2
    assert orm.load_node(entry["job"]).process_label == "PwCalculation"
    assert outputs["labelled"].configurations.info["parent_index"].tolist() == [0, 2]


def test_too_many_failures_fail_the_batch_and_keep_the_outputs(wrapped_pw, dimers, labelling):
    frames = dimers(2, seed=10)
    mark = f"{frames.configurations[0].positions[1, 0]:.6f}"
    pw = wrapped_pw(f"grep -q '{mark}' aiida.in && exit 1")
    outputs, node = run_get_node(labelling(pw.code, frames, max_failed_share=0.4))
    assert node.exit_status == 450
    assert "1 of 2 frames" in node.exit_message
    assert [entry["outcome"] for entry in entries(outputs)] == ["failed", "labelled"]
    assert outputs["labelled"].n_frames == 1


def test_isolated_atom_is_spin_polarised(wrapped_pw, labelling, profile):
    atom = ase.Atoms("Si", cell=[5.0, 5.1, 5.2], pbc=True)
    frames = ConfigurationsData(Configurations.from_atoms([atom])).store()
    pw = wrapped_pw()
    builder = labelling(pw.code, frames)
    builder.isolated_atoms = orm.Bool(True)
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    (pack,) = called(node, "PwPackCalculation")
    assert pack.inputs.kpoints.get_kpoints_mesh() == ([1, 1, 1], [0.0, 0.0, 0.0])
    text = pack.outputs.retrieved.base.repository.get_object_content("frame_0000/aiida.out", "r")
    magnetization = [line for line in text.splitlines() if "total magnetization" in line][-1]
    assert float(magnetization.split()[3]) == pytest.approx(2.0, abs=0.1)  # Hund: two unpaired 3p electrons


def test_mesh_by_rule(wrapped_pw, dimers, silicon_upf):
    pw = wrapped_pw()
    builder = QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
        pw.code,
        dimers(1, seed=12),
        "fast",
        CHEAP,
        pseudos={"Si": silicon_upf},
        kpoints={"distance": 1.5, "offset": [0.0, 0.0, 0.0]},
    )
    _, node = run_get_node(builder)
    (pack,) = called(node, "PwPackCalculation")
    assert "2 2 2 0 0 0" in pack.base.repository.get_object_content("frame_0000/aiida.in", "r")


def test_forces_and_stress_are_the_gradient_of_the_energy(wrapped_pw, silicon_upf, dimers):
    """With smearing this holds for the free energy alone; central differences of 0.01 Å and of 0.2 % strain."""
    atoms = dimers(1, seed=13).configurations.to_atoms()[0]
    step, strain = 0.01, 0.002
    frames = [atoms]
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        frames.append(moved)
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) * (1 + sign * strain)), scale_atoms=True)
        frames.append(strained)
    node = ConfigurationsData(Configurations.from_atoms(frames)).store()
    settings = {"SYSTEM": {"ecutwfc": 30.0, "ecutrho": 120.0, "degauss": 0.05}, "ELECTRONS": {"conv_thr": 1e-11}}
    builder = QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
        wrapped_pw().code, node, "fast", {"parameters": settings}, pseudos={"Si": silicon_upf},
        kpoints=MESH,
    )  # fmt: skip
    outputs, _ = run_get_node(builder)
    labelled = outputs["labelled"].configurations
    energies = labelled.labels["energy"]
    force = labelled.labels["forces"][0, 0]
    assert -(energies[1] - energies[2]) / (2 * step) == pytest.approx(force, abs=2e-3)
    # dE = V sum_i stress_ii de for an isotropic strain
    slope = (energies[3] - energies[4]) / (2 * strain) / atoms.get_volume()
    assert slope == pytest.approx(labelled.labels["stress"][0, :3].sum(), abs=5e-4)


def test_workchain_is_registered():
    assert WorkflowFactory("bloomery.labelling.quantumespresso") is QuantumEspressoLabellingWorkChain


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (ase.Atoms("Si", pbc=True), "frame 1 has no cell"),
        (ase.Atoms("Ge", cell=[4, 4, 4], pbc=True), "pseudos.Ge: is missing"),
        (ase.Atoms("Si", cell=[4, 4, 4], pbc=True, info={"electronic_temperature": 0}), "temperature: is zero"),
        (ase.Atoms("Si", cell=[4, 4, 4], pbc=True, magmoms=[9]), "frame 1: initial_magmoms: a moment of 9 μB on Si"),
    ],
)
def test_frames_that_pw_cannot_take_are_refused_at_submission(wrapped_pw, dimers, labelling, frame, message):
    inputs = dict(labelling(wrapped_pw().code, dimers(1)))
    inputs["configurations"] = ConfigurationsData(
        Configurations.from_atoms([*dimers(1).configurations.without_info("role").to_atoms(), frame])
    )
    with pytest.raises(ValueError, match=message):
        run_get_node(QuantumEspressoLabellingWorkChain, **inputs)
