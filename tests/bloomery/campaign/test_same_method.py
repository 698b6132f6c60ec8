"""Labels that are brought are compared with labels of the method: units, signs, other methods and shifts are told."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from bloomery.campaign.same_method import Compared, compare
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import shifted

SHIFT = {"Cu": 1.5, "Ag": -0.75}


@pytest.fixture(scope="module")
def frames() -> Configurations:
    """Alloys of copper and silver with labels that are random, but of a sensible size."""
    rng = np.random.default_rng(1)
    atoms = [bulk("Cu", cubic=True, a=3.8) for _ in range(6)]
    for index, one in enumerate(atoms):
        one.symbols = ["Cu4", "Cu3Ag", "Cu2Ag2", "CuAg3", "Ag4", "Cu3Ag"][index]
        one.rattle(0.05, rng=rng)
    made = Configurations.from_atoms(atoms)
    return made.with_labels(
        energy=rng.normal(-14, 1, len(made)),
        forces=rng.normal(0, 1, (made.n_atoms, 3)),
        stress=rng.normal(0, 0.02, (len(made), 6)),
    )


def times(frames: Configurations, **factors: float) -> Configurations:
    return frames.with_labels(**{name: factor * frames.label(name)[0] for name, factor in factors.items()})


def mistakes(given: Configurations, again: Configurations) -> list[str]:
    return list(compare(given, again, given).mistakes())


def test_the_same_labels_are_of_one_method(frames: Configurations) -> None:
    found = compare(frames, frames, frames)
    assert list(found.mistakes()) == []
    assert (found.n_frames, found.forces, found.shift) == (6, 0.0, {})
    assert found.energy == pytest.approx(0, abs=1e-9)


def test_numerical_noise_passes_and_another_method_does_not(frames: Configurations) -> None:
    noise = np.random.default_rng(2).normal(0, 1, (frames.n_atoms, 3))
    forces = frames.label("forces")[0]
    assert mistakes(frames, frames.with_labels(forces=forces + 0.005 * noise)) == []
    (said,) = mistakes(frames, frames.with_labels(forces=forces + 0.05 * noise))
    assert said.startswith("forces differ by ")


@pytest.mark.parametrize(
    ("factor", "unit"),
    [
        (51.42207, "a factor of 51.42, as from Ha/bohr to eV/Å"),
        (25.71104, "a factor of 25.71, as from Ry/bohr to eV/Å"),
        (0.0433641, "a factor of 0.04336, as from kcal/mol/Å to eV/Å"),
        (-1.0, "a factor of -1, as of the opposite sign"),
        (2.0, "a factor of 2)"),
    ],
)
def test_units_and_signs_of_forces_are_told(frames: Configurations, factor: float, unit: str) -> None:
    """Factors by CODATA: 1 Ha = 27.2114 eV, 1 bohr = 0.529177 Å, 1 kcal/mol = 0.0433641 eV."""
    said = mistakes(times(frames, forces=1 / factor), frames)
    assert len(said) == 1
    assert unit in said[0]


def test_energies_of_another_zero_are_moved(frames: Configurations) -> None:
    elsewhere = shifted(frames, SHIFT)
    found = compare(elsewhere, frames, elsewhere)
    assert list(found.mistakes()) == []
    assert found.shift == pytest.approx({name: -value for name, value in SHIFT.items()})
    np.testing.assert_allclose(shifted(elsewhere, found.shift).label("energy")[0], frames.label("energy")[0])
    assert "energies moved by -1.5 eV for Cu, +0.75 eV for Ag" in found.told


def test_a_shift_that_the_frames_do_not_determine_is_refused(frames: Configurations) -> None:
    """Of Cu3Ag alone nothing follows for pure copper."""
    elsewhere = shifted(frames, SHIFT)
    same = [1, 5]
    assert compare(elsewhere[same], frames[same], elsewhere[same]).shift_is_known
    found = compare(elsewhere[same], frames[same], elsewhere)
    assert list(found.mistakes()) == [
        "energies are counted from elsewhere, and the frames that were labelled again do not tell from where"
    ]


def test_energies_that_no_shift_explains_are_refused(frames: Configurations) -> None:
    said = mistakes(times(frames, energy=1 / 27.2114), frames)
    assert [one.partition(" by ")[0] for one in said] == ["energies differ"]


def test_stresses_of_the_other_sign_are_refused(frames: Configurations) -> None:
    said = mistakes(times(frames, stress=-1), frames)
    assert [one.partition(" by ")[0] for one in said] == ["stresses differ"]


def test_what_one_side_lacks_is_not_compared(frames: Configurations) -> None:
    bare = frames.without_labels().with_labels(energy=frames.label("energy")[0])
    found = compare(bare, frames, bare)
    assert (found.forces, found.stress) == (None, None)
    assert compare(frames[:1], frames[:1], frames[:1]).energy is None
    assert Compared.model_validate(found.as_dict()) == found
