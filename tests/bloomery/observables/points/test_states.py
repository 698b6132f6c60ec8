"""What observables want labelled is in the state of the structure that it is made of."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin


@pytest.mark.parametrize("name", ["elastic", "equation_of_state", "frequencies"])
def test_strained_and_displaced_frames_keep_the_state(name: str) -> None:
    atoms = bulk("Si") if name in {"elastic", "equation_of_state"} else molecule("C2H6")
    structure = Configurations.from_atoms([atoms]).with_states(charge=1, spin=2, masses=20.0)
    wanted = load_plugin("observables", name).make().wanted_frames(structure)
    assert len(wanted) > 1
    assert set(wanted.state_keys()) == set(structure.state_keys())
    assert set(wanted.masses) == {20.0}


def test_supercells_of_phonons_have_as_many_times_the_state() -> None:
    phonons = load_plugin("observables", "phonons")
    pytest.importorskip("phonopy")
    rock = bulk("NaCl", "rocksalt", a=5.6)
    rock.set_initial_magnetic_moments([1.0, -1.0])
    rock.info["charge"] = 1
    wanted = phonons.make(supercell=(2, 1, 1)).wanted_frames(Configurations.from_atoms([rock]))
    assert set(wanted.states["charge"]) == {2.0}
    np.testing.assert_array_equal(wanted.states["initial_magmoms"], np.where(wanted.numbers == 11, 1.0, -1.0))


def test_a_slab_has_not_the_charge_of_its_crystal() -> None:
    structure = Configurations.from_atoms([bulk("Cu", cubic=True)]).with_states(charge=1)
    with pytest.raises(InputError, match="says charge 1, which frames made of other atoms cannot inherit"):
        load_plugin("observables", "defects").make().wanted_frames(structure)
