"""Faults planted into a trained potential of two elements, or into what it is trained on: each is caught by its check.

The potential is a real one, with errors of its own, on the alloy of effective medium theory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial.transform import Rotation

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.errors import DataWarning
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.jobs.train import errors as training_errors
from bloomery.observables.errors import Errors
from bloomery.observables.leakage import Leakage
from bloomery.observables.points.faults import net_force
from bloomery.potentials.acceptance import check_potential
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import no_progress
from bloomery.reference.calculators import CalculatorSpec

pytestmark = pytest.mark.slow

SILVER = 47
Change = Callable[[Prediction, Configurations], Prediction]


def alloy(n: int, seed: int) -> Configurations:
    """Labelled cells of eight atoms of copper and silver, by chance."""
    random = np.random.default_rng([seed, 29, 47])
    frames = []
    for index in range(n):
        atoms = bulk("Cu", cubic=True, a=3.85).repeat((2, 1, 1))
        atoms.numbers = random.permutation(np.where(np.arange(8) < 3 + index % 3, 29, SILVER))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.1, size=(8, 3))
        frames.append(atoms)
    bare = Configurations.from_atoms(frames).snapped()
    calculator = CalculatorSpec(name="emt").make()
    frames = bare.to_atoms()
    for atoms in frames:
        atoms.calc = calculator
    return bare.with_labels(
        energy=[atoms.get_potential_energy() for atoms in frames],
        forces=np.concatenate([atoms.get_forces() for atoms in frames]),
        stress=[atoms.get_stress() for atoms in frames],
    )


def fitted(frames: Configurations) -> Potential:
    data = TrainingData(frames, Configurations.empty(), fit_energy_reference(frames))
    return Hdnnp.make(members=2, steps=400, hidden=[16]).train(data, device="cpu", seed=1)[0]


@pytest.fixture(scope="module")
def seen() -> Configurations:
    return alloy(40, seed=0)


@pytest.fixture(scope="module")
def unseen() -> Configurations:
    """As few as the probe of a campaign may be."""
    return alloy(12, seed=1)


@pytest.fixture(scope="module")
def potential(seen: Configurations) -> Potential:
    return fitted(seen)


class Spoilt:
    """A potential whose predictions are changed on their way out."""

    def __init__(self, potential: Potential, change: Change) -> None:
        self.potential, self.change = potential, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.potential, name)

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        return self.change(self.potential.predict(configurations, stress=stress), configurations)

    def as_float64(self) -> None:
        return None


def warned(potential: Any, frames: Configurations) -> list[str]:
    warnings: list[str] = Errors.make().observe(potential, frames).summary["warnings"]
    return warnings


def refused(potential: Any, frames: Configurations) -> set[str]:
    """Checks that a potential does not pass."""
    return {check.name for check in check_potential(potential, frames).checks if not check.passed}


def scaled(factor: float) -> Change:
    """Scale the forces on silver."""

    def change(found: Prediction, frames: Configurations) -> Prediction:
        return replace(found, forces=found.forces * np.where(frames.numbers == SILVER, factor, 1.0)[:, None])

    return change


def test_a_sound_potential(potential: Potential, unseen: Configurations) -> None:
    summary = Errors.make().observe(potential, unseen).summary
    assert summary["forces"]["relative_rmse"]["value"] < 0.2
    assert summary["warnings"] == []
    assert refused(potential, unseen) == set()


def test_forces_of_one_element_scaled(potential: Potential, unseen: Configurations) -> None:
    """Neither the energy nor the error says anything: 0.3 % of the forces are lost in the potential's own errors."""
    spoilt = Spoilt(potential, scaled(1.003))
    assert "forces" in refused(spoilt, unseen)
    assert any("do not add up to zero" in sentence for sentence in warned(spoilt, unseen))
    own, other = (
        Errors.make().observe(which, unseen).summary["forces"]["rmse"]["value"] for which in (potential, spoilt)
    )
    assert other == pytest.approx(own, rel=0.05)


def test_the_power_of_the_law_of_net_forces(potential: Potential, unseen: Configurations) -> None:
    """It needs no statistics: half a per cent is found on a few frames, and rounding is far below."""
    assert net_force(unseen, potential.predict(unseen).force) < 1e-9
    assert any("do not add up" in sentence for sentence in warned(Spoilt(potential, scaled(1.005)), unseen))


def test_labels_whose_forces_do_not_add_up(potential: Potential, unseen: Configurations) -> None:
    forces = unseen.labels["forces"] * np.where(unseen.numbers == SILVER, 1.05, 1.0)[:, None]
    found = warned(potential, unseen.with_labels(forces=forces))
    assert any(sentence.startswith("Forces of the reference do not add up to zero") for sentence in found)


