"""Hidden layers stay where frames that members have not seen say that they help, and nowhere else."""

from typing import Any

import numpy as np
import pytest
import torch

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.unseen import Gain
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference

SMALL: dict[str, Any] = {
    "members": 4,
    "hidden": [8],
    "steps": 300,
    "descriptor": {"power_spectrum": {"radial": 4, "max_degree": 2, "four_body": 0, "cutoff": 4.5}},
}


def fit(frames: Configurations, early: Configurations | None = None, **settings: Any) -> tuple[HdnnpPotential, Any]:
    """A potential, and what its training says of hidden layers."""
    stopping = Configurations.empty() if early is None else early
    data = TrainingData(frames, stopping, fit_energy_reference(frames))
    potential, history = Hdnnp.make(**{**SMALL, **settings}).train(data, seed=3, device="cpu")
    assert isinstance(potential, HdnnpPotential)
    return potential, history.summary["hidden_layers"]


def hidden_output(potential: HdnnpPotential) -> float:
    """Largest weight from the last hidden layer to the energy."""
    return float(potential.parameters["weight_1"].abs().max())


def test_labels_of_a_linear_potential_leave_no_hidden_layers(silicon: Configurations) -> None:
    """Whatever networks make of twelve such frames, the linear path meets them already."""
    teacher, _ = fit(silicon, networks="none", members=1, ridge=1e-2)
    found = teacher.predict(silicon)
    assert found.stresses is not None
    labelled = silicon.without_labels().with_labels(
        energy=found.energies[0], forces=found.forces[0], stress=found.stresses[0]
    )
    potential, said = fit(labelled[:12], steps=60)
    assert said["kept"] is False
    assert said["frames"] > 1
    assert hidden_output(potential) == 0
    far = np.abs(potential.predict(labelled[12:]).force - labelled[12:].labels["forces"]).max()
    assert far < 0.3 * np.abs(labelled[12:].labels["forces"]).max()


@pytest.mark.slow
def test_hidden_layers_that_help_stay(make_silicon: Any) -> None:
    """Forces of a many-body potential are not linear in few features; forty frames tell."""
    frames = make_silicon(40, seed=5)
    potential, said = fit(frames, steps=600)
    assert said["kept"] is True
    assert said["mean"] > said["error"] > 0
    assert hidden_output(potential) > 0


def test_where_every_member_sees_every_frame_nothing_is_compared(silicon: Configurations) -> None:
    potential, said = fit(silicon[:4], share=1.0, steps=20)
    assert said is None
    assert hidden_output(potential) > 0


def test_early_stopping_frames_are_unseen_by_all(silicon: Configurations) -> None:
    _, said = fit(silicon[:4], silicon[4:7], share=1.0, steps=20)
    assert said["frames"] == 3


def test_a_gain_is_certain_beyond_its_standard_error() -> None:
    """Mean and standard error of the differences 1, 2, 3: 2 and 1 / sqrt(3)."""
    before, after = torch.tensor([2.0, 5.0, 9.0]), torch.tensor([1.0, 3.0, 6.0])
    gain = Gain.between(before, after)
    assert gain is not None
    assert (gain.mean, gain.error, gain.frames) == (pytest.approx(2.0), pytest.approx(3**-0.5), 3)
    assert gain.certain
    worse = Gain.between(after, before)
    assert worse is not None
    assert not worse.certain
    one = Gain.between(torch.tensor([9.0, 1.0, 1.0]), torch.tensor([1.0, 1.5, 1.5]))
    assert one is not None
    assert not one.certain, "one frame of three decides nothing"


def test_one_frame_tells_no_error() -> None:
    assert Gain.between(torch.tensor([2.0]), torch.tensor([1.0])) is None
