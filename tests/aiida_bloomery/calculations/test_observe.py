"""Observations: numbers and arrays with units."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.frames.configurations import Configurations
from bloomery.observables.equation_of_state import EquationOfState
from bloomery.reference.teachers import teacher_for


def test_only_the_roles_asked_for_are_observed(chain):
    batches = (chain.label.outputs.labelled, chain.label_1.outputs.labelled)
    expected = sum(node.base.attributes.get("roles")["probe"] for node in batches)
    assert chain.observe_1.outputs.observation["n_frames"] == expected


def test_numbers_are_those_of_the_frames(chain):
    potential = chain.train_1.outputs.potential.load()
    parts = []
    for node in (chain.label.outputs.labelled, chain.label_1.outputs.labelled):
        frames = node.configurations
        frames = frames[frames.info["role"] == "probe"]
        parts.append((potential.predict(frames).force - frames.label("forces")[0]).ravel())
    rmse = 1000 * np.sqrt((np.concatenate(parts) ** 2).mean())
    assert chain.observe_1.outputs.observation["forces"]["rmse"]["value"] == pytest.approx(rmse, rel=1e-6)


def test_arrays_have_units(chain):
    arrays = chain.observe_1.outputs.arrays
    units = arrays.base.attributes.get("units")
    assert units["frame_force_rmse"] == "eV/Å"
    assert set(units) <= set(arrays.get_arraynames())


def test_frames_without_labels_are_reported_by_the_job(jobs, frames, potential):
    node = jobs.run(
        "observe", configurations={"frames": frames}, potential=potential, parameters={"observable": "errors"}
    )
    assert node.exit_status == 200
    assert "frame 0 has neither energy nor forces" in node.exit_message


def test_potential_and_reference_are_compared_on_the_same_frames(jobs, profile, potential):
    structure = Configurations.from_atoms([bulk("Si", cubic=True)]).snapped()
    wanted = EquationOfState.make().wanted_frames(structure)
    atoms = wanted.to_atoms()
    for frame in atoms:
        frame.calc = teacher_for(["Si"]).make()
    labelled = wanted.with_labels(energy=[frame.get_potential_energy() for frame in atoms])
    node = jobs.done(
        "observe",
        configurations={"structure": ConfigurationsData(structure)},
        reference={"a": ConfigurationsData(labelled[:4]), "b": ConfigurationsData(labelled[4:])},
        potential=potential,
        parameters={"observable": "equation_of_state"},
    )
    summary = node.outputs.observation["Si8"]
    # 101.4 GPa: see tests/bloomery/observables/test_equation_of_state.py.
    assert summary["reference"]["bulk_modulus"]["value"] == pytest.approx(101.4, abs=1)
    assert "Si8__reference__energies" in node.outputs.arrays.base.attributes.get("units")
