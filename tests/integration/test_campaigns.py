"""Campaigns with a teacher in the place of DFT, each for one thing that may happen to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from tests.integration.harness import QUICK_DFT, Home, daemon_processes, kill
from tests.waiting import wait_until

from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.labellers.pyscf import PyscfLabeller
from bloomery.seeds import digest_of_file

WEAKER = 2.0
"""Of 2.1683 eV, what energies of silicon by Stillinger and Weber are proportional to."""

pytestmark = [pytest.mark.integration, pytest.mark.daemon]


def test_a_hostile_name_is_only_text(home: Home, campaign_file: Callable[..., Path]) -> None:
    done = home.call("check", campaign_file(name="x <script>alert(1)</script>; rm -rf"), check=False)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr


def test_rehearsing_a_dft_campaign(home: Home, campaign_file: Callable[..., Path]) -> None:
    changes: dict[str, Any] = {
        "name": "rehearsed",
        "labelling": {"quantumespresso": {"ecutwfc": "20 Ry"}},
        "stop": {"iterations": {"min": 0, "max": 0}},
    }
    pk = home.submit(campaign_file(**changes), "--rehearse")
    status = home.wait(pk)
    assert status["succeeded"], status
    assert status["labels"] == 13


def test_a_campaign_of_molecules_in_two_states(home: Home, campaign_file: Callable[..., Path], tmp_path: Path) -> None:
    """Water and its cation by PySCF, with isolated atoms in their ground states, through all steps."""
    pytest.importorskip("pyscf")
    molecules = [molecule("H2O"), molecule("H2O")]
    molecules[1].info |= {"charge": 1, "spin": 2}
    write(tmp_path / "water.extxyz", molecules, format="extxyz")
    changes: dict[str, Any] = {
        "name": "water",
        "structures": ["water.extxyz"],
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.08, "strain": 0}}],
            "selection": ["sanity", {"random": {"frames": 10}}],
        },
        "labelling": {"pyscf": {"method": "hf", "basis": "sto-3g"}},
        "energy_reference": "isolated_atoms",
        "stop": {"iterations": {"min": 1, "max": 1}},
    }
    pk = home.submit(campaign_file(**changes))
    status = home.wait(pk)
    assert status["succeeded"], status
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    assert data.has("forces").all()
    assert not data.has("stress").any()
    assert {(state.get("charge", 0), state.get("spin", 1)) for state in map(data.state_of, range(len(data)))} == {
        (0, 1),
        (1, 2),
    }
    expected, _ = PyscfLabeller.make(method="hf", basis="sto-3g").label(data[:4].without_labels())
    np.testing.assert_allclose(data[:4].label("forces")[0], expected.label("forces")[0], atol=1e-3)


@pytest.mark.pw
@pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path")
def test_coarse_dynamics_and_fine_labels(home: Home, campaign_file: Callable[..., Path], tmp_path: Path) -> None:
    """Dynamics by a labeller of their own, whose labels are none of the data set's."""
    fine = QUICK_DFT["labelling"]["quantumespresso"]
    dynamics = {"temperatures": [600, 900], "steps": 8, "interval": 2, "block_steps": 2, "timestep_fs": 2}
    changes: dict[str, Any] = {
        **QUICK_DFT,
        "name": "coarse",
        "labelling": {
            "use": "fine",
            "fine": {"quantumespresso": fine},
            "coarse": {"quantumespresso": {**fine, "ecutwfc": "8 Ry", "ecutrho": "32 Ry"}},
        },
        "bootstrap": {
            "samplers": [{"reference_md": dynamics, "labelling": "coarse"}],
            "selection": ["sanity", {"random": {"frames": 4}}],
        },
        "stop": {"iterations": {"min": 0, "max": 0}},
    }
    file = campaign_file(**changes)
    assert "reference_md: driven by coarse" in home.call("check", file).stdout
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    entries = home.ledger(pk)
    # A label that the dynamics gave would be found again, were it one of the same method.
    assert {entry["outcome"] for entry in entries} == {"labelled"}
    cutoffs = home.python(
        f"""
jobs = [job for job in orm.load_node({pk}).called_descendants if isinstance(job, orm.CalcJobNode)]
jobs = [job for job in jobs if job.process_label.startswith('Pw')]
found = {{(job.process_label, job.inputs.parameters['SYSTEM']['ecutwfc']) for job in jobs}}
print(json.dumps(sorted(found)))"""
    )
    assert cutoffs == [["PwCalculation", 8], ["PwPackCalculation", 12]]
    home.call("report", pk, "--to", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Dynamics for sampling were also driven by" in text


def test_two_samplers_with_shares_and_a_schedule(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    dynamics = {
        # Every frame is a block of its own: whole blocks go to the probe, and one trajectory would be a single one.
        "on_the_fly": {
            "temperatures": [300], "steps": 160, "steps_per_run": 80, "interval": 10, "block_steps": 10,
            "max_disagreement": None,
        },
        "share": 0.4,
        "schedule": [{"iteration": 2, "settings": {"temperatures": [600]}}],
    }  # fmt: skip
    changes: dict[str, Any] = {
        "sampling": [dynamics, {"defects": {"frames": 12, "rattle": 0.05}}],
        "selection": ["sanity", "duplicates", {"farthest_point": {"frames": 5, "per": "atom"}}],
    }
    pk = home.submit(campaign_file(name="shares", **changes))
    status = home.wait(pk)
    assert status["succeeded"], status
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    sampled = data.info["temperature"][data.info["role"] != "probe"]
    # Of five frames in each of two iterations, two are of dynamics: at 300 K in the first and 600 K in the second.
    assert sorted(sampled[sampled > 0].tolist()) == [300, 300, 600, 600]
    # The second job was given what the first one left, and went on from there.
    (row,) = home.python(
        f"""
query = orm.QueryBuilder().append(orm.WorkChainNode, filters={{'id': {pk}}}, tag='campaign')
query.append(orm.WorkChainNode, with_incoming='campaign', tag='sampling')
query.append(orm.CalcJobNode, with_incoming='sampling', tag='first')
query.append(orm.Data, with_incoming='first', edge_filters={{'label': 'left'}}, tag='left', project='*')
query.append(orm.CalcJobNode, with_incoming='left', edge_filters={{'label': 'continued'}}, project='*')
print(json.dumps([
    [left.hashes, second.outputs.frames.hashes, second.outputs.frames.configurations.info['step'].tolist()]
    for left, second in query.all()
]))"""
    )
    left, contents, steps = row
    assert left == contents[:1]
    assert steps == list(range(80, 161, 10))


def test_a_killed_broker_is_noticed_and_mended(home: Home, campaign_file: Callable[..., Path]) -> None:
    file = campaign_file(name="broker", stop={"iterations": {"min": 1, "max": 1}})
    pk = home.submit(file)
    home.wait(pk, until=lambda s: s["stage"] == "train")
    killed = daemon_processes(home, "broker")
    kill(home, "broker")
    wait_until(lambda: set(daemon_processes(home, "broker")) - set(killed), "a broker started by the daemon")
    assert home.submit(file) == pk
    status = home.wait(pk)
    assert status["succeeded"], status
    entries = home.ledger(pk)
    assert status["labels"] == len(entries) == len({entry["hash"] for entry in entries})


def test_a_campaign_is_ended_archived_and_deleted(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    """What was computed before the end can be looked at, and goes into another home by one file."""
    pk = home.submit(campaign_file(name="ended"))
    for command in ("archive", "delete"):
        refused = home.call(command, "ended", check=False)
        assert (refused.returncode, f"campaign {pk} runs" in refused.stderr) == (2, True), refused.stderr
    home.wait(pk, until=lambda status: status["labels"] > 0)
    assert f"Campaign ended, PK {pk}, is ended; its data are kept." in home.call("end", "ended").stdout
    status = home.facts("status", pk)
    assert (status["state"], status["finished"], status["labels"] >= 13) == ("killed", True, True)
    # It has gone on until it was ended: frames that no record tells of may have labels too.
    code = "from aiida_bloomery.provenance.campaign import data_set\n"
    n_frames = home.python(f"{code}print(sum(node.n_frames for node in data_set(orm.load_node({pk})).values()))")
    assert n_frames >= status["labels"]
    assert "has ended already" in home.call("end", pk).stdout
    home.call("report", pk, "--to", tmp_path / "report.html")
    assert "ended" in (tmp_path / "report.html").read_text(encoding="utf-8")
    file = tmp_path / "ended.aiida"
    assert home.call("archive", pk, "--to", file).stderr == ""
    assert home.call("archive", pk, "--to", file, check=False).returncode == 2
    home.call("delete", "ended", "--yes")
    gone = home.call("status", pk, check=False)
    assert (gone.returncode, f"there is no campaign {pk}" in gone.stderr) == (2, True)
    again = home.submit(
        campaign_file(name="again", bootstrap=None, data={"archive": file.name}, stop={"iterations": {"max": 0}})
    )
    assert home.facts("status", "ended")["labels"] == status["labels"]
    status = home.wait(again)
    assert (status["succeeded"], status["adopted"], status["labels"]) == (True, n_frames, 0), status


def teachers_data(folder: Path, shift: float = 0.0, factor: float = 1.0) -> Path:
    """Twenty frames with labels of the quick potential, with energies moved by eV/atom and forces times a factor."""
    rng = np.random.default_rng(8)
    atoms = [bulk("Si", cubic=True) for _ in range(20)]
    for frame in atoms:
        frame.rattle(0.08, rng=rng)
    labelled, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(Configurations.from_atoms(atoms))
    frames = labelled.without_info(*labelled.info).with_labels(
        energy=labelled.label("energy")[0] + 8 * shift, forces=factor * labelled.label("forces")[0]
    )
    path = folder / f"mine-{shift}-{factor:.3f}.extxyz"
    frames.write_extxyz(path)
    return path


def test_a_campaign_from_data_and_another_that_goes_on(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Energies of another zero are moved, no label of the data is spent, and each frame tells where it is from."""
    mine = teachers_data(tmp_path, shift=2.5)
    changes: dict[str, Any] = {"bootstrap": None, "stop": {"iterations": {"min": 1, "max": 1}, "labels": 20}}
    file = campaign_file(name="from-data", data=mine.name, **changes)
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    begun, first = status["iterations"]
    assert (status["adopted"], begun["labels_total"], begun["probe_frames"]) == (20, 0, 0)
    assert begun["held_out"]["frames"] == 4
    assert first["labels_total"] == status["labels"] == len(home.ledger(pk)) > 0
    # Energies that had not been moved would differ by 2500 meV/atom from those labelled later.
    assert first["errors"]["energy"]["value"] < 100
    steps = home.facts("lineage", pk, "--frame", "0")["steps"]
    assert [step["kind"] for step in steps] == ["data", "structure"]
    assert steps[0]["facts"]["source"] == mine.name
    assert steps[1]["facts"]["sha256"] == digest_of_file(mine)
    home.call("report", pk, "--to", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "they are no probe, and no target counts them" in text
    assert "energies moved by -2.5" in text

    done = home.call("extend", pk, "--set", "stop.iterations=0")
    assert all(line.startswith("Note: ") for line in done.stderr.splitlines()), done.stderr
    later = int(done.stdout)
    assert home.call("extend", pk, "--set", "stop.iterations=0").stdout.strip() == str(later)
    status = home.wait(later)
    assert status["succeeded"], status
    assert (status["name"], status["adopted"]) == ("from-data-extended", 20 + first["labels_total"])
    driven, shared = home.python(
        f"""
old, new = orm.load_node({pk}), orm.load_node({later})
sampled = next(job for job in new.called_descendants if job.process_label.startswith('SampleCalculation'))
before, now = old.outputs.data_set, new.outputs.data_set
shared = {{node.uuid for node in before.values()}} <= {{node.uuid for node in now.values()}}
print(json.dumps([sampled.inputs.potential.uuid == old.outputs.potential.uuid, shared]))"""
    )
    assert driven
    assert shared

    other = tmp_path / "other.yaml"
    weaker = {"name": "stillinger_weber", "arguments": {"epsilon": WEAKER}}
    other.write_text(f"labelling: {json.dumps({'calculator': {'calculator': weaker}})}\n", encoding="utf-8")
    done = home.call("relabel", pk, "--labelling", other)
    assert all(line.startswith("Note: ") for line in done.stderr.splitlines()), done.stderr
    status = home.wait(int(done.stdout))
    assert status["succeeded"], status
    assert (status["name"], status["adopted"]) == ("from-data-relabelled", 20 + first["labels_total"])
    ratio, roles, kinds = home.python(
        f"""
import numpy as np
from aiida_bloomery.provenance.lineage import lineage
from bloomery.frames.configurations import Configurations
old, new = orm.load_node({pk}), orm.load_node({int(done.stdout)})
read = lambda node: [batch.configurations for key, batch in sorted(node.outputs.data_set.items())]
before, now = (Configurations.united(read(node)) for node in (old, new))
place = dict((content, i) for i, content in enumerate(before.hashes()))
same = before[[place[content] for content in now.hashes()]]
ratio = np.linalg.norm(now.label('forces')[0]) / np.linalg.norm(same.label('forces')[0])
roles = bool((now.info['role'] == same.info['role']).all())
print(json.dumps([float(ratio), roles, [step.kind for step in lineage(new, len(now) - 1).steps]]))"""
    )
    assert ratio == pytest.approx(WEAKER / 2.1683, abs=1e-6)
    assert roles
    assert kinds == ["data", "label", "data", "label", "selection", "sampling", "structure"]


def test_data_of_another_unit_end_a_campaign_in_one_sentence(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    mine = teachers_data(tmp_path, factor=1 / 51.42207)
    pk = home.submit(campaign_file(name="hartree", bootstrap=None, data={"file": mine.name, "same_method": True}))
    status = home.wait(pk)
    assert status["exit_status"] == 210
    assert status["message"].startswith(f"{mine.name}: on 5 frame(s) that were labelled again forces differ by ")
    assert "(a factor of 51.42, as from Ha/bohr to eV/Å)" in status["message"]
    assert status["iterations"] == []
