"""Molecules, slabs, magnets and ions through real pw.x: labels are gradients, and systems of all kinds fit together."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory
from ase import units
from ase.build import bulk, fcc100, molecule

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.setup.pseudopotentials import find_folder
from aiida_bloomery.workflows.energy_reference import EnergyReferenceWorkChain
from aiida_bloomery.workflows.labelling.quantumespresso import QuantumEspressoLabellingWorkChain
from bloomery.frames.configurations import Configurations

pytestmark = [
    pytest.mark.pw,
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path"),
]

FILES = {
    "H": "H.pbe-kjpaw.UPF", "O": "O.pbe-rrkjus.UPF", "Fe": "Fe.pbe-nd-rrkjus.UPF", "Al": "Al.pz-vbc.UPF",
}  # fmt: skip
SYSTEM = {
    "H": {"ecutwfc": 20.0, "ecutrho": 120.0},
    "Fe": {"ecutwfc": 25.0, "ecutrho": 200.0, "degauss": 0.02},
    "Al": {"ecutwfc": 12.0, "ecutrho": 48.0, "degauss": 0.05},
}
STEP = 0.005
"""In Å: a bond to hydrogen is so anharmonic that central differences of 0.02 Å are 0.02 eV/Å off."""
GRID = 0.015
"""In eV/Å: what the coarse grid of these cutoffs leaves, where forces are 0.4 to 1.5 eV/Å."""
TIGHT = {"conv_thr": 1e-10, "mixing_beta": 0.4}


@pytest.fixture
def label(wrapped_pw, profile):
    """Label frames: ``label(atoms, **more)`` gives them with their labels, and the workchain."""
    folder = find_folder()

    def make(atoms, *, kpoints=None, more=None, **given):
        frames = Configurations.from_atoms(atoms)
        pseudos = {}
        for element in frames.elements:
            path = Path(folder or "") / FILES[element]
            if not path.is_file():
                pytest.skip(f"there is no {path.name}")
            with path.open("rb") as handle:
                pseudos[element] = DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()
        system = SYSTEM[frames.elements[-1] if frames.elements[-1] in SYSTEM else "H"] | (more or {})
        builder = QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
            wrapped_pw().code,
            ConfigurationsData(frames).store(),
            "fast",
            {"parameters": {"SYSTEM": system, "ELECTRONS": TIGHT}},
            pseudos=pseudos,
            kpoints=kpoints or {"distance": 0.5, "offset": [0.5, 0.5, 0.5]},
            **given,
        )
        outputs, node = run_get_node(builder)
        assert node.is_finished_ok, node.exit_message
        labelled = outputs["labelled"].configurations
        assert labelled.hashes() == frames.hashes()  # frames stay what they were
        return labelled, node

    return make


def around(atoms: ase.Atoms, atom: int, axis: int, step: float) -> list[ase.Atoms]:
    """A frame, and with one coordinate of an atom a step on and a step back."""
    frames = [atoms]
    for sign in (1, -1):
        frames.append(atoms.copy())
        frames[-1].positions[atom, axis] += sign * step
    return frames


def slope(frames: Configurations, step: float) -> float:
    """Central difference of the energies of the second and third frame."""
    energies = frames.label("energy")[0]
    return float(energies[1] - energies[2]) / (2 * step)


def by_hand(folder: Path, text: str) -> float:
    """Energy in eV of pw.x, called as a user does."""
    (folder / "pw.in").write_text(text)
    out = subprocess.run(["pw.x", "-in", "pw.in"], cwd=folder, capture_output=True, text=True, check=False).stdout
    return float(re.findall(r"!\s+total energy\s+=\s+(\S+) Ry", out)[-1]) * units.Ry


def test_water_and_its_dimer(label, tmp_path):
    """Forces are gradients, the energy is that of pw.x called by hand, and two molecules bind as water does."""
    one = molecule("H2O")
    one.rattle(0.02, seed=1)
    two = one.copy()
    two.positions += [0, 0, 2.9]
    two.rotate(100, "x", center=two.positions[0])
    frames, _ = label([*around(one, 1, 1, STEP), one + two], boundaries={"molecules": "none", "vacuum": 4.0})
    forces, _ = frames.label("forces")
    assert -slope(frames, STEP) == pytest.approx(forces[1, 1], abs=GRID)
    assert not frames.has("stress").any()
    np.testing.assert_allclose(forces[:3].sum(axis=0), 0, atol=0.03)
    energies, _ = frames.label("energy")
    assert -0.5 < energies[3] - 2 * energies[0] < 0.0  # the dimer binds by 0.2 eV at its best
    positions = "".join(
        f"{symbol} {x:.10f} {y:.10f} {z:.10f}\n" for symbol, (x, y, z) in zip(one.symbols, one.positions, strict=True)
    )
    text = f"""&CONTROL calculation='scf', pseudo_dir='{find_folder()}', outdir='out' /
&SYSTEM ibrav=0, nat=3, ntyp=2, ecutwfc=20, ecutrho=120, nosym=.true.,
 occupations='smearing', smearing='cold', degauss=0.01 /
