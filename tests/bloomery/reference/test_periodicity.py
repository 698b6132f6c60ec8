"""Calculators that take a slab for a crystal are not given one."""

import numpy as np
import pytest
from ase import Atoms

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.reference.calculators import CalculatorSpec

SHAPES = ([True, True, True], [False, False, False], [True, True, False])


def slabs(*periodic: list[bool], vacuum: float = 16.0) -> Configurations:
    """Four atoms in two layers, with vacuum in Å."""
    places = [[0, 0, 0], [2.7, 2.7, 0.2], [1.35, 1.35, 1.3], [4.05, 4.05, 1.5]]
    return Configurations.from_atoms(
        [Atoms("Si4", places, cell=[5.43, 5.43, 1.5 + vacuum], pbc=pbc) for pbc in periodic]
    )


def test_slabs_are_refused_for_a_calculator_that_knows_crystals_alone() -> None:
    spec = CalculatorSpec.model_validate("tblite.ase:TBLite")
    with pytest.raises(
        InputError, match=r"slabs: frame 2: is periodic along some .* give it pbc='T T T', with as much"
    ):
        spec.check_frames(slabs(*SHAPES), "slabs: ")
    spec.check_frames(slabs(*SHAPES[:2]))
    CalculatorSpec.model_validate("lj").check_frames(slabs(*SHAPES))


def test_tblite_takes_a_slab_for_a_crystal() -> None:
    """What it is listed for: once this fails, take it off the list."""
    ase_module = pytest.importorskip("tblite.ase")
    found = []
    for pbc, vacuum in ((SHAPES[2], 4.0), (SHAPES[0], 4.0), (SHAPES[0], 16.0)):
        (slab,) = slabs(pbc, vacuum=vacuum).to_atoms()
        slab.calc = ase_module.TBLite(method="GFN1-xTB", verbosity=0)
        found.append(slab.get_potential_energy())
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert abs(found[0] - found[2]) > 0.1


def test_ours_know_slabs() -> None:
    for name in ("lj", "stillinger_weber"):
        labelled, _ = CalculatorLabeller.make(calculator=name).label(slabs(*SHAPES, vacuum=1.0))
        assert len(np.unique(labelled.label("energy")[0].round(6))) == 3
