"""Energy references: exact where the compositions allow, of smallest norm where they do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import check_energy_reference, fit_energy_reference, fit_energy_shift


def frames_of(compositions: list[dict[int, int]], energies: dict[int, float]) -> Configurations:
    numbers = [np.repeat(list(parts), list(parts.values())) for parts in compositions]
    counts = np.array([len(part) for part in numbers])
    frames = Configurations(
        counts=counts,
        numbers=np.concatenate(numbers).astype(np.int64),
        positions=np.random.default_rng(0).normal(size=(counts.sum(), 3)),
        cells=np.zeros((len(counts), 3, 3)),
        pbc=np.zeros((len(counts), 3), dtype=bool),
    )
    totals = [sum(energies[number] * count for number, count in parts.items()) for parts in compositions]
    return frames.with_labels(energy=totals)


@given(st.floats(-500, 500), st.floats(-500, 500))
def test_independent_compositions_give_the_energies_back(silicon: float, carbon: float) -> None:
    frames = frames_of([{14: 3, 6: 1}, {14: 1, 6: 4}, {6: 2}], {14: silicon, 6: carbon})
    found = fit_energy_reference(frames)
    assert found == pytest.approx({"C": carbon, "Si": silicon}, abs=1e-8)


def test_one_composition_gives_the_solution_of_smallest_norm() -> None:
    # Per atom: 0.5 a + 0.5 b = -6; the shortest (a, b) has a = b.
    frames = frames_of([{14: 2, 6: 2}, {14: 4, 6: 4}], {14: -8.0, 6: -4.0})
    assert fit_energy_reference(frames) == pytest.approx({"C": -6.0, "Si": -6.0})


@given(st.floats(-500, 500), st.floats(-500, 500))
def test_a_shift_between_two_zeros_is_found_whatever_a_model_predicts(silicon: float, carbon: float) -> None:
    """Labels are predictions and a constant per atom: that constant comes out, and no energy of an atom."""
    compositions = [{14: 3, 6: 1}, {14: 1, 6: 4}, {6: 2}]
    predicted = np.array([-31.0, 7.5, 2.25])
    shifts = frames_of(compositions, {14: silicon, 6: carbon})
    frames = shifts.with_labels(energy=predicted + shifts.label("energy")[0])
    assert fit_energy_shift(frames, predicted) == pytest.approx({"C": carbon, "Si": silicon}, abs=1e-8)
    assert fit_energy_shift(frames, np.zeros(3)) == fit_energy_reference(frames)


def test_what_a_model_could_not_predict_does_not_count() -> None:
    frames = frames_of([{14: 1}, {14: 2}, {14: 4}], {14: -3.0})
    predicted = np.array([-1.0, np.nan, -4.0])
    assert fit_energy_shift(frames, predicted) == pytest.approx({"Si": -2.0})
    assert fit_energy_shift(frames, np.full(3, np.nan)) == {"Si": 0.0}


def test_frames_without_an_energy_or_without_atoms_do_not_count() -> None:
    frames = frames_of([{14: 2}, {14: 3}, {}], {14: -5.0})
    energies = frames.labels["energy"].copy()
    energies[1] = 100.0
    masked = frames.with_labels(energy=energies, masks={"energy": [True, False, True]})
    assert fit_energy_reference(masked) == pytest.approx({"Si": -5.0})
    assert fit_energy_reference(frames.without_labels()) == {"Si": 0.0}
    assert fit_energy_reference(frames, ["C", "Si"]) == pytest.approx({"C": 0.0, "Si": -5.0})


def test_values_by_hand_are_checked() -> None:
    assert check_energy_reference({"Si": -1.0, "C": -2.0}, ["Si"]) == {"Si": -1.0}
    with pytest.raises(InputError, match="has no value for C"):
        check_energy_reference({"Si": -1.0}, ["C", "Si"])
    with pytest.raises(InputError, match=r"energy_reference\.Si"):
        check_energy_reference({"Si": float("nan")}, ["Si"])
