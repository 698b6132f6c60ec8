"""Point defects."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.defects import Defects, voronoi_sites


@pytest.fixture
def alloy() -> Configurations:
    """Zinc blende, eight atoms."""
    return Configurations.from_atoms([bulk("SiC", "zincblende", a=4.36, cubic=True)]).snapped()


def test_interstitial_sites_of_diamond_are_the_known_ones() -> None:
    """Tetrahedral site: a sqrt(3)/4 from four atoms; hexagonal: a sqrt(11)/8 from six. 8 and 16 of them in the cube."""
    atoms = bulk("Si", cubic=True)
    sites, sorts = voronoi_sites(atoms)
    distances = np.linalg.norm((delta := (sites[:, None] - atoms.positions) / 5.43) - np.rint(delta), axis=2).min(
        axis=1
    )
    tetrahedral = np.isclose(distances, np.sqrt(3) / 4, atol=1e-3)
    hexagonal = np.isclose(distances, np.sqrt(11) / 8, atol=1e-3)
    assert (tetrahedral | hexagonal).all()
    assert tetrahedral.sum() == 8
    assert hexagonal.sum() == 16
    assert len(set(sorts[tetrahedral].tolist())) == 1


def test_octahedral_and_tetrahedral_holes_of_fcc() -> None:
    """The close-packed cube of four atoms has four octahedral holes, at a/2, and eight tetrahedral, at a sqrt(3)/4."""
    sites, sorts = voronoi_sites(bulk("Cu", cubic=True))
    assert sorted(np.bincount(sorts).tolist()) == [4, 8]
    assert len(sites) == 12


def test_numbers_of_atoms(silicon: Configurations) -> None:
    vacancies, _ = Defects.make(kinds=["vacancy"], frames=4, defects=2).sample(silicon)
    assert set(vacancies.counts.tolist()) == {6}
    interstitials, _ = Defects.make(kinds=["interstitial"], frames=4, interstitials=["C"]).sample(silicon)
    assert set(interstitials.counts.tolist()) == {9}
    assert (interstitials.numbers == 6).sum() == 8


def test_kinds_take_turns(silicon: Configurations) -> None:
    frames, report = Defects.make(frames=5).sample(silicon[[0]])
    assert frames.counts.tolist() == [7, 7, 7, 9, 9]
    assert [entry["recipe"] for entry in report.trajectories] == ["vacancy", "interstitial"]


def test_substitutions_and_swaps_keep_the_lattice(alloy: Configurations) -> None:
    frames, _ = Defects.make(kinds=["substitution"], frames=6, substitutions={"Si": ["Ge", "C"]}).sample(alloy)
    assert ((frames.numbers.reshape(6, 8) != alloy.numbers).sum(axis=1) == 1).all()
    swapped, _ = Defects.make(kinds=["swap"], frames=6).sample(alloy)
    assert ((swapped.numbers.reshape(6, 8) != alloy.numbers).sum(axis=1) == 2).all()
    np.testing.assert_array_equal(np.sort(swapped.numbers.reshape(6, 8)), np.tile(np.sort(alloy.numbers), (6, 1)))


def test_elements_that_settings_bring_in_are_told() -> None:
    assert Defects.make(kinds=["substitution"], substitutions={"Si": ["Ge", "C"]}).new_elements() == ["C", "Ge"]
    assert Defects.make(kinds=["vacancy"], interstitials=["Li"]).new_elements() == []


def test_no_atom_is_put_on_top_of_another(silicon: Configurations) -> None:
    frames, report = Defects.make(kinds=["interstitial"], frames=10, rattle=0.15, min_distance=1.9).sample(silicon)
    assert report.numbers["drawn"] > 20
    for atoms in frames.to_atoms():
        distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
        assert distances.min() >= 1.9 - 1e-9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ["hole"]}, "defects.kinds"),
        ({"kinds": ["substitution"]}, "substitutions is empty"),
        ({"interstitials": ["Xy"]}, "Xy"),
        ({"defects": 0}, "defects.defects"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Defects.make(**settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ["vacancy"], "defects": 8}, "starting structure 0 has 8 atoms in its supercell, too few for 8"),
        ({"kinds": ["swap"]}, "starting structure 0 holds one element alone"),
        ({"kinds": ["substitution"], "substitutions": {"C": ["N"]}}, "has 0 atoms of C"),
    ],
)
def test_structures_without_a_place_are_refused(
    settings: dict[str, object], sentence: str, silicon: Configurations
) -> None:
    with pytest.raises(InputError, match=sentence):
        Defects.make(**settings).sample(silicon)


def test_a_molecule_has_no_interstitial_site() -> None:
    with pytest.raises(InputError, match="starting structure 0 is not periodic in all directions"):
        Defects.make(kinds=["interstitial"]).sample(Configurations.from_atoms([molecule("H2O")]))
