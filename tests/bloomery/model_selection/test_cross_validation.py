"""Pooled errors: against those of all frames at once."""

import numpy as np
import pytest

from bloomery.model_selection.cross_validation import pooled


def fold(errors: list[float], atoms: int = 4) -> dict[str, np.ndarray]:
    return {
        "frame_force_rmse": np.array(errors),
        "frame_force_components": np.full(len(errors), 3 * atoms),
        "frame_energy_error": np.array(errors) / 10,
        "frame_energy_known": np.ones(len(errors), dtype=int),
        "frame_block": np.arange(len(errors)),
    }


def test_the_whole_is_that_of_all_frames() -> None:
    errors = np.random.default_rng(0).lognormal(-3, 0.3, 30)
    found = pooled({f"fold_{k}": fold(errors[k::3].tolist()) for k in range(3)}, seed=1)
    whole = 1000 * np.sqrt((errors**2).mean())
    assert found.forces.rmse.value == pytest.approx(whole)
    assert found.forces.rmse.lower < whole < found.forces.rmse.upper
    assert found.energy.rmse.value == pytest.approx(whole / 10)
    own = [1000 * np.sqrt((errors[k::3] ** 2).mean()) for k in range(3)]
    assert [number.value for number in found.forces.folds.values()] == pytest.approx(own)
    assert found.forces.spread.value == pytest.approx(np.std(own, ddof=1))
    assert (found.n_frames, found.n_folds) == (30, 3)


def test_atoms_count_not_frames() -> None:
    found = pooled({"a": fold([0.1], atoms=1), "b": fold([0.4], atoms=15)})
    assert found.forces.rmse.value == pytest.approx(1000 * np.sqrt((0.01 + 15 * 0.16) / 16))


def test_no_fold_gives_no_error() -> None:
    assert pooled({}).as_dict() == {"n_frames": 0, "n_folds": 0}
    one = pooled({"a": fold([0.1, 0.2])})
    assert one.forces.spread is None
