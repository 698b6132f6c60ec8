"""Mixed channels: what is learnt, and that features, gradients and kernels know of it."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ase.data import chemical_symbols

from bloomery.descriptors.power_spectrum import mixing
from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.testing.descriptors import check_descriptor, check_gradients, check_invariance
from bloomery.testing.frames import odd_frames

FOUR = ["C", "H", "O", "Si"]
TWENTY = chemical_symbols[1:21]
SIZES: dict[str, Any] = {"cutoff": 4.0, "radial": 3, "max_degree": 3}


def in_python(descriptor: PowerSpectrum, patch: pytest.MonkeyPatch) -> PowerSpectrum:
    """The same descriptor, which finds no kernel."""
    patch.setattr(PowerSpectrum, "kernel", lambda *_: None)
    return descriptor


@pytest.mark.parametrize("settings", [{"channels": 5}, {"channels": 4, "sharing": 0.0, "four_body": 0}, {}])
def test_fitted_descriptors_keep_the_contract(settings: dict[str, Any]) -> None:
    """With channels that are fewer than species and radial functions, and as many."""
    descriptor = PowerSpectrum.make(**SIZES, **settings)
    fitted = descriptor.fitted(odd_frames(["C", "Si"]), ["C", "Si"])
    assert fitted.size(["C", "Si"]) == descriptor.fitted_size(["C", "Si"]) == fitted.fitted_size(["C", "Si"])
    check_descriptor(fitted, ["C", "Si"])


@pytest.mark.parametrize("degree", [0, 3])
def test_elements_that_frames_lack(degree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel and in torch alike, on frames of other elements than those learnt from as well."""
    fitted = PowerSpectrum.make(**SIZES | {"max_degree": degree}, channels=5).fitted(odd_frames(["C", "Si"]), FOUR)
    for seed, present in enumerate((["C", "Si"], ["H"], ["O", "Si"])):
        frames = odd_frames(present, seed)
        fast = fitted.features(frames, FOUR).values
        weights = torch.randn(3, *fast.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        forces, virials = fitted.forces(frames, FOUR, lambda _, atoms: weights[:, atoms])  # noqa: B023
        with monkeypatch.context() as patch:
            plain = in_python(fitted, patch)
            check_invariance(plain, frames, FOUR, seed)
            check_gradients(plain, frames, FOUR, seed)
            slow = plain.features(frames, FOUR).values
            expected, tension = plain.forces(frames, FOUR, lambda _, atoms: weights[:, atoms])  # noqa: B023
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(forces, expected, rtol=1e-10, atol=1e-10)
        assert virials is not None
        assert tension is not None
        periodic = torch.from_numpy(np.flatnonzero(frames.pbc.all(axis=1)))
        torch.testing.assert_close(virials[periodic], tension[periodic], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_map_for_trainings_and_its_transpose(dtype: str) -> None:
    fitted = PowerSpectrum.make(**SIZES, channels=5).fitted(odd_frames(["C", "Si"]), FOUR)
    frames, kind = odd_frames(["C", "Si"], seed=1), getattr(torch, dtype)
    force_map = fitted.force_map(frames, FOUR, dtype=dtype)
    if force_map is None:
        pytest.skip("there are no kernels here")
    random = torch.Generator().manual_seed(0)
    given = torch.randn(9, frames.n_atoms, fitted.size(FOUR), dtype=kind, generator=random)
    forces, virials = force_map.forces(given)
    edges = fitted.forces(frames, FOUR, lambda _, atoms: given[:, atoms], dtype=dtype)[0]
    torch.testing.assert_close(forces, edges)
    left, right = torch.randn(forces.shape, dtype=kind, generator=random), torch.randn_like(virials)
    expected = (left * forces).sum() + (right * virials).sum()
    torch.testing.assert_close((force_map.transposed(left, right) * given).sum(), expected, rtol=1e-3, atol=1e-1)


def test_as_many_channels_as_there_are_say_the_same() -> None:
    """Without sharing ``W_l`` are rotations, under which scalar products of two- and three-body terms do not change."""
    frames = odd_frames(["C", "Si"])
    descriptor = PowerSpectrum.make(**SIZES, inner=1.0, four_body=0, channels=6, sharing=0.0)
    fitted = descriptor.fitted(frames, ["C", "Si"])
    plain, mixed = (each.features(frames, ["C", "Si"]).values for each in (descriptor, fitted))
    torch.testing.assert_close(mixed @ mixed.T, plain @ plain.T, rtol=1e-6, atol=1e-9)
    assert not torch.allclose(mixed, plain)


def test_channels_are_principal_components() -> None:
    """Two-body terms are moments of degree 0: uncorrelated, in descending order."""
    frames = odd_frames(["C", "Si"])
    descriptor = PowerSpectrum.make(**SIZES, inner=1.0, channels=6, sharing=0.0)
    values = descriptor.fitted(frames, ["C", "Si"]).features(frames, ["C", "Si"]).values[:, :6]
    covariance = values.T @ values / len(values)
    variances = covariance.diagonal()
    assert bool((variances.diff() < 0).all())
    torch.testing.assert_close(covariance, torch.diag(variances), rtol=0, atol=1e-6 * float(variances[0]))


def test_sharing_tells_how_alike_species_are() -> None:
    """Neighbours of an element that was not there make the same features if all is shared, and none if nothing is."""
    learnt = odd_frames(["Cu"])[[3]]
    swapped = replace(learnt, numbers=np.full_like(learnt.numbers, 26))
    for sharing, expected in ((1.0, 1.0), (0.0, 0.0)):
        fitted = PowerSpectrum.make(**SIZES, channels=3, sharing=sharing).fitted(learnt, ["Cu", "Fe"])
        known, new = (fitted.features(frames, ["Cu", "Fe"]).values for frames in (learnt, swapped))
        torch.testing.assert_close(new, expected * known, rtol=1e-6, atol=1e-6)


def test_elements_of_other_radii_are_less_alike() -> None:
    """Copper and iron have the same covalent radius; that of carbon is 0.56 Å less: exp(-0.56^2 / 0.5) is 0.53."""
    root = mixing._shared(["Cu", "Fe", "C"], 0.9)
    expected = [[1, 0.9, 0.9 * 0.534], [0.9, 1, 0.9 * 0.534], [0.9 * 0.534, 0.9 * 0.534, 1]]
    np.testing.assert_allclose(root @ root, expected, atol=1e-3)


def test_twenty_elements_have_few_features() -> None:
    descriptor = PowerSpectrum()
    assert descriptor.size(TWENTY) == 36_900
    assert descriptor.fitted_size(TWENTY) == descriptor.fitted_size(["C", "H", "O"]) == 945
    assert descriptor.fitted_size(["C", "Si"]) == 450
    fitted = descriptor.fitted(odd_frames(["C", "Si"]), TWENTY)
    assert fitted.settings.mixing is not None
    assert np.shape(fitted.settings.mixing) == (5, 18, 120)
    assert fitted.size(TWENTY) == 945


def test_one_element_is_mixed_only_if_asked() -> None:
    frames = odd_frames(["Si"])
    plain = PowerSpectrum().fitted(frames, ["Si"])
    assert plain.settings.mixing is None
    assert plain.size(["Si"]) == PowerSpectrum().fitted_size(["Si"])
    fitted = PowerSpectrum.make(channels=4).fitted(frames, ["Si"])
    assert fitted.size(["Si"]) == PowerSpectrum.make(radial=4).size(["Si"])
    assert PowerSpectrum.make(channels=40).fitted_size(["Si"]) == plain.size(["Si"])


def test_what_was_learnt_is_kept() -> None:
    """In settings that survive JSON, and are not learnt again."""
    frames, elements = odd_frames(["C", "Si"]), ["C", "Si"]
    fitted = PowerSpectrum.make(**SIZES, channels=5).fitted(frames, elements)
    again = PowerSpectrum.make(**json.loads(json.dumps(fitted.settings.model_dump(mode="json"))))
    assert again.settings == fitted.settings
    assert hash(again.settings) == hash(fitted.settings)
    assert again.fitted(odd_frames(["C", "Si"], seed=1), elements) is again
    assert PowerSpectrum.make(**SIZES, channels=5).fitted(frames, elements).settings == fitted.settings


def test_few_atoms_of_each_composition_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    few, rare = odd_frames(["C"])[[3]], odd_frames(["O", "Si"])[[3]]
    frames = Configurations.concatenate([few] * 40 + [rare])
    monkeypatch.setattr(mixing, "MAX_ATOMS", 8 * few.n_atoms)
    sample = mixing._sample(frames)
    assert len(sample) <= 8
    assert set(sample.elements) == {"C", "O", "Si"}
    assert len(mixing._sample(Configurations.empty())) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "has 0 matrices for 2 degrees"),
        ([[[1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]]], "has not as many rows for each degree"),
        ([[], []], "has not as many rows for each degree"),
        ([[[1.0, 2.0]], [[1.0]]], "not of 2 numbers for each species"),
        ([[[1.0]], [[1.0]]], "not of 2 numbers for each species"),
        ([[[]], [[]]], "not of 2 numbers for each species"),
        ([[[1.0, float("nan")]], [[1.0, 2.0]]], "finite"),
    ],
)
def test_mixing_of_a_wrong_shape_is_refused(given: list[list[list[float]]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PowerSpectrum.make(radial=2, max_degree=1, mixing=given)


def test_mixing_of_other_elements_is_refused() -> None:
    fitted = PowerSpectrum.make(**SIZES).fitted(odd_frames(["C", "Si"]), ["C", "Si"])
    with pytest.raises(InputError, match="learnt for 2 species, not for 4"):
        fitted.size(FOUR)
    with pytest.raises(InputError, match="learnt for 2 species, not for 4"):
        fitted.features(odd_frames(["C"]), FOUR)
