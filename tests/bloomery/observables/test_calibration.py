"""The observable `calibration` on committees whose spread is known."""

from typing import Any

import numpy as np
import pytest
from ase import Atoms

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.calibration import Calibration
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction

MEMBERS = 8


class Scatter(Potential):
    """Members scatter about the labels; the labels are `wrong` times as far from their mean."""

    engine = "scatter"

    def __init__(self, wrong: float) -> None:
        self.wrong, self.members, self.elements, self.energy_reference = wrong, MEMBERS, ["Si"], {"Si": 0.0}
        self.cutoff, self.versions = 5.0, {}

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        random = np.random.default_rng(len(configurations))
        width = random.uniform(0.02, 0.2, configurations.n_atoms)[:, None]
        spread = random.uniform(0.01, 0.1, len(configurations)) * configurations.counts
        forces = configurations.label("forces")[0] + self.wrong * width * random.normal(
            size=(configurations.n_atoms, 3)
        )
        energies = configurations.label("energy")[0] + self.wrong * spread * random.normal(size=len(configurations))
        return Prediction(
            configurations.counts,
            energies + spread * random.normal(size=(MEMBERS, len(configurations))),
            forces + width * random.normal(size=(MEMBERS, *forces.shape)),
        )

    def save(self, folder: Any) -> None:
        raise NotImplementedError


def frames(n: int, role: str) -> Configurations:
    random = np.random.default_rng(n)
    made = Configurations.from_atoms([Atoms("Si4", positions=3 * random.random((4, 3))) for _ in range(n)])
    forces = random.normal(size=(made.n_atoms, 3))
    return made.with_labels(energy=random.normal(size=n), forces=forces).with_info(role=[role] * n)


@pytest.mark.parametrize("wrong", [0.5, 3.0])
def test_factors_from_calibration_frames_hold_on_the_probe(wrong: float) -> None:
    """Factors come out to 10 %; coverage of what is calibrated is as promised, of what is not it is not."""
    both = Configurations.concatenate([frames(400, "calibration"), frames(300, "probe")])
    found = Calibration.make().observe(Scatter(wrong), both)
    assert (found.summary["n_calibration"], found.summary["n_frames"]) == (400, 300)
    for name in ("energy", "forces"):
        part = found.summary[name]
        assert part["factor"]["value"] == pytest.approx(wrong, rel=0.1)
        promised = [entry["as_promised"] for entry in part["calibrated"]["coverage"].values()]
        assert sum(promised) >= 2, "each of three may miss its 95 % interval now and then"
        for level, entry in part["calibrated"]["coverage"].items():
            assert entry["value"] == pytest.approx(float(level), abs=0.07)
        assert not any(entry["as_promised"] for entry in part["raw"]["coverage"].values())
        assert part["calibrated"]["miscalibration_area"]["value"] < 0.05 < part["raw"]["miscalibration_area"]["value"]
        raw, calibrated = (part[state]["negative_log_likelihood"]["value"] for state in ("raw", "calibrated"))
        assert calibrated < raw
        assert 0.1 < part["spearman"]["value"] < 0.9
        assert found.arrays[f"{name}_observed_calibrated"][[0, -1]] == pytest.approx([0, 1])
        said, seen = found.arrays[f"{name}_bin_sigma"], found.arrays[f"{name}_bin_error"]
        assert np.sqrt((said**2).mean()) == pytest.approx(np.sqrt((seen**2).mean()), rel=0.25)


def test_without_calibration_frames_there_are_no_factors() -> None:
    found = Calibration.make().observe(Scatter(1.0), frames(5, "probe"))
    assert found.summary == {"n_calibration": 0, "n_frames": 5}


def test_bad_input_is_told_in_a_sentence() -> None:
    with pytest.raises(InputError, match="there is no potential"):
        Calibration.make().observe(None, frames(2, "probe"))
    with pytest.raises(InputError, match="between 0 and 1"):
        Calibration.make(levels=[0.5, 1.2])
