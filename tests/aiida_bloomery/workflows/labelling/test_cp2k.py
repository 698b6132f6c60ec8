"""Real CP2K on a handful of atoms: labels against finite differences of energies, and what becomes of failures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk
from tests.aiida_bloomery.workflows.labelling.cp2k_frames import STEP, STRAIN, displaced, strained

from aiida_bloomery.calculations.cp2k_output import EXIT_ABORTED, EXIT_NOT_CONVERGED
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.cp2k import Cp2kLabellingWorkChain
from bloomery.frames.configurations import Configurations

CP2K = shutil.which("cp2k.psmp") or shutil.which("cp2k")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CP2K is None, reason="CP2K is not on the path"),
]

# The cheapest physics that is physics; potentials of hydrogen and oxygen are harder and want a finer grid.
FINER = {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": 200, "REL_CUTOFF": 40}}}}
CHEAP = {
    "functional": "LDA",
    "basis": "SZV-MOLOPT-SR-GTH",
    "vacuum": 4.0,
    "kpoints": {"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]},
    "parameters": {
        "FORCE_EVAL": {
            "DFT": {
                "MGRID": {"CUTOFF": 100, "REL_CUTOFF": 30},
                "SCF": {"OT": {"PRECONDITIONER": "FULL_ALL"}},
            }
        }
    },
}


ELEMENTS = ["Al", "H", "O", "P", "Si"]


@pytest.fixture(scope="module")
def cp2k_code(profile, tmp_path_factory):
    """CP2K on this machine with two cores declared."""
    machine = orm.Computer(
        label="two-cores-cp2k",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(tmp_path_factory.mktemp("cp2k")),
    ).store()
    machine.set_minimum_job_poll_interval(0.1)
    machine.set_default_mpiprocs_per_machine(1)
    machine.set_property("bloomery_cores", 2)
    machine.configure(use_login_shell=False, safe_interval=0.0)
    return orm.InstalledCode(label="cp2k", computer=machine, filepath_executable=str(CP2K)).store()


def label(code, frames, **overrides):
    node = ConfigurationsData(Configurations.from_atoms(frames)).store()
    builder = Cp2kLabellingWorkChain.get_builder_from_protocol(
        code, node, "fast", {**CHEAP, **overrides}, elements=ELEMENTS
    )
    return run_get_node(builder)


def water() -> ase.Atoms:
    return ase.Atoms("OHH", [[0, 0, 0], [0.80, 0.59, 0], [-0.76, 0.52, 0.1]])


def ion() -> ase.Atoms:
    atoms = ase.Atoms("P2", [[0, 0, 0], [1.2, 1.5, 0.3]])
    atoms.info |= {"charge": 1, "spin": 2}
    return atoms


def slab() -> ase.Atoms:
    atoms = ase.Atoms("P2", [[0, 0, 0], [0.7, 2.2, 0.6]], cell=[3.5, 4.5, 0], pbc=[True, True, False])
    atoms.info["electronic_temperature"] = 1000
    return atoms


def aluminium() -> ase.Atoms:
    atoms = bulk("Al") * (2, 1, 1)
    atoms.rattle(0.1, seed=1)
    atoms.info["electronic_temperature"] = 5000
    return atoms


def silicon() -> ase.Atoms:
    """Two atoms in a cell without any symmetry, which lies askew."""
    atoms = bulk("Si")
    atoms.rattle(0.1, seed=1)
    strain = np.eye(3) + np.array([[0.01, 0.02, -0.03], [0.02, -0.02, 0.015], [-0.03, 0.015, 0.01]])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    atoms.set_cell(atoms.cell.array @ strain @ (turn * np.sign(np.linalg.det(turn))), scale_atoms=True)
    return atoms


SYSTEMS = {"water": water, "ion": ion, "slab": slab, "aluminium": aluminium, "silicon": silicon}
ATOM, AXIS = 0, 1
LEFT = {"water": 25e-3}
"""eV/Å between force and difference that the grid leaves; elsewhere 4 meV/Å."""
STRESSES = {"silicon": [(0, 0)], "aluminium": [(1, 2)]}
VOIGT = {(0, 0): 0, (1, 1): 1, (2, 2): 2, (1, 2): 3, (0, 2): 4, (0, 1): 5}


@pytest.fixture(scope="module")
def labelled(cp2k_code):
    """All systems, each with the frames that a finite difference needs: water in one labelling, the rest in another."""
    result = {}
    for chosen, overrides in ((["water"], {"parameters": FINER}), ([*SYSTEMS][1:], {})):
        variants = {}
        for name in chosen:
            atoms = variants[name, "itself"] = SYSTEMS[name]()
            for sign in (1, -1):
                variants[name, f"force {sign}"] = displaced(atoms, ATOM, AXIS, sign)
                for pair in STRESSES.get(name, []):
                    variants[name, f"stress {pair} {sign}"] = strained(atoms, pair, sign)
        outputs, node = label(cp2k_code, list(variants.values()), **overrides)
        assert node.is_finished_ok, node.exit_message
        assert {entry["outcome"] for entry in outputs["ledger"]["entries"]} == {"labelled"}
        found = outputs["labelled"].configurations
        assert found.hashes() == Configurations.from_atoms(list(variants.values())).hashes()
        result |= {"node": node, **{key: found[index] for index, key in enumerate(variants)}}
    return result


def energy(frame) -> float:
    return float(frame.label("energy")[0][0])


@pytest.mark.parametrize("name", SYSTEMS)
def test_force_is_minus_the_derivative_of_the_energy(labelled, name):
    """With smearing the energy is the free one; CP2K's grid leaves a little between the two."""
    difference = energy(labelled[name, "force 1"]) - energy(labelled[name, "force -1"])
    forces = labelled[name, "itself"].label("forces")[0]
    assert forces[ATOM, AXIS] == pytest.approx(-difference / (2 * STEP), abs=LEFT.get(name, 4e-3))
    assert abs(forces[ATOM, AXIS]) > 0.05


