"""A campaign that learns a property beyond the energy, and what is made of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import molecule

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.export import export
from aiida_bloomery.provenance.observation import observation_origin
from aiida_bloomery.provenance.progress import campaign_state
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.figures.observables import figures_of
from aiida_bloomery.report.page import render
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.pyscf import PyscfLabellingWorkChain
from aiida_bloomery.workflows.properties import LearningWorkChain
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.properties.contract import folder_of, load_property
from bloomery.testing.properties import frames_for, teacher

pytestmark = pytest.mark.integration

STAGES: dict[str, Any] = {
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 24, "rattle": [0.02, 0.1], "strain": 0}}],
        "selectors": ["sanity", {"random": {"frames": 20}}],
    },
    "sampling": {"samplers": [{"rattle_strain": {"frames": 12, "rattle": 0.1, "strain": 0}}]},
    "selection": {
        "selectors": ["sanity"],
        "roles": {"min_probe": 5, "early_stopping_share": 0, "calibration_share": 0},
    },
    "training": {"engine": {"hdnnp": {"members": 2, "steps": 300, "hidden": [8]}}, "warm_start": False},
    "properties": {"learned": {"dipole": {}, "charges": {}}},
    "validation": {
        "final": [
            {"frequencies": {"models": [folder_of("dipole")]}},
            {
                "infrared": {
                    "model": folder_of("dipole"),
                    "dynamics": {"steps": 400, "equilibration": 100, "timestep_fs": 0.5},
                    "window_fs": 20,
                    "min_wavenumber": 500,
                    "measured_lines": [1595, 3657, 3756],
                }
            },
        ],
    },
    "stop": {
        "max_iterations": 0,
        "min_iterations": 0,
        "consecutive": 1,
        "targets": {"forces": 9000},
        "properties": {"dipole": "50 %"},
        "min_probe_frames": 2,
    },
}


@pytest.fixture(scope="module")
def campaign(bloomery_code: orm.InstalledCode) -> orm.WorkChainNode:
    """It ends with its bootstrap."""
    settings = {"method": "hf", "basis": "sto-3g", "properties": ["dipole"]}
    builder = ReinforcementWorkChain.get_builder_from_protocol(
        bloomery_code,
        ConfigurationsData(Configurations.from_atoms([molecule("H2O")]).snapped()),
        "pyscf",
        PyscfLabellingWorkChain.get_builder_from_settings(bloomery_code, settings),
        "fast",
        STAGES,
        device="cpu",
        seed=2,
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, (node.exit_status, node.exit_message)
    return node


def test_the_model_is_measured_on_the_probe_and_ends_the_campaign(campaign: orm.WorkChainNode) -> None:
    history = campaign.outputs.history
    (entry,) = history["iterations"]
    found = entry["properties"]["dipole"]
    assert found["model"] == campaign.outputs.property_models.dipole.uuid
    assert found["n_learnt"] + found["n_frames"] == 24
    assert 0 < found["share_of_scatter"]["value"] < found["share_of_scatter"]["upper"] < 0.5
    assert (history["decision"]["rule"], history["decision"]["success"]) == ("targets", True)
    assert "dipole RMSE" in history["decision"]["reason"]
    assert "properties" in entry["hours"]


def test_a_property_that_no_frame_has_is_named_and_ends_nothing(campaign: orm.WorkChainNode) -> None:
    assert campaign.outputs.history["iterations"][0]["properties_missing"] == ["charges"]
    assert campaign_state(campaign.pk).missing == ["charges"]
    (stage,) = [stage.process for stage in campaigns.stages(campaign) if stage.name == "properties"]
    assert (stage.exit_status, stage.exit_message) == (
        400,
        "The charges could not be learnt: no frame of the data set has the label.",
    )


def test_observables_go_by_the_model_beside_the_reference(campaign: orm.WorkChainNode) -> None:
    modes = campaign.outputs.observations.frequencies["H2O"]
    for side in ("potential", "reference"):
        assert {f"mode_{mode}_infrared" for mode in range(3)} <= set(modes[side])
    # The dipole's slopes by the model are those by Hartree-Fock itself, as far as the modes are the same.
    total = [
        sum(modes[side][f"mode_{mode}_infrared"]["value"] for mode in range(3))
        for side in modes
        if side in ("potential", "reference")
    ]
    assert total[0] == pytest.approx(total[1], rel=0.3)
    assert campaign.outputs.observations.infrared["trajectory"]["infrared:intensity"]["value"] > 0


def test_a_spectrum_is_drawn_with_harmonic_and_measured_lines(campaign: orm.WorkChainNode) -> None:
    facts = collect(campaign)
    spectrum = next(measured for measured in facts.measured if measured.observable == "infrared")
    (figure,) = figures_of(spectrum, facts.measured)
    assert set(figure.columns["method"]) == {
        "potential",
        "experiment, lines",
        "reference, harmonic H2O",
        "potential, harmonic H2O",
    }
    page = render(facts)
    assert "Properties beyond the energy" in page
    assert "Not learnt, see the process report: charges." in page


def test_a_spectrum_is_traced_back_to_every_label(campaign: orm.WorkChainNode) -> None:
    found = observation_origin(campaign, "infrared")
    assert found.models["dipole"].potential.uuid == campaign.outputs.property_models.dipole.uuid
    assert found.potential is not None
    assert found.potential.potential.uuid == campaign.outputs.potential.uuid
    (batch,) = campaigns.data_set(campaign).values()
    assert [label.hash for label in found.labels] == batch.hashes
    assert all(orm.load_node(uuid=label.job).process_label.startswith("LabelCalculation") for label in found.labels)
    assert "model of the dipole PropertyModelData" in "\n".join(found.lines())
    with pytest.raises(InputError, match="has no observation 'raman'; it has frequencies, infrared"):
        observation_origin(campaign, "raman")


def test_the_model_is_exported(campaign: orm.WorkChainNode, tmp_path: Path) -> None:
    folder = export(campaign, tmp_path / "out")
    assert load_property(folder / "properties" / "dipole").name == "dipole"
    export(campaign, tmp_path / "out")
    assert sorted(path.name for path in (folder / "properties").iterdir()) == ["dipole"]


def test_too_few_labels_are_told(bloomery_code: orm.InstalledCode) -> None:
    frames = teacher("dipole", frames_for("dipole", 3))
    builder = LearningWorkChain.get_builder()
    builder.code, builder.seed = bloomery_code, orm.Int(1)
    builder.batches = {"batch_000": ConfigurationsData(frames.without_info(*frames.info))}
    builder.properties = orm.Dict({"learned": {"dipole": {}}})
    _, node = run_get_node(builder)
    assert node.exit_status == 400
    assert "The dipole could not be learnt" in node.exit_message
    assert "models" not in node.outputs
