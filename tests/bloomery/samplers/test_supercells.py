"""Supercells."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.supercells import Supercells


@pytest.mark.slow
def test_every_shape_is_made_at_every_strain(primitive: Configurations) -> None:
    sampler = Supercells.make(repeats=[(1, 1, 1), (2, 1, 3)], sizes=[4], strains=[-0.02, 0.01])
    frames, report = sampler.sample(primitive)
    assert frames.counts.tolist() == [2, 2, 12, 12, 8, 8]
    assert len(report.trajectories) == sampler.plan(1)["frames"] == 6
    cell = primitive.volumes[0] / 2
    np.testing.assert_allclose(frames.volumes / frames.counts, cell * np.array([0.98, 1.01] * 3) ** 3, rtol=1e-6)


@pytest.mark.slow
def test_four_primitive_cells_of_diamond_make_the_cube(primitive: Configurations) -> None:
    """The conventional cell of silicon is a cube of four primitive ones."""
    frames, _ = Supercells.make(repeats=[], sizes=[4]).sample(primitive)
    cell = frames.to_atoms()[0].cell
    np.testing.assert_allclose(cell.lengths(), bulk("Si", cubic=True).cell.lengths(), rtol=1e-6)
    np.testing.assert_allclose(cell.angles(), 90, atol=1e-4)


def test_rattled_copies_differ(primitive: Configurations) -> None:
    frames, _ = Supercells.make(repeats=[(2, 2, 2)], frames=3, rattle=0.02).sample(primitive)
    assert len(set(frames.hashes())) == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frames": 2}, "would be equal without a rattle"),
        ({"repeats": []}, "repeats and sizes are both empty"),
        ({"repeats": [(0, 1, 1)]}, "supercells.repeats"),
        ({"strains": []}, "supercells.strains"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Supercells.make(**settings)


def test_a_molecule_has_no_supercell() -> None:
    with pytest.raises(InputError, match="starting structure 0 is not periodic"):
        Supercells.make().sample(Configurations.from_atoms([molecule("H2O")]))
