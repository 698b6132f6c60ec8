"""Molecules through the labeller `pyscf`: a job, its labels in the graph, and what is refused before it is sent."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import Atoms
from ase.build import molecule

from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.energy_reference import EnergyReferenceWorkChain
from aiida_bloomery.workflows.labelling.pyscf import PyscfLabellingWorkChain
from bloomery.frames.configurations import Configurations
from bloomery.labellers.pyscf import PyscfLabeller

pyscf = pytest.importorskip("pyscf", reason="pyscf is not installed here: pip install 'aiida-bloomery[pyscf]'")

CHEAP = {"method": "hf", "basis": "sto-3g"}


def waters() -> Configurations:
    """A molecule, its cation, and a radical."""
    frames = [molecule("H2O"), molecule("H2O"), molecule("OH")]
    for index, atoms in enumerate(frames):
        atoms.arrays.pop("initial_magmoms", None)
        atoms.rattle(0.05, seed=index)
    frames[1].info |= {"charge": 1, "spin": 2}
    frames[2].info |= {"spin": 2}
    return Configurations.from_atoms(frames).snapped()


@pytest.fixture(scope="module")
def molecules(profile):
    return ConfigurationsData(waters()).store()


def outcomes(outputs):
    return [entry["outcome"] for entry in outputs["ledger"]["entries"]]


def test_labels_of_a_job_are_those_of_the_labeller_and_are_found_again(bloomery_code, molecules):
    make = PyscfLabellingWorkChain.get_builder_from_protocol
    outputs, node = run_get_node(make(bloomery_code, CHEAP, molecules, "fast"))
    assert node.is_finished_ok, node.exit_message
    labelled = outputs["labelled"].configurations
    expected, _ = PyscfLabeller.make(**CHEAP).label(molecules.configurations)
    np.testing.assert_allclose(labelled.label("energy")[0], expected.label("energy")[0], atol=1e-6)
    np.testing.assert_allclose(labelled.label("forces")[0], expected.label("forces")[0], atol=1e-4)
    assert not labelled.has("stress").any()
    (job,) = (child for child in node.called if child.process_label.startswith("LabelCalculation"))
    assert job.outputs.labelled.base.attributes.get(VERSION_ATTRIBUTE).startswith(f"pyscf {pyscf.__version__}, ")
    # What does not change the physics finds the same labels.
    again, node = run_get_node(make(bloomery_code, {**CHEAP, "memory": 2, "grid_level": 3}, molecules, "fast"))
    assert outcomes(again) == ["cached"] * 3
    other, _ = run_get_node(make(bloomery_code, {**CHEAP, "basis": "3-21g"}, molecules, "fast"))
    assert outcomes(other) == ["labelled"] * 3


def test_properties_are_labels_in_the_graph_too(bloomery_code, molecules):
    """They are found again with the others; labels without them are other labels."""
    make = PyscfLabellingWorkChain.get_builder_from_protocol
    settings = {**CHEAP, "properties": ["dipole"]}
    outputs, node = run_get_node(make(bloomery_code, settings, molecules, "fast"))
    assert node.is_finished_ok, node.exit_message
    assert outcomes(outputs) == ["labelled"] * 3
    expected, _ = PyscfLabeller.make(**settings).label(molecules.configurations)
    labelled = outputs["labelled"].configurations
    assert labelled.has("dipole").all()
    np.testing.assert_allclose(labelled.label("dipole")[0], expected.label("dipole")[0], atol=1e-4)
    again, _ = run_get_node(make(bloomery_code, settings, molecules, "fast"))
    assert outcomes(again) == ["cached"] * 3
    np.testing.assert_array_equal(again["labelled"].configurations.label("dipole")[0], labelled.label("dipole")[0])


def test_a_frame_that_does_not_converge_is_in_the_ledger(bloomery_code, molecules):
    settings = {**CHEAP, "max_cycles": 1}
    outputs, node = run_get_node(
        PyscfLabellingWorkChain.get_builder_from_protocol(bloomery_code, settings, molecules, "fast")
    )
    assert node.exit_status == 450
    assert outcomes(outputs) == ["failed"] * 3
    assert outputs["ledger"]["entries"][0]["reason"].startswith("the orbitals do not converge, with DIIS or to second")


def test_isolated_atoms_are_in_their_ground_states(bloomery_code, molecules):
    """A triplet and a doublet, in the boxes in which every labeller gets them."""
    builder = PyscfLabellingWorkChain.get_builder_from_protocol(bloomery_code, CHEAP)
    inputs = {port: builder[port] for port in ("code", "parameters", "max_failed_share", "options")}
    reference, node = run_get_node(
        EnergyReferenceWorkChain, structures=molecules, labeller=orm.Str("pyscf"), labelling=inputs
    )
    assert node.is_finished_ok, node.exit_message
    atoms = [Atoms("H", info={"spin": 2}), Atoms("O", info={"spin": 3})]
    expected, _ = PyscfLabeller.make(**CHEAP).label(Configurations.from_atoms(atoms))
    values = reference["energy_reference"]["values"]
    assert [values["H"], values["O"]] == pytest.approx(expected.label("energy")[0].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("info", "pbc", "sentence"),
    [
        ({}, False, "frame 0: it has 9 electrons, an odd number, and nothing says its multiplicity"),
        ({"spin": 2}, True, "frame 0: it is periodic, and this labeller takes molecules"),
    ],
)
def test_frames_that_cannot_be_computed_are_refused_at_submission(bloomery_code, profile, info, pbc, sentence):
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], cell=[8, 8, 8], pbc=pbc, info=info)
    node = ConfigurationsData(Configurations.from_atoms([atoms])).store()
    with pytest.raises(ValueError, match=sentence):
        run_get_node(PyscfLabellingWorkChain.get_builder_from_protocol(bloomery_code, CHEAP, node, "fast"))


def test_workchain_is_registered():
    assert WorkflowFactory("bloomery.labelling.pyscf") is PyscfLabellingWorkChain
