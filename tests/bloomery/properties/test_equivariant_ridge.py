"""The regression behind the property model that is part of the package, and its limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.potentials.calibration import coverage
from bloomery.properties import ridge
from bloomery.properties.contract import load_property
from bloomery.properties.equivariant_ridge import EquivariantRidge
from bloomery.properties.regression import FOLDS, MEMBERS, ByRows, BySums, halves
from bloomery.testing.properties import frames_for, teacher


def test_members_see_half_of_the_folds_and_each_fold_is_seen_by_half_of_them() -> None:
    seen = np.array([[fold in folds for fold in range(FOLDS)] for folds in halves()])
    assert seen.shape == (MEMBERS, FOLDS)
    assert (seen.sum(axis=0) == MEMBERS // 2).all()
    assert (seen.sum(axis=1) == FOLDS // 2).all()
    # No two splits are alike.
    assert len({tuple(sorted(folds)) for folds in halves()}) == MEMBERS


def test_sums_and_rows_give_the_same() -> None:
    random = np.random.default_rng(0)
    rows, labels, folds = random.normal(size=(60, 20)), random.normal(size=60), np.arange(60) % FOLDS
    by_rows, by_sums = ByRows(rows, labels, folds), BySums(20)
    for start in (0, 25):
        end = 25 if start == 0 else 60
        by_sums.add(rows[start:end], labels[start:end], folds[start:end])
    assert by_rows.scale == pytest.approx(by_sums.scale)
    one, two = by_rows.solution([0, 3, 4], 0.1), by_sums.solution([0, 3, 4], 0.1)
    np.testing.assert_allclose(one, two, atol=1e-10)
    assert by_rows.error([1, 2], one) == pytest.approx(by_sums.error([1, 2], one))
    assert by_rows.best_strength() == by_sums.best_strength()
    # And that is what minimises the sum of squares and the prior.
    own = np.isin(folds, [0, 3, 4])
    prior = 0.1 * by_rows.scale * np.eye(20)
    exact = np.linalg.solve(rows[own].T @ rows[own] + prior, rows[own].T @ labels[own])
    np.testing.assert_allclose(one, exact, atol=1e-10)


def test_many_rows_are_learnt_from_by_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = teacher("shieldings", frames_for("shieldings", 40))
    monkeypatch.setattr(ridge, "MOST_ROWS", 100)
    monkeypatch.setattr(ridge, "MOST_COEFFICIENTS", 240)
    model = EquivariantRidge.make(components=30, invariants=20).fit(frames[:32], "shieldings")
    # Two species with 30 features each: as many invariants as make 240 coefficients.
    assert model.features.invariants == 3
    labels = frames[32:].label("shieldings")[0]
    errors = model.predict(frames[32:]).values - labels
    assert np.sqrt((errors**2).mean()) < 0.1 * labels.std(axis=0).mean()


def test_errors_stay_within_what_is_said_of_them() -> None:
    frames = teacher("dipole", frames_for("dipole", 120))
    prediction = EquivariantRidge.make().fit(frames[:60], "dipole").predict(frames[60:])
    errors = (prediction.values - frames[60:].label("dipole")[0]).ravel()
    found = coverage(errors, np.repeat(prediction.sigma, 3), [0.68, 0.95])
    assert 0.5 < found[0.68] < 0.9
    assert found[0.95] > 0.8


def test_the_same_frames_and_seed_give_the_same_model() -> None:
    frames = teacher("charges", frames_for("charges", 20))
    first, second = (EquivariantRidge.make(invariants=2).fit(frames, "charges").predict(frames) for _ in range(2))
    assert np.array_equal(first.members, second.members)


def test_too_few_frames_are_refused() -> None:
    frames = teacher("dipole", frames_for("dipole", 15))
    with pytest.raises(InputError, match="have the label dipole, and 16 are needed"):
        EquivariantRidge.make().fit(frames, "dipole")


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no property"):
        load_property(tmp_path)
    (tmp_path / "property.json").write_text("[1]")
    (tmp_path / "arrays.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read as a model of a property"):
        load_property(tmp_path)