def kicked(frames: tuple[int, ...], per_frame: int = 8) -> Change:
    """One force wrong by 100 eV/Å in some frames, and the energy by 4 meV an atom."""

    def change(found: Prediction, configurations: Configurations) -> Prediction:
        forces, energies = found.forces.copy(), found.energies.copy()
        for frame in frames:
            if frame < len(configurations):
                forces[:, per_frame * frame, 2] += 100.0
                energies[:, frame] += 0.004 * per_frame
        return replace(found, forces=forces, energies=energies)

    return change


@pytest.mark.parametrize("frames", [(5,), (5, 8)])
def test_a_frame_wrong_by_far(potential: Potential, unseen: Configurations, frames: tuple[int, ...]) -> None:
    """One, and two of them, which must not hide each other."""
    spoilt = Spoilt(potential, kicked(frames))
    found = warned(spoilt, unseen)
    for frame in frames:
        assert any(sentence.startswith(f"Frame {frame} is far out") for sentence in found)
    assert not any(sentence.startswith("Frame 0 ") for sentence in found)
    assert "forces" in refused(Spoilt(potential, kicked((0, 1, 2, 3))), unseen[:4])
    assert Errors.make().observe(spoilt, unseen).summary["worst_frames"][0]["frame"] in frames


def test_a_wrong_label_that_was_trained_on(seen: Configurations) -> None:
    forces = seen.labels["forces"].copy()
    forces[8 * 17 + 3, 0] += 100.0
    spoilt = seen.with_labels(forces=forces)
    found = training_errors(fitted(spoilt), spoilt, 0, no_progress)["warnings"]
    assert any(sentence.startswith("Frame 17 is far out") for sentence in found)
    assert not any(sentence.startswith("Frame") and "17" not in sentence for sentence in found)


def test_leaked_frames(potential: Potential, seen: Configurations, unseen: Configurations) -> None:
    """Exactly, and turned with the atoms in another order."""
    turn = Rotation.from_rotvec([0.4, -0.2, 0.7]).as_matrix()
    leaked = seen[[3, 11]]
    turned = []
    for atoms in seen[[20, 31]].without_labels().to_atoms():
        other = atoms[[5, 2, 7, 0, 1, 6, 3, 4]]
        other.set_cell(atoms.cell.array @ turn.T)
        other.positions = other.positions @ turn.T + [0.3, 0.1, -0.2]
        turned.append(other)
    test = Configurations.concatenate(
        [unseen.without_labels(), leaked.without_labels(), Configurations.from_atoms(turned, info_keys=[])]
    )
    summary = Leakage.make().observe(potential, test, reference=seen).summary
    assert (summary["n_same"], summary["n_near"]) == (2, 2)
    assert {entry["frame"]: entry["training_frame"] for entry in summary["leaked_frames"]} == {
        12: 3,
        13: 11,
        14: 20,
        15: 31,
    }
    assert summary["warnings"]
    assert Leakage.make().observe(potential, unseen, reference=seen).summary["warnings"] == []


def test_a_potential_with_a_stress_of_the_wrong_sign(potential: Potential, unseen: Configurations) -> None:
    def change(found: Prediction, _: Configurations) -> Prediction:
        return found if found.stresses is None else replace(found, stresses=-found.stresses)

    spoilt = Spoilt(potential, change)
    assert refused(spoilt, unseen) == {"stress"}
    assert any("wrong sign" in sentence for sentence in warned(spoilt, unseen))


@pytest.mark.parametrize(
    ("label", "factor", "expected"),
    [
        ("stress", -1.0, "stresses .* wrong sign"),
        ("stress", 160.2, "stresses .* vary 16\\d times as much .* not in eV/Å"),
        ("energy", -1.0, "energies .* wrong sign"),
    ],
)
def test_labels_that_contradict_each_other(seen: Configurations, label: str, factor: float, expected: str) -> None:
    """No potential can follow them all: it is told before the long part of a training."""
    spoilt = seen.with_labels(**{label: factor * seen.labels[label]})
    data = TrainingData(spoilt, Configurations.empty(), fit_energy_reference(spoilt))
    with pytest.warns(DataWarning, match=expected):
        history = Hdnnp.make(members=2, steps=1).train(data, device="cpu", seed=1)[1]
    assert any(re.search(expected, sentence) for sentence in history.doubts)


def test_labels_that_agree(seen: Configurations) -> None:
    """The linear solution of energies and forces foretells the stresses, that of forces and stresses the energies."""
    data = TrainingData(seen, Configurations.empty(), fit_energy_reference(seen))
    history = Hdnnp.make(members=2, steps=1).train(data, device="cpu", seed=1)[1]
    found = history.summary["ridge"]["agreement"]
    assert history.doubts == []
    assert found["stress"]["slope"] == pytest.approx(1, abs=0.05)
    assert found["stress"]["explained"] > 0.98
    assert 0.3 < found["energy"]["slope"] < 2
