"""A potential beside the reference method."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.comparison import ComparisonWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.observables.elastic import Elastic
from bloomery.observables.points.single_points import REFERENCE

OBSERVABLES = {
    "elastic": {"observable": {"name": "elastic", "settings": {}}},
    "coordination": {"observable": {"name": "coordination", "settings": {}}},
}


@pytest.fixture(scope="module")
def crystal(profile) -> ConfigurationsData:
    return ConfigurationsData(Configurations.from_atoms([bulk("Si")])).store()


@pytest.fixture
def inputs(bloomery_code, potential, crystal) -> dict:
    return {
        "code": bloomery_code,
        "seed": orm.Int(1),
        "device": orm.Str("cpu"),
        "potential": potential,
        "structures": crystal,
        "observables": {key: orm.Dict(value) for key, value in OBSERVABLES.items()},
    }


def asked_of(bloomery_code, crystal, calculator: str) -> dict:
    """The reference method and its inputs."""
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, calculator, crystal, "fast")
    given = builder._inputs(prune=True)
    return {
        "labeller": orm.Str("calculator"),
        "labelling": {name: value for name, value in given.items() if name not in {"metadata", "configurations"}},
    }


def test_reference_is_measured_on_the_same_frames(bloomery_code, inputs, crystal):
    outputs, node = run_get_node(ComparisonWorkChain, **inputs, **asked_of(bloomery_code, crystal, "stillinger_weber"))
    assert node.is_finished_ok, node.exit_message
    observable = Elastic.make()
    wanted = observable.wanted_frames(crystal.configurations)
    assert outputs["labelled"].configurations.hashes() == wanted.hashes()
    assert len(outputs["ledger"]["entries"]) == len(wanted)
    told, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(wanted)
    known = observable.measure(crystal.configurations, told).quantities
    summary = outputs["observations"]["elastic"]["Si2"]
    for name, quantity in known.items():
        assert summary[REFERENCE][name]["value"] == pytest.approx(quantity.value, rel=1e-6, abs=1e-6)
    arrays = outputs["arrays"]["elastic"]
    assert np.isfinite(arrays.get_array(arrays.get_arraynames()[0])).all()


def test_without_a_reference_the_potential_stands_alone(inputs):
    outputs, node = run_get_node(ComparisonWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    assert set(outputs["observations"]) == {"elastic", "coordination"}
    assert "ledger" not in outputs


def test_a_reference_that_fails_is_said_and_the_potential_is_measured(bloomery_code, inputs, crystal):
    outputs, node = run_get_node(ComparisonWorkChain, **inputs, **asked_of(bloomery_code, crystal, "emt"))
    assert node.exit_status == 403
    assert "the potential was measured without it" in node.exit_message
    assert set(outputs["observations"]) == {"elastic", "coordination"}


def test_what_cannot_be_measured_is_refused_at_submission(inputs):
    inputs["observables"] = {"stiffness": orm.Dict({"observable": {"name": "elastics"}})}
    with pytest.raises(ValueError, match="'elastics' is not registered"):
        run_get_node(ComparisonWorkChain, **inputs)
    inputs["observables"] = {key: orm.Dict(value) for key, value in OBSERVABLES.items()}
    molecule = Configurations.from_atoms([bulk("Si").repeat(2)[:3]])
    open_cell = Configurations(
        molecule.counts, molecule.numbers, molecule.positions, molecule.cells, np.zeros((1, 3), dtype=bool)
    )
    inputs["structures"] = ConfigurationsData(open_cell).store()
    with pytest.raises(ValueError, match="observables: elastic"):
        run_get_node(ComparisonWorkChain, **inputs)
