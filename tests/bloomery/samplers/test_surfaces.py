"""Slabs."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.samplers.surfaces import Surfaces


def missing_bonds(frames: Configurations) -> float:
    """Bonds that silicon atoms lack, per area of both surfaces, in 1/Å^2."""
    bonds = len(find_neighbours(frames, 2.6))
    area = np.linalg.norm(np.cross(frames.cells[0, 0], frames.cells[0, 1]))
    return (4 * frames.n_atoms - bonds) / (2 * area)


@pytest.mark.parametrize(
    ("plane", "shift", "cut_bonds"),
    [
        # Bonds that a plane cuts, per area of the (1 x 1) cell in units of a^2, known from the diamond lattice:
        # (100) cuts two bonds of one atom per a^2/2; (110) two atoms with one each per a^2/sqrt(2); (111) one per
        # a^2 sqrt(3)/4 between double layers, and three within one.
        ((1, 0, 0), 0.0, 4.0),
        ((1, 1, 0), 0.0, 2 * np.sqrt(2)),
        ((1, 1, 1), 0.875, 4 / np.sqrt(3)),
        ((1, 1, 1), 0.125, 12 / np.sqrt(3)),
    ],
)
def test_dangling_bonds_of_silicon(plane: tuple[int, int, int], shift: float, cut_bonds: float) -> None:
    crystal = Configurations.from_atoms([bulk("Si", cubic=True)])
    frames, _ = Surfaces.make(planes=[plane], shifts=[shift], layers=4).sample(crystal)
    assert missing_bonds(frames) * 5.43**2 == pytest.approx(cut_bonds, rel=1e-3)


def test_vacuum_is_as_wide_as_asked_for(silicon: Configurations) -> None:
    frames, _ = Surfaces.make(vacuum=12.0).sample(silicon[[0]])
    assert len(frames) == 3
    for atoms in frames.to_atoms():
        assert atoms.pbc.all()
        height = atoms.cell.volume / np.linalg.norm(np.cross(*atoms.cell.array[:2]))
        assert height - np.ptp(atoms.positions[:, 2]) == pytest.approx(12.0, abs=1e-6)


def test_density_inside_is_that_of_the_crystal(silicon: Configurations) -> None:
    thin, _ = Surfaces.make(planes=[(1, 1, 0)], layers=3).sample(silicon[[0]])
    thick, _ = Surfaces.make(planes=[(1, 1, 0)], layers=6).sample(silicon[[0]])
    gained = (thick.n_atoms - thin.n_atoms) / (thick.volumes[0] - thin.volumes[0])
    assert gained == pytest.approx(8 / silicon.volumes[0], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"planes": [(0, 0, 0)]}, "no Miller indices"),
        ({"frames": 3}, "would be equal without a rattle"),
        ({"vacuum": 0}, "surfaces.vacuum"),
        ({"shifts": [1.2]}, "surfaces.shifts"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Surfaces.make(**settings)


def test_a_molecule_has_no_surface() -> None:
    with pytest.raises(InputError, match="starting structure 0 is not periodic in all directions"):
        Surfaces.make().sample(Configurations.from_atoms([molecule("H2O")]))
