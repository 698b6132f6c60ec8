"""Acceptance: a right potential passes, and every planted fault is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import RefusedPotentialError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction

Fault = Callable[[Configurations, Prediction], Prediction]


class PairPotential(Potential):
    """Smooth pair potential of silicon and carbon, ``(1 - (r / cutoff)^2)^4 (r - r_0)^2`` a pair; or a faulty one."""

    engine, dtype, members, cutoff = "pairs", "float64", 1, 4.0
    elements, energy_reference, versions = ["C", "Si"], {"C": -150.0, "Si": -100.0}, {}

    def __init__(self, fault: Fault | None = None, dtype: str = "float64", double: Potential | None = None) -> None:
        self.fault, self.dtype, self.double = fault, dtype, double

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        found = find_neighbours(configurations, self.cutoff)
        first, second = found.pairs
        r = np.linalg.norm(found.vectors, axis=1)
        rest = np.where(configurations.numbers[first] == configurations.numbers[second], 2.2, 1.9)
        cut = 1 - (r / self.cutoff) ** 2
        energy = 0.5 * cut**4 * (r - rest) ** 2
        slope = cut**4 * (r - rest) - 4 * cut**3 * r / self.cutoff**2 * (r - rest) ** 2
        pull = (slope / r)[:, None] * found.vectors
        forces = np.zeros((configurations.n_atoms, 3))
        np.add.at(forces, first, 2 * 0.5 * pull)
        np.add.at(forces, second, -2 * 0.5 * pull)
        per_atom = np.where(configurations.numbers == 6, -150.0, -100.0)
        np.add.at(per_atom, first, energy)
        energies = np.zeros((1, len(configurations)))
        np.add.at(energies[0], configurations.frame_of_atom, per_atom)
        frames = configurations.frame_of_atom[first]
        virials = np.zeros((len(configurations), 3, 3))
        np.add.at(virials, frames, found.vectors[:, :, None] * pull[:, None, :])
        full = configurations.pbc.all(axis=1)
        virials = np.where(full, 1 / np.where(full, configurations.volumes, 1.0), 0.0)[:, None, None] * virials
        voigt = virials[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        found_all = Prediction(configurations.counts, energies, forces[None], voigt[None] if stress else None)
        return found_all if self.fault is None else self.fault(configurations, found_all)

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError

    def as_float64(self) -> Potential | None:
        return self.double


@pytest.fixture(scope="module")
def frames() -> Configurations:
    """Two periodic frames of both elements, a molecule, an empty frame and a frame of carbon alone."""
    random = np.random.default_rng(0)
    silicon_carbide = bulk("SiC", "zincblende", a=4.4, cubic=True)
    atoms = []
    for seed in (1, 2):
        frame = silicon_carbide.copy()
        frame.rattle(0.1, seed=seed)
        atoms.append(frame)
    molecule = silicon_carbide[:4].copy()
    molecule.set_pbc(False)
    molecule.set_cell(None)
    molecule.positions += random.normal(scale=0.1, size=(4, 3))
    carbon = bulk("C", a=3.9)
    carbon.rattle(0.1, seed=3)
    return Configurations.from_atoms([*atoms, molecule, molecule[:0], carbon])


def change(
    forces: Callable[[Configurations, Any], Any] | None = None,
    energies: Callable[[Configurations, Any], Any] | None = None,
    stresses: Callable[[Configurations, Any], Any] | None = None,
) -> Fault:
    """Make a fault that changes parts of a prediction."""

    def fault(frames: Configurations, right: Prediction) -> Prediction:
        return replace(
            right,
            forces=right.forces if forces is None else forces(frames, right.forces),
            energies=right.energies if energies is None else energies(frames, right.energies),
            stresses=right.stresses if stresses is None or right.stresses is None else stresses(frames, right.stresses),
        )

    return fault


def per_frame(frames: Configurations, values: Any) -> Any:
    return np.add.reduceat(np.append(values, 0.0), frames.offsets[:-1]) * (frames.counts > 0)


def place_in_frame(frames: Configurations) -> Any:
    return np.arange(frames.n_atoms) - frames.offsets[frames.frame_of_atom]


def uneven(frames: Configurations, right: Prediction) -> Prediction:
    """A uniform field along x with its own, consistent forces: not invariant."""
    shift = right.forces.copy()
    shift[..., 0] -= 0.01
    return replace(right, forces=shift, energies=right.energies + 0.01 * per_frame(frames, frames.positions[:, 0]))


def springs(frames: Configurations, right: Prediction) -> Prediction:
    """Bonds of the molecule cost more along x, with consistent forces: invariant under translation, not rotation."""
    centred = (
        frames.positions[:, 0]
        - (per_frame(frames, frames.positions[:, 0]) / np.maximum(frames.counts, 1))[frames.frame_of_atom]
    )
    open_ = ~frames.pbc.any(axis=1)[frames.frame_of_atom]
    shift = right.forces.copy()
    shift[0, :, 0] -= np.where(open_, 0.02 * centred, 0.0)
    return replace(
        right, forces=shift, energies=right.energies + per_frame(frames, np.where(open_, 0.01 * centred**2, 0.0))
    )


def test_a_right_potential_passes_with_room(frames: Configurations) -> None:
    report = check_potential(PairPotential(), frames)
    assert report.passed
    found = report.to_dict()["checks"]
    assert {"finite", "forces", "stress", "rotation_energy", "translation_forces", "permutation_energy"} <= set(found)
    for check in found.values():
        assert check["value"] <= 0.1 * check["limit"], check
    report.raise_if_refused()


FAULTS = {
    "forces of one element": (change(forces=lambda f, x: x * np.where(f.numbers == 6, 1.02, 1.0)[:, None]), "forces"),
    "one component a little": (change(forces=lambda f, x: x + 1e-4 * (np.arange(f.n_atoms) == 2)[:, None]), "forces"),
    "sign of the stress": (change(stresses=lambda f, x: -x), "stress"),
    "order of the stress": (change(stresses=lambda f, x: x[..., [0, 1, 2, 5, 4, 3]]), "stress"),
    "more than extensive": (change(energies=lambda f, x: x + 1e-3 * f.counts**2), "extensivity_energy"),
    "not invariant to translation": (uneven, "translation_energy"),
    "not invariant to rotation": (springs, "rotation_energy"),
    "not invariant to permutation": (
        change(energies=lambda f, x: x + 1e-2 * per_frame(f, f.numbers * place_in_frame(f))),
        "permutation_energy",
    ),
    "not a number": (change(energies=lambda f, x: np.where(f.counts == 4, np.nan, x)), "finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(frames: Configurations, name: str) -> None:
    fault, check = FAULTS[name]
    report = check_potential(PairPotential(fault), frames)
    failed = [found.name for found in report.checks if not found.passed]
    assert check in failed
    with pytest.raises(RefusedPotentialError, match=r"the potential is refused: .* in frame [01245]"):
        report.raise_if_refused()


def test_the_frame_in_the_message_is_the_frame_of_the_data(frames: Configurations) -> None:
    report = check_potential(PairPotential(FAULTS["not a number"][0]), frames)
    with pytest.raises(RefusedPotentialError, match="in frame 2"):
        report.raise_if_refused()


def noise(size: float) -> Fault:
    return change(forces=lambda f, x: x + size * np.random.default_rng(0).uniform(-1, 1, x.shape))


def test_float32_is_held_against_its_own_weights_in_float64(frames: Configurations) -> None:
    right = PairPotential()
    assert check_potential(PairPotential(noise(1e-5), "float32", right), frames).passed
    report = check_potential(PairPotential(noise(1e-2), "float32", right), frames)
    assert [check.name for check in report.checks if not check.passed] == ["float32"]


def test_an_engine_without_float64_has_a_wider_limit(frames: Configurations) -> None:
    """Energies rounded to float32 once the reference is off, forces off by 0.2 meV/Å; 20 meV/Å are too many."""
    rounded = change(
        energies=lambda f, x: (x - reference(f)).astype(np.float32) + reference(f),
        forces=lambda f, x: x + 2e-4 * np.random.default_rng(0).uniform(-1, 1, x.shape),
    )
    assert check_potential(PairPotential(rounded, "float32"), frames).passed
    report = check_potential(PairPotential(noise(2e-2), "float32"), frames)
    assert "forces" in [check.name for check in report.checks if not check.passed]


def reference(frames: Configurations) -> Any:
    return per_frame(frames, np.where(frames.numbers == 6, -150.0, -100.0))


def test_no_frames_make_no_checks() -> None:
    assert check_potential(PairPotential(), Configurations.empty()).checks == []


def test_atoms_at_rest_and_alone_are_no_reason_to_refuse() -> None:
    """Forces vanish by symmetry: the limit must not vanish with them."""
    alone = bulk("C", a=3.6)[:1]
    alone.set_pbc(False)
    still = Configurations.from_atoms([bulk("C", a=3.9), alone])
    assert check_potential(PairPotential(), still, AcceptanceSettings(frames=2)).passed