&ELECTRONS conv_thr=1e-10 /
ATOMIC_SPECIES
H 1.0 {FILES["H"]}
O 16.0 {FILES["O"]}
CELL_PARAMETERS angstrom
9 0 0
0 10 0
0 0 9
ATOMIC_POSITIONS angstrom
{positions}K_POINTS gamma
"""
    assert by_hand(tmp_path, text) == pytest.approx(energies[0], abs=1e-4)


def test_an_ion_does_not_know_how_large_its_box_is(label):
    """Two corrections agree on the energy that hydronium has alone, which is eV from that of its periodic images."""
    ion = ase.Atoms("OH3", [[0, 0, 0], [0.95, 0, 0.2], [-0.47, 0.82, 0.2], [-0.47, -0.82, 0.22]])
    ion.info["charge"] = 1
    found = {}
    for name in ("martyna-tuckerman", "makov-payne", "none"):
        steps = [ion] if name == "none" else around(ion, 1, 0, STEP)
        frames, _ = label(steps, boundaries={"molecules": name, "vacuum": 4.0})
        found[name] = frames.label("energy")[0][0]
        if name == "none":
            continue
        assert -slope(frames, STEP) == pytest.approx(frames.label("forces")[0][1, 0], abs=GRID), name
    assert found["makov-payne"] == pytest.approx(found["martyna-tuckerman"], abs=0.25)
    assert found["none"] < found["martyna-tuckerman"] - 1.0


@pytest.mark.parametrize("slabs", ["none", "dipole", "2D"])
def test_a_slab_and_its_crystal_are_one_method(label, slabs):
    """Forces across the surface are gradients, and the surface of aluminium costs what it costs."""
    slab = fcc100("Al", (1, 1, 3), a=4.0, vacuum=8.0, periodic=False)
    slab.positions[2, 2] += 0.1
    frames, node = label([*around(slab, 2, 2, 0.01), bulk("Al", a=4.0)], boundaries={"slabs": slabs, "vacuum": 4.0})
    assert -slope(frames, 0.01) == pytest.approx(frames.label("forces")[0][2, 2], abs=5e-3)
    assert frames.has("stress").tolist() == [False, False, False, True]
    energies, _ = frames.label("energy")
    area = float(np.linalg.norm(np.cross(*slab.cell.array[:2])))
    surface = (energies[0] - 3 * energies[3]) / (2 * area) / (units.kJ / 1000) * 1e20
    assert 0.7 < surface < 1.8  # J/m^2; 0.9 to 1.2 in the literature, here with a rumpled and thin slab
    marks = {child.inputs.boundaries["slabs"] for child in node.called if child.process_label == "PwPackCalculation"}
    assert marks == {slabs}


def test_iron_with_opposite_moments_keeps_them(label):
    """Kinds are in pw.x's input alone; forces and shear stress are gradients; moments are labels."""
    iron = bulk("Fe", cubic=True)
    iron.positions[0] += [0.06, 0.03, 0]
    iron.set_initial_magnetic_moments([2.5, -2.5])
    step, shear = 0.02, 0.01
    frames = around(iron, 0, 0, step)
    for sign in (1, -1):
        sheared = iron.copy()
        strain = sign * shear / 2 * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
        sheared.set_cell(iron.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        frames.append(sheared)
    labelled, _ = label(frames, kpoints={"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]})
    assert -slope(labelled, step) == pytest.approx(labelled.label("forces")[0][0, 0], abs=0.02)
    energies = labelled.label("energy")[0]
    # dE = V (2 stress_xy e_xy), for a shear e_xy = e_yx
    stress = (energies[3] - energies[4]) / (2 * shear) / iron.get_volume()
    assert stress == pytest.approx(labelled.label("stress")[0][0, 5], abs=2e-3)
    moments, mask = labelled.label("magmoms")
    assert mask.all()
    assert (np.sign(moments).reshape(-1, 2) == [1, -1]).all()
    assert np.abs(labelled.label("magmom")[0]).max() < 0.2
    assert labelled.label("absolute_magmom")[0].min() > 2
    assert labelled.elements == ["Fe"]


def test_a_ferromagnet_by_element(label):
    iron = bulk("Fe", cubic=True)
    iron.rattle(0.05, seed=2)
    labelled, _ = label(
        [iron],
        kpoints={"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]},
        more={"nspin": 2, "starting_magnetization": {"Fe": 0.3}},
    )
    assert 3.0 < labelled.label("magmom")[0][0] < 6.0
    assert labelled.has("magmoms").all()


def test_oxygen_alone_is_a_triplet_with_whole_occupations(wrapped_pw, profile):
    """The lowest state of the atom has two unpaired electrons, and lies well below that of smeared occupations."""
    folder = find_folder()
    path = Path(folder or "") / FILES["O"]
    if not path.is_file():
        pytest.skip(f"there is no {path.name}")
    with path.open("rb") as handle:
        upf = DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()
    oxygen = ase.Atoms("O2", [[0, 0, 0], [0, 0, 1.2]])
    structures = ConfigurationsData(Configurations.from_atoms([oxygen])).store()
    inputs = QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
        wrapped_pw().code,
        None,
        "fast",
        {"parameters": {"SYSTEM": {"ecutwfc": 18.0, "ecutrho": 100.0}}},
        elements=["O"],
        pseudos={"O": upf},
    )._inputs(prune=True)
    outputs, node = run_get_node(
        EnergyReferenceWorkChain, structures=structures, labeller=orm.Str("quantumespresso"), labelling=inputs
    )
    assert node.is_finished_ok, node.exit_message
    reference = outputs["energy_reference"].get_dict()
    assert reference["unpaired"] == {"O": 2.0}
    assert "notes" not in reference
    labelled = next(child for child in node.called if "labelled" in child.outputs).outputs.labelled.configurations
    energies, stated = labelled.label("energy")[0], labelled.state("spin")[1]
    assert sorted(stated.tolist()) == [False, True]
    assert reference["values"]["O"] == pytest.approx(energies[stated][0])
    assert energies[stated][0] < energies[~stated][0] - 0.1
