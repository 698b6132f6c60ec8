"""What is written once for the potentials of all engines: how frames are handed to them, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import POTENTIAL_FILE, Common, Potential
from bloomery.potentials.evaluation import predict_in_chunks
from bloomery.potentials.prediction import Prediction
from bloomery.progress import no_progress
from bloomery.testing.frames import odd_frames


class Counts(Potential):
    """Energies count atoms, forces are their places, stresses are one everywhere."""

    engine = "counts"
    dtype = "float64"
    cutoff = 3.0
    chunk_atoms = 8
    own_entries = ("step",)

    def __init__(
        self,
        *,
        step: float = 1.0,
        elements: list[str],
        energy_reference: dict[str, float],
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: Any = None,
    ) -> None:
        self.step, self.members, self.device = step, 2, device
        self.elements, self.energy_reference = elements, energy_reference
        self.versions, self.details = versions or {}, details or {}
        self.seen: list[list[int]] = []

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        self.seen.append(part.counts.tolist())
        energies = self.step * np.array([part.counts, 2 * part.counts], dtype=float)
        forces = np.array([part.positions, -part.positions])
        return Prediction(
            part.counts, energies, forces, np.ones((2, len(part), 6)),
            extrapolation=part.positions[:, 0], extrapolating_feature=part.numbers,
        )  # fmt: skip

    def write_files(self, folder: Path) -> Mapping[str, object]:
        return {"step": self.step}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        return cls(step=content["step"], **common)


@pytest.fixture
def counts() -> Counts:
    return Counts(elements=["Si", "Ge"], energy_reference={"Si": -10.0, "Ge": -10.0}, details={"seed": 3})


@pytest.fixture
def frames() -> Configurations:
    return odd_frames(["Si", "Ge"])


def test_frames_are_evaluated_together_up_to_so_many_atoms(counts: Counts, frames: Configurations) -> None:
    assert frames.counts.tolist() == [5, 4, 3, 6, 1, 0, 1]
    counts.predict(frames)
    assert counts.seen == [[5], [4, 3], [6, 1, 1]], "frames without atoms are left out"


def test_what_parts_say_is_put_together(counts: Counts, frames: Configurations) -> None:
    found = counts.predict(frames)
    np.testing.assert_array_equal(found.counts, frames.counts)
    np.testing.assert_array_equal(found.energies, [-9.0 * frames.counts, -8.0 * frames.counts])
    np.testing.assert_array_equal(found.forces, [frames.positions, -frames.positions])
    np.testing.assert_array_equal(found.extrapolation, frames.positions[:, 0])
    np.testing.assert_array_equal(found.extrapolating_feature, frames.numbers)
    assert found.stresses is not None
    assert found.stresses.any(axis=(0, 2)).tolist() == [True, False, False, False, False, False, True]


def test_there_is_no_stress_unless_it_is_asked_for(counts: Counts, frames: Configurations) -> None:
    assert counts.predict(frames, stress=False).stresses is None


@pytest.mark.parametrize("chosen", [[], [5], [5, 5]])
def test_without_atoms_all_is_zero(counts: Counts, frames: Configurations, chosen: list[int]) -> None:
    found = counts.predict(frames[np.array(chosen, dtype=int)])
    assert found.energies.shape == (2, len(chosen))
    assert found.forces.shape == (2, 0, 3)
    assert found.stresses is not None
    assert found.stresses.shape == (2, len(chosen), 6)
    assert not found.energies.any()
    assert counts.seen == []


def test_an_unknown_element_is_named(counts: Counts, frames: Configurations) -> None:
    counts.elements = ["Si"]
    with pytest.raises(InputError, match="frame 0 holds Ge, which the potential does not know"):
        counts.predict(frames)


def test_extrapolation_is_kept_through_many_frames(counts: Counts, frames: Configurations) -> None:
    many = Configurations.concatenate([frames[[0, 3]]] * 40)
    found = predict_in_chunks(counts, many, no_progress)
    np.testing.assert_array_equal(found.extrapolation, many.positions[:, 0])
    np.testing.assert_array_equal(found.extrapolating_feature, many.numbers)


def test_files_are_read_as_they_were_written(counts: Counts, frames: Configurations, tmp_path: Path) -> None:
    counts.step = 0.5
    counts.save(tmp_path / "one")
    back = Counts.load(tmp_path / "one", "somewhere")
    assert (back.step, back.device, back.elements, back.details) == (0.5, "somewhere", ["Si", "Ge"], {"seed": 3})
    back.save(tmp_path / "two")
    assert (tmp_path / "one" / POTENTIAL_FILE).read_bytes() == (tmp_path / "two" / POTENTIAL_FILE).read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a potential of the engine 'counts'"),
        ('{"format_version": 1}', "is not a potential of the engine 'counts'"),
        ('{"format_version": 2}', "was written by a later version of bloomery"),
    ],
)
def test_broken_files_are_refused(counts: Counts, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / POTENTIAL_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Counts.load(tmp_path)