@pytest.mark.parametrize(("name", "pair"), [(name, pair) for name, pairs in STRESSES.items() for pair in pairs])
def test_stress_is_the_derivative_of_the_energy_by_strain(labelled, name, pair):
    difference = energy(labelled[name, f"stress {pair} 1"]) - energy(labelled[name, f"stress {pair} -1"])
    frame = labelled[name, "itself"]
    expected = difference / (2 * STRAIN) / frame.volumes[0]
    assert frame.label("stress")[0][0, VOIGT[pair]] == pytest.approx(expected, rel=5e-3)


def test_only_what_is_periodic_everywhere_has_stress(labelled):
    has = {name: bool(labelled[name, "itself"].has("stress")[0]) for name in SYSTEMS}
    assert has == {"water": False, "ion": False, "slab": False, "aluminium": True, "silicon": True}


def test_energy_is_that_of_the_program_called_by_hand(labelled, tmp_path):
    (pack,) = [child for child in labelled["node"].called if child.process_label == "Cp2kPackCalculation"]
    folder = str(labelled["silicon", "itself"].info["label_folder"][0])
    (tmp_path / "by_hand.inp").write_text(pack.base.repository.get_object_content(f"{folder}/aiida.inp"))
    done = subprocess.run(
        [CP2K, "-i", "by_hand.inp"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=600
    )
    (line,) = [line for line in done.stdout.splitlines() if "ENERGY| Total FORCE_EVAL" in line]
    # Hartree as CP2K has it, which is that of CODATA 2006.
    assert energy(labelled["silicon", "itself"]) == pytest.approx(float(line.split()[-1]) * 27.21138386, abs=1e-7)


def test_label_that_exists_is_not_computed_again(labelled, cp2k_code):
    frame = labelled["silicon", "itself"].without_labels().to_atoms()[0]
    outputs, _ = label(cp2k_code, [frame])
    assert [entry["outcome"] for entry in outputs["ledger"]["entries"]] == ["cached"]


def test_frame_that_does_not_converge_is_tried_again_and_said(cp2k_code):
    """One step is too few; the remedy has enough of them, or in the second case none either."""
    atoms = ase.Atoms("P2", [[0, 0, 0], [0, 0, 2.0]])
    few = {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": 80}, "SCF": {"MAX_SCF": 1, "OUTER_SCF": {"MAX_SCF": 1}}}}}
    more = {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 100}}}}
    outputs, node = label(cp2k_code, [atoms], parameters=few, remedy=more)
    (entry,) = outputs["ledger"]["entries"]
    assert (entry["outcome"], entry["attempts"]) == ("labelled", 2)
    assert [child.exit_status for child in node.called if child.process_label == "Cp2kPackCalculation"] == [400, 0]
    atoms.positions[1, 2] += 0.1
    nothing = {"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 1, "OT": {"MINIMIZER": "CG", "LINESEARCH": "2PNT"}}}}}
    outputs, node = label(cp2k_code, [atoms], parameters=few, remedy=nothing)
    (entry,) = outputs["ledger"]["entries"]
    assert node.exit_status == 450
    assert (entry["outcome"], entry["attempts"], entry["exit_code"]) == ("failed", 2, EXIT_NOT_CONVERGED)
    assert (
        "did not reach self-consistency, nor with MAX_SCF 1, OT/PRECONDITIONER FULL_SINGLE_INVERSE" in entry["reason"]
    )


def test_words_with_which_cp2k_aborts_are_the_reason(cp2k_code):
    outputs, _ = label(
        cp2k_code, [bulk("Si")], parameters={"FORCE_EVAL": {"DFT": {"SCF": {"EPS_SFC": 1e-6}}}}, max_failed_share=1.0
    )
    (entry,) = outputs["ledger"]["entries"]
    assert entry["exit_code"] == EXIT_ABORTED
    assert "unknown keyword EPS_SFC in section SCF" in entry["reason"]


def test_isolated_atoms_are_in_their_ground_states(cp2k_code):
    atoms = ase.Atoms("Si", cell=[12, 12.1, 12.2], pbc=True)
    node = ConfigurationsData(Configurations.from_atoms([atoms])).store()
    builder = Cp2kLabellingWorkChain.get_builder_from_protocol(cp2k_code, node, "fast", CHEAP)
    builder.isolated_atoms = orm.Bool(True)
    outputs, done = run_get_node(builder)
    assert done.is_finished_ok, done.exit_message
    (pack,) = [child for child in done.called if child.process_label == "Cp2kPackCalculation"]
    text = pack.base.repository.get_object_content("frame_0000/aiida.inp")
    assert "MULTIPLICITY 3" in text
    assert "PERIODIC NONE" in text
    assert not outputs["labelled"].configurations.has("stress")[0]


def test_bad_frames_are_refused_before_anything_runs(cp2k_code):
    wire = ase.Atoms("Si", cell=[4, 4, 4], pbc=[True, False, False])
    with pytest.raises(ValueError, match=r"frame 0 is periodic along one direction"):
        label(cp2k_code, [wire])
    assert Path(str(cp2k_code.get_executable())).exists()
