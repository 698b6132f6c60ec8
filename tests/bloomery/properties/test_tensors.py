"""Parts of tensors, and the laws of properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, PROPERTIES, Property
from bloomery.properties.laws import check_defined, property_named, with_known, without_known
from bloomery.properties.tensors import AXIAL, SCALAR, TENSOR, basis, joined, parts_of, split
from bloomery.testing.properties import frames_for


@pytest.mark.parametrize("name", PROPERTIES)
def test_parts_make_up_the_whole_again(name: Property) -> None:
    kind = LABELS[name]
    values = np.random.default_rng(0).normal(size=(5, *kind.shape))
    if kind.symmetric:
        values = values + values.swapaxes(1, 2)
    parts = split(values, kind)
    np.testing.assert_allclose(joined(parts, kind), values, atol=1e-12)
    squares = sum((part**2).sum() for part in parts.values())
    np.testing.assert_allclose(squares, (values**2).sum())


def test_parts_of_a_tensor_are_trace_antisymmetric_and_traceless() -> None:
    random = np.random.default_rng(1)
    assert not np.trace(basis(TENSOR, (3, 3)), axis1=1, axis2=2).round(12).any()
    one, two = random.normal(size=(2, 3))
    outer = np.outer(one, two)
    parts = split(outer[None], LABELS["shieldings"])
    assert parts[SCALAR][0, 0] == pytest.approx(one @ two / np.sqrt(3))
    np.testing.assert_allclose(parts[AXIAL][0], np.cross(one, two)[[1, 2, 0]] / np.sqrt(2))


def test_tensors_of_higher_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="no parts here"):
        parts_of(replace(LABELS["shieldings"], shape=(3, 3, 3)))


def charged(name: Property, charge: float) -> Configurations:
    frames = frames_for(name, 2)
    return replace(frames, states={"charge": np.full(2, charge)}, stated={"charge": np.ones(2, dtype=bool)})


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_known_is_taken_away_and_added_again(name: Property) -> None:
    frames = charged(name, 0.0 if name == "dielectric_tensor" else 2.0)
    values = np.random.default_rng(2).normal(size=frames.label(name)[0].shape)
    rest = without_known(name, values, frames)
    np.testing.assert_allclose(with_known(name, rest, frames), values, atol=1e-12)


def test_an_ion_has_its_charge_at_the_centre() -> None:
    frames = charged("dipole", -1.0)
    nothing = np.zeros((2, 3))
    moved = replace(frames, positions=frames.positions + np.array([1.0, 2.0, 3.0]))
    shift = with_known("dipole", nothing, moved) - with_known("dipole", nothing, frames)
    np.testing.assert_allclose(shift, [[-1.0, -2.0, -3.0]] * 2)


def test_atoms_share_the_charge_of_a_frame() -> None:
    frames = charged("charges", 3.0)
    charges = with_known("charges", np.zeros(frames.n_atoms), frames)
    np.testing.assert_allclose(charges[:4].sum(), 3.0)
    born = with_known("born_effective_charges", np.zeros((frames.n_atoms, 3, 3)), frames)
    np.testing.assert_allclose(born[:4].sum(axis=0), 3.0 * np.eye(3))


def test_a_vacuum_has_a_dielectric_constant_of_one() -> None:
    frames = frames_for("dielectric_tensor", 2)
    np.testing.assert_array_equal(with_known("dielectric_tensor", np.zeros((2, 3, 3)), frames), [np.eye(3)] * 2)


def test_frames_without_the_property_are_named() -> None:
    crystal, molecule = frames_for("dielectric_tensor", 1), frames_for("dipole", 1)
    both = Configurations.concatenate([molecule, crystal])
    with pytest.raises(InputError, match="frame 1 is periodic, and the dipole of a periodic frame"):
        check_defined("dipole", both)
    with pytest.raises(InputError, match="frame 6 is periodic"):
        check_defined("polarizability", both, np.array([5, 6]))
    with pytest.raises(InputError, match="frame 0 is not periodic in all directions"):
        check_defined("dielectric_tensor", both)
    with pytest.raises(InputError, match="frame 0 has a charge"):
        check_defined("dielectric_tensor", charged("dielectric_tensor", 1.0))
    with pytest.raises(InputError, match="'quadrupole' is no property"):
        property_named("quadrupole")
