"""Jobs that learn a property: the model in the graph is the one that plain files give, measured on the probe."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.property_model import PropertyModelData
from bloomery.errors import InputError
from bloomery.properties.equivariant_ridge import EquivariantRidge
from bloomery.testing.properties import frames_for, teacher

SETTINGS = {"invariants": 2, "components": 30}
ROLES = ["train"] * 25 + ["early_stopping"] * 5 + ["calibration"] * 2 + ["probe"] * 8


@pytest.fixture
def batch():
    frames = teacher("dipole", frames_for("dipole", 40)).with_info(role=ROLES)
    return ConfigurationsData(frames).store()


def test_a_model_is_learnt_and_measured_on_the_probe(jobs, batch):
    parameters = {"property": "dipole", "model": {"equivariant_ridge": SETTINGS}}
    node = jobs.done("learn", parameters=orm.Dict(parameters), batches={"one": batch})
    model, report = node.outputs.model, node.outputs.report
    assert (model.property_name, model.elements) == ("dipole", ["C", "Si"])
    assert report["n_frames"] == 30
    assert report["errors"]["probe"]["n_frames"] == 8
    frames = batch.configurations
    expected = EquivariantRidge.make(**SETTINGS).fit(frames[:30], "dipole").predict(frames[32:])
    assert np.allclose(model.load().predict(frames[32:]).values, expected.values, atol=1e-9)
    errors = expected.values - frames[32:].label("dipole")[0]
    assert report["errors"]["probe"]["rmse"]["value"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert "LearnCalculation(equivariant_ridge)" in node.process_label


def test_another_split_may_be_given(jobs, batch):
    split = orm.Dict({"one": ["probe"] * 10 + ["train"] * 30})
    parameters = orm.Dict({"property": "dipole", "model": {"equivariant_ridge": SETTINGS}})
    report = jobs.done("learn", parameters=parameters, batches={"one": batch}, split=split).outputs.report
    assert (report["n_frames"], report["errors"]["probe"]["n_frames"]) == (30, 10)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"property": "charges"}, "batches: no frame has the label charges"),
        ({"property": "quadrupole"}, "parameters.property"),
        ({"property": "dipole", "model": "linear"}, "property model 'linear' is not registered"),
        ({"property": "dipole", "model": {"equivariant_ridge": {"cutof": 3}}}, "write 'cutoff'"),
    ],
)
def test_what_cannot_be_learnt_is_refused_at_once(jobs, batch, parameters, sentence):
    with pytest.raises(ValueError, match=sentence):
        jobs.run("learn", parameters=orm.Dict(parameters), batches={"one": batch})


def test_too_few_frames_are_an_exit_code(jobs, batch):
    split = orm.Dict({"one": ["probe"] * 30 + ["train"] * 10})
    node = jobs.run("learn", parameters=orm.Dict({"property": "dipole"}), batches={"one": batch}, split=split)
    assert node.exit_status == 200
    assert "10 frame(s) have the label dipole" in node.exit_message


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"property\.json: cannot be read"):
        PropertyModelData(tmp_path)
    (tmp_path / "property.json").write_text("{}")
    with pytest.raises(ValidationError, match=r"holds no arrays\.npz"):
        PropertyModelData(tmp_path).store()
