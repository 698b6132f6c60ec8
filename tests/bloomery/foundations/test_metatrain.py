"""An exported metatomic model as a foundation: one of our own stands for those that others trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.foundations.metatrain import MetatrainFoundation
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.labellers.foundation import FoundationLabeller
from bloomery.testing.foundations import check_foundation


@pytest.mark.slow
def test_an_exported_model_is_a_foundation(silicon: Configurations, tmp_path: Path) -> None:
    if MetatrainFoundation.missing():
        pytest.skip(MetatrainFoundation.missing())
    data = TrainingData(silicon[:12], silicon[12:], fit_energy_reference(silicon[:12]))
    engine = Hdnnp.make(members=2, steps=20, hidden=[4], dtype="float64")
    potential, _ = engine.train(data, device="cpu")
    (model,) = [file for file in potential.export("metatomic", tmp_path / "out") if file.suffix == ".pt"]
    foundation = MetatrainFoundation.make(model=str(model), device="cpu", functional="PBEsol")
    check_foundation(foundation, silicon[:2].without_labels())
    assert foundation.read()[1].elements == ["Si"]
    assert foundation.functional == "PBEsol"
    spec = {"metatrain": {"model": str(model), "device": "cpu"}}
    labelled, _ = FoundationLabeller.make(foundation=spec).label(silicon[:2].without_labels())
    expected = potential.predict(silicon[:2])
    np.testing.assert_allclose(labelled.label("forces")[0], expected.force, atol=1e-4)
    np.testing.assert_allclose(labelled.label("energy")[0], expected.energy, atol=1e-4)
