"""What is odd about the frames that somebody brings."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from bloomery.frames.census import (
    coinciding,
    contradictions,
    facts,
    far_energies,
    isolated_atoms,
    oddities,
    told_labels,
)
from bloomery.frames.configurations import Configurations


def rattled(n: int, size: int = 1) -> list[Atoms]:
    """Rattled copper with the labels of EMT."""
    frames = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True).repeat((size, 1, 1))
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    return frames


def with_labels(atoms: Atoms, energy: float, forces: np.ndarray | None = None, **info: object) -> Atoms:
    """Copy of atoms with other labels."""
    made = atoms.copy()
    made.info |= info
    results = {"energy": energy} | ({} if forces is None else {"forces": forces})
    made.calc = SinglePointCalculator(made, **results)
    return made


def test_a_frame_that_is_labelled_twice_is_found() -> None:
    frames = rattled(4)
    again = with_labels(frames[1], frames[1].get_potential_energy() + 0.04, frames[1].get_forces())
    same = with_labels(frames[2], frames[2].get_potential_energy(), frames[2].get_forces())
    found = contradictions(Configurations.from_atoms([*frames, same, again]))
    assert [(one.first, one.second, one.label) for one in found] == [(1, 5, "energy")]
    assert found[0].difference == pytest.approx(0.01)
    turned = with_labels(frames[0], frames[0].get_potential_energy(), -frames[0].get_forces())
    (only,) = contradictions(Configurations.from_atoms([*frames, turned]))
    assert only.label == "forces"


@pytest.mark.parametrize("off", [500.0, -60.0])
def test_an_energy_that_is_far_out_is_found(off: float) -> None:
    frames = rattled(20) + rattled(10, size=2)
    frames[7] = with_labels(frames[7], frames[7].get_potential_energy() + off)
    assert far_energies(Configurations.from_atoms(frames)) == [7]


def test_what_a_composition_explains_is_not_far_out() -> None:
    """Energies of several elements, and of single atoms, differ by thousands of eV."""
    generator = np.random.default_rng(0)
    frames = [
        with_labels(made, made.numbers.sum() * -300.0 + generator.normal(scale=0.05))
        for made in (molecule(name) for name in ("H2O", "CO2", "CH4", "C2H6", "H2", "O2", "CH3OH") for _ in range(4))
    ]
    single = with_labels(Atoms("H", positions=[[0, 0, 0]]), 12.0)
    assert far_energies(Configurations.from_atoms([*frames, single])) == []


def test_forces_that_were_not_computed_are_told_and_those_of_a_crystal_are_not() -> None:
    zero = [with_labels(atoms, 0.0, np.zeros((4, 3))) for atoms in rattled(3)]
    assert any("the forces of 3 frames of 3 are zero" in text for text in oddities(Configurations.from_atoms(zero)))
    crystals = [with_labels(bulk("Cu", "fcc", a=a), -a, np.zeros((1, 3))) for a in (3.5, 3.6, 3.7)]
    diamond = [with_labels(bulk("Si", "diamond", a=a), -a, np.zeros((2, 3))) for a in (5.4, 5.5)]
    assert not list(oddities(Configurations.from_atoms(crystals + diamond)))


def test_atoms_that_coincide_through_the_boundary_are_found() -> None:
    frames = rattled(3)
    frames[2].positions[1] = frames[2].positions[0] + frames[2].cell[0]
    found = coinciding(Configurations.from_atoms([atoms.copy() for atoms in frames]))
    assert found is not None
    assert found[0] == 2
    assert "atoms 0 (Cu) and 1 (Cu) are 0.00 Å apart" in found[1]
    assert coinciding(Configurations.from_atoms(frames[:2])) is None


def test_isolated_atoms_are_those_that_are_named_so() -> None:
    atom = Atoms("Cu", positions=[[0, 0, 0]])
    named = with_labels(atom, 3.5, config_type="IsolatedAtom")
    other = with_labels(atom, 9.9, config_type="bulk")
    assert isolated_atoms(Configurations.from_atoms([other, named])) == {"Cu": 3.5}
    assert isolated_atoms(Configurations.from_atoms([other])) == {}


def test_what_there_is_is_told() -> None:
    frames = rattled(3)
    for atoms, group in zip(frames, ("bulk", "bulk", "melt"), strict=True):
        atoms.info["config_type"] = group
    found = Configurations.from_atoms([*frames, molecule("H2O")])
    assert told_labels(found) == "3 with energy, 3 with forces, 3 with stress; bulk 2, melt 1"
    told = facts(found)
    assert told["frames"] == "4"
    assert told["atoms a frame"] == "3 to 4"
    assert told["elements"] == "H 2, O 1, Cu 12"
    assert told["periodic"] == "3 along 3 axes, 1 not at all"
    assert told["groups"] == "bulk 2, melt 1"
    assert told["duplicates"] == "none"
