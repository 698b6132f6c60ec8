"""The engine `gap` in its own environment: labels, signs, weights and variance arrive where they should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from scipy.stats import spearmanr

from bloomery.engines.contract import TrainingData
from bloomery.engines.gap import Gap
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(Gap.missing() is not None, reason="gap is not installed here; ./test --engines sees to it"),
]

SMALL = {"pairs": {"sparse": 10, "cutoff": 4.0}, "soap": {"sparse": 30, "cutoff": 4.0, "n_max": 4, "l_max": 3}}


def data_of(train: Configurations, early: Configurations | None = None) -> TrainingData:
    return TrainingData(train, Configurations.empty() if early is None else early, fit_energy_reference(train))


def test_default_settings_pass_the_acceptance_check(silicon: Configurations) -> None:
    potential, _ = Gap.make().train(data_of(silicon[:8], silicon[8:11]))
    report = check_potential(potential, silicon[:8], AcceptanceSettings(frames=2, directions=1))
    assert report.passed, report.to_dict()


def test_variance_of_a_single_fit_is_its_disagreement(make_silicon) -> None:  # type: ignore[no-untyped-def]
    train = make_silicon(8, seed=1, rattle=0.05)
    near, far = make_silicon(4, seed=2, rattle=0.05), make_silicon(4, seed=3, rattle=0.25)
    potential, history = Gap.make(**SMALL).train(data_of(train, make_silicon(4, seed=4, rattle=0.1)))
    assert history.summary["sigma_measured_on"] == 4
    inside, outside = potential.predict(near), potential.predict(far)
    assert inside.force_sigma is not None
    assert outside.atom_disagreement.mean() > 2 * inside.atom_disagreement.mean()
    assert (inside.energy_disagreement > 0).all()
    both = Configurations.concatenate([near, far])
    found = potential.predict(both)
    errors = np.linalg.norm(found.force - both.label("forces")[0], axis=1)
    assert spearmanr(found.atom_disagreement, errors).statistic > 0.5


def test_unit_of_the_variance_is_found_without_early_stopping_frames(silicon: Configurations) -> None:
    _, history = Gap.make(**SMALL).train(data_of(silicon[:10]))
    assert history.summary["sigma_measured_on"] == 2
    assert history.summary["sigma_unit"] > 0
    potential, history = Gap.make(**SMALL, uncertainty={"enabled": False}).train(data_of(silicon[:10]))
    assert history.summary["sigma_unit"] is None
    assert potential.predict(silicon[:2]).force_sigma is None


def test_sparse_points_are_environments_that_are_farthest_from_each_other(make_silicon) -> None:  # type: ignore[no-untyped-def]
    """As many as asked for, none twice, spread wider than what chance takes; the fit reads them and is sound."""
    from bloomery.engines.gap.fitting import farthest_environments  # noqa: PLC0415

    frames = make_silicon(6, seed=6, rattle=0.1)
    engine = Gap.make(**{**SMALL, "soap": {**SMALL["soap"], "method": "farthest_point"}})
    soap, cutoff = engine.settings.soap, engine.settings.cutoff
    rows = farthest_environments(soap, frames, 14, ["Si"], cutoff)
    assert len(set(rows.tolist())) == 30
    assert rows.max() < frames.n_atoms
    twice = Configurations.concatenate([frames[:1], frames[:1]])
    assert len(farthest_environments(soap, twice, 14, ["Si"], cutoff)) == 8
    potential, _ = engine.train(data_of(frames))
    (fit,) = potential.fits
    (soap,) = [content for content in fit.sparse.values() if len(content.split()) > 10]
    assert len(soap.split()) == 30 * 41, "one sparse point for each row that was chosen"
    report = check_potential(potential, frames, AcceptanceSettings(frames=2, directions=1))
    assert report.passed, report.to_dict()


def test_stress_alone_teaches_the_stress(make_silicon) -> None:  # type: ignore[no-untyped-def]
    """With the wrong sign of the virial the error would be about twice the stress, not a share of it."""
    frames = make_silicon(12, seed=5, rattle=0.02, strain=0.06)
    stress, _ = frames.label("stress")
    only = frames.without_labels().with_labels(stress=stress)
    potential, _ = Gap.make(**SMALL, uncertainty={"enabled": False}).train(data_of(only[:9]))
    error = potential.predict(frames[9:]).stress - stress[9:]
    assert np.sqrt((error**2).mean()) < 0.3 * np.sqrt((stress[9:] ** 2).mean())


def test_frames_of_a_group_weigh_as_its_sigmas_say(silicon: Configurations) -> None:
    """One frame has a wrong energy; with a wide sigma the fit does not follow it."""
    energies = silicon[:8].label("energy")[0].copy()
    energies[3] += 8.0
    group = np.where(np.arange(8) == 3, "odd", "")
    spoilt = silicon[:8].with_labels(energy=energies).with_info(config_type=group)
    reference = fit_energy_reference(silicon[:8])
    errors = []
    for groups in ({}, {"odd": {"energy": 10.0, "forces": 10.0, "virial": 10.0}}):
        engine = Gap.make(**SMALL, groups=groups, uncertainty={"enabled": False})
        potential, _ = engine.train(TrainingData(spoilt, Configurations.empty(), reference))
        errors.append(abs(potential.predict(silicon[3:4]).energy[0] - silicon.label("energy")[0][3]))
    assert errors[1] < 0.3 * errors[0]


def test_hot_frames_weigh_less_where_asked(silicon: Configurations) -> None:
    potentials = [
        Gap.make(**SMALL, force_share=share, energy_share=share, uncertainty={"enabled": False}).train(
            data_of(silicon[:8])
        )[0]
        for share in (0.0, 0.5)
    ]
    size = np.linalg.norm(silicon[:8].label("forces")[0], axis=1)
    hot = size > np.quantile(size, 0.9)
    errors = [
        np.linalg.norm(potential.predict(silicon[:8]).force - silicon[:8].label("forces")[0], axis=1)[hot].mean()
        for potential in potentials
    ]
    assert errors[0] < errors[1]


def test_molecules_are_fitted_without_a_cell() -> None:
    random = np.random.default_rng(0)
    frames = []
    for _ in range(10):
        atoms = molecule("H2O")
        atoms.positions += random.normal(scale=0.05, size=(3, 3))
        frames.append(atoms)
    waters = Configurations.from_atoms(frames)
    bonds = np.array([[np.linalg.norm(f.positions[0] - f.positions[i]) for i in (1, 2)] for f in frames])
    forces = np.zeros((30, 3))
    for index, frame in enumerate(frames):
        for hydrogen in (1, 2):
            vector = frame.positions[hydrogen] - frame.positions[0]
            pull = -40.0 * (bonds[index, hydrogen - 1] - 0.97) * vector / np.linalg.norm(vector)
            forces[3 * index + hydrogen] += pull
            forces[3 * index] -= pull
    waters = waters.with_labels(energy=20.0 * ((bonds - 0.97) ** 2).sum(axis=1), forces=forces)
    potential, _ = Gap.make(**SMALL, uncertainty={"enabled": False}).train(data_of(waters[:8]))
    error = potential.predict(waters[8:]).force - waters[8:].label("forces")[0]
    assert np.sqrt((error**2).mean()) < 0.3 * np.sqrt((waters[8:].label("forces")[0] ** 2).mean())
    turned = replace(waters, positions=waters.positions[:, [1, 2, 0]] + 50.0)
    np.testing.assert_allclose(potential.predict(turned).energy, potential.predict(waters).energy, atol=1e-8)


def test_equal_fits_give_equal_files(silicon: Configurations, tmp_path: Path) -> None:
    for name in ("one", "two"):
        potential, _ = Gap.make(**SMALL).train(data_of(silicon[:6]), seed=5, folder=tmp_path / f"work_{name}")
        potential.save(tmp_path / name)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.name != "potential.json"}
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert any(".sparseX." in name for name in files[0])
