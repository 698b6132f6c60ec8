"""pw.x's own dynamics on two silicon atoms."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import units

from aiida_bloomery.calculations.functions.dynamics import RYDBERG_TIME, md_namelists, md_settings, velocities
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.reference_md.quantumespresso import QuantumEspressoReferenceMdWorkChain
from bloomery.plugins import PluginSpec
from bloomery.samplers.contract import ORIGIN_KEYS
from bloomery.samplers.dynamics.trajectories import DynamicsSettings, trajectories

SETTINGS = {"temperatures": [300, 900], "steps": 6, "interval": 2, "block_steps": 4, "timestep_fs": 1.0}
CHEAP = {"parameters": {"SYSTEM": {"ecutwfc": 8.0, "ecutrho": 32.0, "degauss": 0.03}}}
MESH = {"mesh": [1, 1, 1], "offset": [0.5, 0.5, 0.5]}


@pytest.fixture
def builder(wrapped_pw, dimers, silicon_upf):
    return QuantumEspressoReferenceMdWorkChain.get_builder_from_protocol(
        wrapped_pw().code,
        dimers(1, seed=21),
        "fast",
        {"settings": SETTINGS, "pw": CHEAP},
        pseudos={"Si": silicon_upf},
        kpoints=MESH,
        seed=5,
    )


@pytest.mark.pw
@pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path")
def test_trajectory_has_origin_and_labels_that_the_cache_knows(builder, wrapped_pw, labelling):
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    frames = outputs["frames"].configurations
    assert set(ORIGIN_KEYS) <= set(frames.info)
    assert frames.info["step"].tolist() == [2, 4, 6, 2, 4, 6]
    assert frames.info["trajectory"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frames.info["temperature"].tolist() == [300.0] * 3 + [900.0] * 3
    assert frames.info["block"].tolist() == [0, 0, 1, 2, 2, 3]
    assert set(frames.info["parent_uuid"]) == {builder.structures.uuid}
    assert frames.has("energy").all()
    assert frames.has("stress").all()
    report = outputs["report"].get_dict()
    assert [item["stop_reason"] for item in report["trajectories"]] == ["completed"] * 2
    # A frame of the trajectory labelled on its own has the same labels: compute one, and find it in the cache.
    code = builder.pw.code
    frame = outputs["frames"].configurations[[2]].without_labels().without_info(*frames.info)
    cached, _ = run_get_node(labelling(code, ConfigurationsData(frame).store()))
    assert [entry["outcome"] for entry in cached["ledger"]["entries"]] == ["cached"]
    other = wrapped_pw()
    other_code = orm.InstalledCode(
        label="other", computer=code.computer, filepath_executable=str(other.folder / "pw.x"), prepend_text="true"
    ).store()
    computed, _ = run_get_node(labelling(other_code, ConfigurationsData(frame).store()))
    assert [entry["outcome"] for entry in computed["ledger"]["entries"]] == ["labelled"]
    new, old = computed["labelled"].configurations, cached["labelled"].configurations
    np.testing.assert_allclose(new.labels["energy"], old.labels["energy"], atol=1e-4)
    np.testing.assert_allclose(new.labels["forces"], old.labels["forces"], atol=2e-3)
    np.testing.assert_allclose(new.labels["stress"], old.labels["stress"], atol=1e-4)


def test_velocities_are_maxwellian_without_drift_in_units_of_pw(dimers):
    frames = dimers(1).configurations.without_info("role")
    settings = DynamicsSettings(temperatures=[600.0], supercell=(5, 5, 5))
    (trajectory,) = trajectories(frames, settings, 3, "reference_md")
    drawn = velocities(trajectory)
    atoms = trajectory.frame.to_atoms()[0]
    atoms.set_velocities(drawn * units.Bohr / RYDBERG_TIME)
    assert atoms.get_temperature() == pytest.approx(600, rel=0.15)  # 250 atoms: 5 % standard deviation
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-9)
    np.testing.assert_array_equal(drawn, velocities(trajectories(frames, settings, 3, "reference_md")[0]))
    assert not np.array_equal(drawn, velocities(trajectories(frames, settings, 4, "reference_md")[0]))


def test_time_step_and_thermostat_are_those_of_the_settings():
    settings = DynamicsSettings(steps=40, timestep_fs=0.5, friction=0.02)
    namelists = md_namelists({"CONTROL": {"calculation": "scf"}, "SYSTEM": {}}, settings, 450.0)
    # 1 fs is 20.67 Rydberg units of time.
    assert namelists["CONTROL"]["dt"] == pytest.approx(0.5 * 20.6707, rel=1e-5)
    assert namelists["CONTROL"]["nstep"] == 41
    assert namelists["IONS"]["tempw"] == 450.0
    assert namelists["IONS"]["nraise"] == 100


def test_calculator_of_the_sampler_is_ignored():
    settings = md_settings(PluginSpec(name="reference_md", settings={"steps": 20, "calculator": "emt"}))
    assert settings.steps == 20


def test_bad_settings_are_refused_at_submission(builder):
    with pytest.raises(ValueError, match=r"reference_md\.step: there is no such key"):
        builder.parameters = orm.Dict({"sampler": {"name": "reference_md", "settings": {"step": 20}}})
    with pytest.raises(
        ValueError, match=r"reference_md\.ensemble: pw\.x drives this dynamics with a thermostat of its own"
    ):
        builder.parameters = orm.Dict({"sampler": {"name": "reference_md", "settings": {"ensemble": "npt"}}})


def test_workchain_is_registered():
    assert WorkflowFactory("bloomery.reference_md.quantumespresso") is QuantumEspressoReferenceMdWorkChain
