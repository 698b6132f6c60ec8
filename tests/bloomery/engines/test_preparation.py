"""What is done to frames before a code of another group sees them."""

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.engines.contract import TrainingData
from bloomery.engines.preparation import (
    boxed,
    closed_or_open,
    energies_above_lowest,
    member_frames,
    prepare,
)
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.reference.calculators import CalculatorSpec
from bloomery.testing.frames import odd_frames


def test_boxed_frames_have_the_forces_of_the_frames_as_they_were() -> None:
    """EMT looks no farther than 9 Å for aluminium and knows all kinds of periodicity itself."""
    for atoms in odd_frames(["Al"]).to_atoms():
        if not len(atoms):
            continue
        full = boxed(atoms, 12.0)
        assert full.pbc.all()
        assert np.linalg.det(full.cell.array) > 0
        for frame in (atoms, full):
            frame.calc = CalculatorSpec(name="emt").make()
        np.testing.assert_allclose(full.get_forces(), atoms.get_forces(), atol=1e-9)
        assert full.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


def test_a_box_keeps_the_cell_vectors_of_periodic_directions() -> None:
    slab = ase.Atoms("Al2", positions=[[0, 0, 0], [1, 1, 2.0]], cell=[[3, 0, 0], [1, 3, 0], [0, 0, 1.0]], pbc=[1, 1, 0])
    full = boxed(slab, 10.0)
    np.testing.assert_array_equal(full.cell.array[:2], slab.cell.array[:2])
    assert full.cell.array[2] @ [0, 0, 1] == pytest.approx(2.0 + 10.0 + 1.0)
    assert boxed(molecule("H2O"), 5.0).cell.volume > 5.0**3


def test_every_frame_is_seen_by_its_share_of_the_members() -> None:
    hashes = [f"frame {index}" for index in range(50)]
    seen = member_frames(hashes, 5, 0.8, seed=3)
    assert (seen.sum(axis=0) == 4).all()
    assert len(np.unique(seen, axis=1).T) > 1
    np.testing.assert_array_equal(member_frames(hashes[10:20], 5, 0.8, seed=3), seen[:, 10:20])
    assert member_frames(hashes, 1, 0.1, seed=3).all()
    assert (member_frames(hashes, 5, 0.8, seed=4) != seen).any()


@pytest.mark.parametrize(("members", "share"), [(2, 0.75), (2, 0.8), (4, 0.9)])
def test_members_of_a_small_committee_see_different_frames(members: int, share: float) -> None:
    """Or a trainer that does the same with every seed would make two potentials that never disagree."""
    seen = member_frames([f"frame {index}" for index in range(1000)], members, share, seed=3)
    assert seen.any(axis=0).all()
    # Four standard deviations of a thousand draws.
    assert seen.mean() == pytest.approx(share, abs=4 * 0.5 / 1000**0.5 / members)
    assert all(member_frames(["alone"], members, share, seed).all() for seed in range(20))


def test_frames_that_say_nothing_are_left_out(silicon: Configurations) -> None:
    bare = silicon[:1].without_labels()
    foreign = Configurations.from_atoms([ase.Atoms("C")]).with_labels(energy=[1.0])
    train = Configurations.concatenate([silicon[1:4], bare])
    early = Configurations.concatenate([silicon[4:6], foreign, bare])
    prepared = prepare(TrainingData(train, early, {"Si": -4.0, "C": 0.0}))
    assert (len(prepared.train), len(prepared.early_stopping), prepared.elements) == (3, 2, ["Si"])
    assert prepared.energy_reference == {"Si": -4.0}
    with pytest.raises(InputError, match="no value for Si"):
        prepare(TrainingData(train, early, {}))


def test_slabs_are_boxed_and_other_frames_are_left_as_they_are() -> None:
    crystal, cluster, slab = bulk("Si"), molecule("H2O"), bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    assert closed_or_open(crystal, 5.0) is crystal
    assert closed_or_open(cluster, 5.0) is cluster
    boxes = closed_or_open(slab, 5.0)
    assert boxes.pbc.all()
    assert boxes.cell.lengths()[2] > np.ptp(slab.positions[:, 2]) + 5.0


def test_energies_above_the_lowest_of_their_composition() -> None:
    """Cells of one compound are compared per atom; without an energy, or anything to compare it with, all is cold."""
    symbols = ["Si2", "Si4", "SiC", "Si2C2", "Si2", "C2"]
    frames = Configurations.from_atoms([ase.Atoms(name) for name in symbols])
    energies = [-10.0, -16.0, -14.0, -30.0, 0.0, -5.0]
    labelled = frames.with_labels(energy=energies, masks={"energy": [True, True, True, True, False, True]})
    np.testing.assert_allclose(energies_above_lowest(labelled), [0.0, 1.0, 0.5, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(energies_above_lowest(labelled, 3), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    assert not energies_above_lowest(frames).any()
