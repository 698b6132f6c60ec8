"""Prediction jobs: the arrays of all members, as the potential itself gives them."""

from __future__ import annotations

import ase
import numpy as np
import pytest

from bloomery.frames.configurations import Configurations


def test_predictions_are_those_of_the_potential(jobs, frames, potential):
    node = jobs.done("predict", configurations=frames, potential=potential)
    expected = potential.load().predict(frames.configurations)
    prediction = node.outputs.prediction
    assert np.allclose(prediction.get_array("energies"), expected.energies, atol=1e-9)
    assert np.allclose(prediction.get_array("forces"), expected.forces, atol=1e-9)
    assert np.allclose(prediction.get_array("stresses"), expected.stresses, atol=1e-9)
    assert node.outputs.report["members"] == 2


def test_elements_that_the_potential_does_not_know_are_refused(jobs, frames, potential):
    carbon = type(frames)(Configurations.from_atoms([ase.Atoms("C", cell=[5, 5, 5], pbc=True)])).store()
    with pytest.raises(ValueError, match="configurations: holds C, which the potential does not know"):
        jobs.run("predict", configurations=carbon, potential=potential)
