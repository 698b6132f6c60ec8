"""Infrared and Raman spectra, against oscillators whose intensities are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase import units

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.spectra import MASS, correction
from bloomery.observables.frequencies import Frequencies
from bloomery.observables.infrared import KM_PER_MOL, Infrared
from bloomery.observables.raman import Raman
from bloomery.properties.equivariant_ridge import EquivariantRidge
from bloomery.testing.potentials import TeacherCommittee

TEMPERATURE = 350.0
WAVE_NUMBER = 1000.0
CHARGE = 0.3
MASSES = np.array([12.0, 16.0])
REDUCED = MASSES.prod() / MASSES.sum()


def vibrating(length: int = 6000, interval: float = 3.0) -> tuple[Configurations, np.ndarray]:
    """A diatomic molecule that swings along x with the mean kinetic energy of its temperature; and how far, in Å."""
    omega = 2 * np.pi * 2.99792458e-5 * WAVE_NUMBER
    amplitude = np.sqrt(2 * units.kB * TEMPERATURE / (REDUCED * MASS)) / omega
    stretch = amplitude * np.cos(omega * interval * np.arange(length))
    positions = np.zeros((length, 2, 3))
    positions[:, 0, 0] = -stretch * MASSES[1] / MASSES.sum()
    positions[:, 1, 0] = 1.2 + stretch * MASSES[0] / MASSES.sum()
    frames = [ase.Atoms("CO", positions=places, masses=MASSES) for places in positions]
    times = interval * np.arange(length)
    return Configurations.from_atoms(frames).with_info(time=times, temperature=np.full(length, TEMPERATURE)), stretch


def labelled(name: str, values: np.ndarray, frames: Configurations) -> Configurations:
    labels: dict[str, Any] = {name: values}
    return frames.with_labels(**labels)


def measured(observable: Infrared | Raman, frames: Configurations) -> dict[str, float]:
    summary = observable.observe(None, frames).summary["trajectory"]
    return {name: entry["value"] for name, entry in summary.items() if isinstance(entry, dict)}


def test_the_constant_is_that_of_textbooks() -> None:
    # 42.2561 km/mol for (D/Å)^2/u, as many programs have it; 1 e is 4.80320 D/Å.
    assert pytest.approx(42.2561 * 4.80320**2, rel=1e-5) == KM_PER_MOL


def test_infrared_intensity_of_a_diatomic() -> None:
    frames, stretch = vibrating()
    dipoles = np.zeros((len(frames), 3))
    dipoles[:, 0] = 0.5 + CHARGE * stretch
    found = measured(Infrared.make(window_fs=1500, bands={"stretch": (900, 1100)}), labelled("dipole", dipoles, frames))
    expected = KM_PER_MOL * CHARGE**2 / REDUCED
    assert found["infrared:intensity"] == pytest.approx(expected, rel=0.01)
    assert found["infrared:stretch:intensity"] == pytest.approx(expected, rel=0.02)
    assert found["infrared:stretch:wave_number"] == pytest.approx(WAVE_NUMBER, abs=1)


def test_currents_give_what_dipoles_give() -> None:
    frames, stretch = vibrating(3000)
    dipoles = np.zeros((len(frames), 3))
    dipoles[:, 0] = CHARGE * stretch
    charges = np.array([-CHARGE, CHARGE])
    born = np.tile(charges[:, None, None] * np.eye(3), (len(frames), 1, 1))
    one = Infrared.make().observe(None, labelled("dipole", dipoles, frames)).arrays["infrared__trajectory"]
    two = Infrared.make().observe(None, labelled("born_effective_charges", born, frames)).arrays["infrared__trajectory"]
    np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-10)


def test_raman_activity_of_a_diatomic() -> None:
    frames, stretch = vibrating()
    along, across = 2.0, 0.5
    tensors = np.zeros((len(frames), 3, 3))
    for axis, slope in enumerate((along, across, across)):
        tensors[:, axis, axis] = 3 + slope * stretch
    found = measured(Raman.make(window_fs=1500), labelled("polarizability", tensors, frames))
    mean, anisotropy = (along + 2 * across) / 3, along - across
    assert found["isotropic:intensity"] == pytest.approx(45 * mean**2 / REDUCED, rel=0.01)
    assert found["anisotropic:intensity"] == pytest.approx(7 * anisotropy**2 / REDUCED, rel=0.01)
    assert found["raman:intensity"] == pytest.approx(found["isotropic:intensity"] + found["anisotropic:intensity"])


def test_a_model_gives_its_error(tmp_path: Path) -> None:
    frames, stretch = vibrating(3000)
    dipoles = np.zeros((len(frames), 3))
    dipoles[:, 0] = 0.5 + CHARGE * stretch + 0.05 * np.sin(7 * np.arange(len(frames)))
    model = EquivariantRidge.make(invariants=2).fit(labelled("dipole", dipoles, frames)[:400:10], "dipole")
    place = model.save(tmp_path / "model")
    observation = Infrared.make(model=str(place)).observe(None, frames)
    error = observation.arrays["infrared__trajectory_committee"]
    assert error.shape == observation.arrays["infrared__trajectory"].shape
    assert error.max() > 0
    alone = Infrared.make().observe(None, labelled("dipole", model.predict(frames).values, frames)).summary
    both = [summary["trajectory"]["infrared:intensity"] for summary in (observation.summary, alone)]
    assert both[0]["value"] == both[1]["value"]
    assert both[0]["upper"] > both[1]["upper"]


@pytest.mark.parametrize("name", ["standard", "schofield", "none"])
def test_corrections_are_alike_where_it_is_classical(name: Any) -> None:
    wavenumbers = np.array([0.0, 1.0, 3000.0])
    factors = correction(name, wavenumbers, 300.0)
    np.testing.assert_allclose(factors[:2], 1.0, atol=1e-2)
    x = 1.438777 * 3000 / 300
    exact = {"standard": 2 / (1 + np.exp(-x)), "schofield": np.exp(x / 2), "none": 1.0}[name]
    assert factors[2] == pytest.approx(exact * (1 - np.exp(-x)) / x, rel=1e-5)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    frames, stretch = vibrating(300)
    dipoles = labelled("dipole", np.outer(stretch, [1, 0, 0]), frames)
    with pytest.raises(InputError, match="infrared: frame 0 has no dipole; give a model"):
        Infrared.make().observe(None, frames)
    with pytest.raises(InputError, match="raman: frame 0 has no polarizability"):
        Raman.make().observe(None, dipoles)
    with pytest.raises(InputError, match=r"window_fs: is longer than a block.* resolves .* 1/cm at best"):
        Infrared.make(window_fs=1000).observe(None, dipoles)
    with pytest.raises(InputError, match=r"bands\.bend: fewer than two points"):
        Infrared.make(window_fs=100, bands={"bend": (9000, 9100)}).observe(None, dipoles)
    with pytest.raises(InputError, match="there is no property"):
        Infrared.make(model=str(tmp_path)).observe(None, dipoles)
    cold = Configurations.from_atoms(frames.to_atoms(), info_keys=["time"]).with_labels(
        dipole=dipoles.label("dipole")[0]
    )
    with pytest.raises(InputError, match="temperature: the frames do not carry"):
        Infrared.make(window_fs=100).observe(None, cold)
    with pytest.raises(InputError, match="infrared: dynamics of a potential have no dipoles"):
        Infrared.make(dynamics={"temperature": 300})


def test_modes_have_intensities_by_labels_of_dipole_and_polarizability() -> None:
    observable = Frequencies.make()
    molecule = Configurations.from_atoms([ase.Atoms("CO", positions=[[0, 0, 0], [1.2, 0, 0]], masses=MASSES)])
    frames = observable.wanted_frames(molecule)
    vectors = frames.positions[1::2] - frames.positions[::2]
    lengths = np.linalg.norm(vectors, axis=1)
    units_ = vectors / lengths[:, None]
    forces = np.zeros((frames.n_atoms, 3))
    forces[1::2] = -40.0 * (lengths - 1.2)[:, None] * units_
    forces[::2] = -forces[1::2]
    outer = units_[:, :, None] * units_[:, None, :]
    stretch = (lengths - 1.2)[:, None, None]
    labels: dict[str, Any] = {
        "forces": forces,
        "dipole": CHARGE * vectors,
        "polarizability": 3 * np.eye(3) + stretch * (2.0 * outer + 0.5 * (np.eye(3) - outer)),
    }
    summary = observable.observe(None, molecule, reference=frames.with_labels(**labels)).summary["CO"]["reference"]
    assert summary["mode_0_infrared"]["value"] == pytest.approx(KM_PER_MOL * CHARGE**2 / REDUCED, rel=1e-3)
    activity = (45 * (3.0 / 3) ** 2 + 7 * 1.5**2) / REDUCED
    assert summary["mode_0_raman"]["value"] == pytest.approx(activity, rel=1e-3)
    # Without them there are frequencies alone.
    bare = observable.observe(None, molecule, reference=frames.with_labels(forces=forces)).summary["CO"]["reference"]
    assert "mode_0_infrared" not in bare
    assert bare["mode_0"] == summary["mode_0"]


def test_models_give_the_intensities_of_a_potential(tmp_path: Path) -> None:
    molecule = Configurations.from_atoms([ase.Atoms("Si2", positions=[[0, 0, 0], [2.2, 0, 0]], cell=[20] * 3)])
    frames = Frequencies.make().wanted_frames(molecule)
    random = np.random.default_rng(0)
    known = Configurations.from_atoms(
        [ase.Atoms("Si2", positions=[[0, 0, 0], random.normal([2.2, 0, 0], 0.1)]) for _ in range(24)]
    )
    model = EquivariantRidge.make(invariants=1)
    # Of two atoms of one kind there is no dipole, but a polarizability.
    outer = [np.outer(v, v) for v in known.positions[1::2] - known.positions[::2]]
    place = model.fit(labelled("polarizability", np.array(outer), known), "polarizability").save(tmp_path / "model")
    charges = model.fit(labelled("charges", np.zeros(48), known), "charges").save(tmp_path / "charges")
    potential = TeacherCommittee(members=3, spread=0.1)
    told = Frequencies.make(models=[str(place)]).observe(potential, molecule).summary["Si2"]["potential"]
    # Along the bond the tensor is the square of its length: a slope of 2 x 2.2 Å^2.
    reduced = 28.085 / 2
    activity = (45 / 9 + 7) * (2 * 2.2) ** 2 / reduced
    assert told["mode_0_raman"]["value"] == pytest.approx(activity, rel=0.02)
    assert "mode_0_infrared" not in told
    with pytest.raises(InputError, match="charges is a model of charges; give one of dipole or polarizability"):
        Frequencies.make(models=[str(charges)]).observe(potential, molecule)
    assert len(frames) == 13
