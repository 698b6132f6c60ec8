"""SOAP against featomic's own power spectrum, and where featomic cannot go."""

import sys

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from bloomery.descriptors.soap import Soap
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.testing.descriptors import check_descriptor
from bloomery.testing.frames import odd_frames

pytest.importorskip("featomic")


def featomics_own(soap: Soap, atoms: ase.Atoms) -> np.ndarray:
    """All properties as featomic lists them, both ways round, in the order of the atoms."""
    found = soap._calculator().compute([atoms]).keys_to_samples("center_type")
    block = found.keys_to_properties(["neighbor_1_type", "neighbor_2_type"])[0]
    return np.asarray(block.values)[np.argsort(np.asarray(block.samples.column("atom")))]


@pytest.mark.parametrize(
    "settings",
    [{}, {"cutoff": 4.2, "radial": 3, "max_degree": 2, "width": 0.6, "smoothing": 1.0, "centre_weight": 0.3},
     {"radial": 2, "scaling": {"rate": 1.0, "scale": 2.0, "exponent": 4.0}}],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["crystal", "alloy", "molecule"])
def test_scalar_products_are_those_of_featomic(settings: dict[str, float], kind: str) -> None:
    atoms = {
        "crystal": bulk("Si", cubic=True),
        "alloy": bulk("SiC", "zincblende", a=4.36, cubic=True),
        "molecule": molecule("CH3OH"),
    }[kind]
    atoms.rattle(0.1, seed=1)
    soap = Soap.make(**settings)
    frames = Configurations.from_atoms([atoms])
    found = soap.features(frames, frames.elements).values.numpy()
    expected = featomics_own(soap, atoms)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=1e-9)


def test_an_element_more_changes_no_scalar_product() -> None:
    atoms = molecule("CH3OH")
    frames = Configurations.from_atoms([atoms])
    few = Soap().features(frames, ["C", "H", "O"]).values
    many = Soap().features(frames, ["O", "Si", "H", "C"]).values
    assert many.shape[1] == Soap().size(["O", "Si", "H", "C"])
    torch.testing.assert_close(many @ many.T, few @ few.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings", [{"radial": 3, "max_degree": 2}, {"radial": 2, "max_degree": 0, "cutoff": 3.0}])
def test_unusual_settings_keep_the_contract(settings: dict[str, float]) -> None:
    check_descriptor(Soap.make(**settings), ["C", "Si"], seed=3)


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = odd_frames(["C", "Si"], seed=2)
    soap = Soap.make(radial=3, max_degree=2)
    whole = soap.features(frames, ["C", "Si"], gradients=True)
    weights = torch.randn(2, frames.n_atoms, soap.size(["C", "Si"]), dtype=torch.float64)
    contracted = soap.edge_gradients(frames, ["C", "Si"], lambda _, atoms: weights[:, atoms])[2]
    monkeypatch.setattr("bloomery.descriptors.soap.CHUNK_ATOMS", 2)
    parts = soap.features(frames, ["C", "Si"], gradients=True)
    torch.testing.assert_close(parts.values, whole.values, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(parts.jacobian, whole.jacobian, rtol=1e-10, atol=1e-11)
    again = soap.edge_gradients(frames, ["C", "Si"], lambda _, atoms: weights[:, atoms])[2]
    torch.testing.assert_close(again, contracted, rtol=1e-10, atol=1e-11)


def test_without_featomic_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "featomic", None)
    with pytest.raises(InputError, match=r"needs the package featomic .* pip install featomic"):
        Soap().features(odd_frames(["Si"]), ["Si"])


def test_wrong_settings_name_their_key() -> None:
    with pytest.raises(InputError, match=r"soap\.radial"):
        Soap.make(radial=0)
    with pytest.raises(InputError, match="smoothing must not exceed"):
        Soap.make(cutoff=3.0, smoothing=4.0)
