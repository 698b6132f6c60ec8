"""States of frames: what they are, which are none, what they do to hashes, and how they travel."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bloomery.errors import DataWarning, InputError
from bloomery.frames.census import facts
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import (
    STATES,
    exchange,
    find_states,
    forget,
    is_of_elements,
    repeated,
    state_name,
    states_of,
    without_heir,
)
from bloomery.testing.frames import odd_frames

BEFORE = [
    "a2b55d858c8bfac74f233c15e7d05e80", "9f254817bea6e2d986002bf9acee0480", "edd20782ac43d22c3b5e0cc6a223814a",
    "34eedc4eb289093cf3c343450d24d384", "66abea98d9cf7584c39e0339e47c7fcd", "c0481786f2b7197faebc1097540d74a5",
    "d794bcdf9f393f75617a7ce2dc47ffc4",
]  # fmt: skip
"""Content hashes of frames, computed before there were states."""
WATER = "881b261f4c7641b0133ee9ca13ccdfb2"
DIGEST = "ca2146506cdbbd39b5908003fdbfc93a"


def water(**info: Any) -> ase.Atoms:
    atoms = molecule("H2O")
    atoms.info |= info
    return atoms


def of(*atoms: ase.Atoms) -> Configurations:
    return Configurations.from_atoms(atoms)


@st.composite
def states(draw: st.DrawFn) -> Configurations:
    """Draw a few frames, each of which says what it likes of its state, as far as that can be."""
    frames = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 4))
        numbers = draw(st.lists(st.sampled_from([1, 6, 8, 26]), min_size=n, max_size=n))
        places = draw(arrays(float, (n, 3), elements=st.floats(-9, 9, width=32)))
        atoms = ase.Atoms(numbers=numbers, positions=places)
        electrons = sum(numbers)
        charge = draw(st.integers(-2, electrons - 1))
        if draw(st.booleans()):
            atoms.info["charge"] = charge
            electrons -= charge
        if draw(st.booleans()):
            spin = draw(st.integers(0, min(electrons, 6) // 2)) * 2 + (1 if electrons % 2 == 0 else 2)
            atoms.info["spin"] = min(spin, electrons + 1)
            if draw(st.booleans()):
                atoms.info["tot_magnetization"] = draw(st.sampled_from([-1, 1])) * (atoms.info["spin"] - 1)
        if draw(st.booleans()):
            atoms.info["electronic_temperature"] = draw(st.floats(0, 1e4))
        if draw(st.booleans()):
            atoms.set_initial_magnetic_moments(draw(arrays(float, n, elements=st.floats(-5, 5, width=32))))
        if draw(st.booleans()):
            atoms.set_masses(draw(arrays(float, n, elements=st.floats(0.5, 300, width=32))))
        frames.append(atoms)
    return Configurations.from_atoms(frames).snapped()


fast = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# -- hashes -----------------------------------------------------------------------------------------------------------


def test_frames_without_a_state_have_the_hashes_that_they_had() -> None:
    frames = odd_frames(["Si", "C"], seed=3)
    assert frames.hashes() == BEFORE
    assert frames.digest() == DIGEST
    assert of(water()).hashes() == [WATER]
    assert frames.without_states().digest() == frames.with_states(charge=0).without_states().digest() == DIGEST


@pytest.mark.parametrize(
    "info",
    [
        {"charge": 1},
        {"charge": -1},
        {"charge": 0.5},
        {"spin": 1},
        {"spin": 3},
        {"tot_magnetization": 0},
        {"electronic_temperature": 0},
        {"electronic_temperature": 300},
    ],
)
def test_what_is_said_counts(info: dict[str, float]) -> None:
    frames = of(water(), water(**info))
    assert frames.hashes()[0] == WATER
    assert frames.hashes()[1] != WATER
    assert frames.state_of(1) == info


def test_states_are_told_apart() -> None:
    """One state's number is not taken for another's, nor one atom's moment for the next one's."""
    said: list[dict[str, float]] = [
        {"charge": 2}, {"tot_magnetization": 2}, {"spin": 3}, {"electronic_temperature": 2}, {"charge": -2},
    ]  # fmt: skip
    frames = [water(**info) for info in said]
    for moments in ([2, 0, 0], [0, 2, 0], [0, 0, 2], [2, 0, 2]):
        atoms = water()
        atoms.set_initial_magnetic_moments(moments)
        frames.append(atoms)
    assert len(set(of(*frames).hashes())) == len(frames) == len(set(of(*frames).state_keys()))


def test_zero_charge_and_moments_that_are_zero_are_kept_and_do_not_count() -> None:
    """What every method takes where nothing is said; see the page of `bloomery.frames.states`."""
    still = water()
    still.set_initial_magnetic_moments([0, 0, 0])
    frames = of(water(), water(charge=0), water(charge=-0.0), water(charge=1e-9), still)
    assert set(frames.hashes()) == {WATER}
    assert frames.state_keys() == [""] * 5
    assert frames.stated["charge"].tolist() == [False, True, True, True, False]
    assert frames.stated["initial_magmoms"].tolist() == [False] * 4 + [True]


def test_masses_are_no_part_of_the_content() -> None:
    heavy = water()
    heavy.set_masses([15.999, 2.014, 2.014])
    frames = of(water(), heavy)
    assert frames.hashes() == [WATER] * 2
    assert frames.state_keys() == ["", ""]
    np.testing.assert_allclose(frames.masses, [15.999, 1.008, 1.008, 15.999, 2.014, 2.014])


def test_masses_of_the_elements_are_left_to_them() -> None:
    light = water()
    light.set_masses(light.get_masses() + 1e-4)
    assert not of(light).states
    assert is_of_elements(np.array([1.008]), np.array([1]))
    assert not is_of_elements(np.array([np.nan]), np.array([1]))


@fast
@given(states(), st.integers(0, 2**31))
def test_rounding_and_other_frames_have_no_say_in_a_hash(frames: Configurations, seed: int) -> None:
    moved = {
        name: values + np.random.default_rng(seed).uniform(-1e-8, 1e-8, len(values)) * (name != "spin")
        for name, values in frames.states.items()
        if name not in {"masses", "tot_magnetization", "electronic_temperature"}
    }
    shaken = frames.with_states(stated=frames.stated, **moved) if moved else frames
    assert shaken.hashes() == frames.hashes()
    assert [frame.hashes()[0] for frame in frames] == frames.hashes()
    assert Configurations.concatenate([frames, frames]).hashes() == 2 * frames.hashes()
    assert frames[::-1].hashes() == frames.hashes()[::-1]


# -- travelling -------------------------------------------------------------------------------------------------------


def same(first: Configurations, second: Configurations) -> None:
    assert first.hashes() == second.hashes()
    assert {*first.states} == {*second.states}
    for name in first.states:
        np.testing.assert_array_equal(first.stated[name], second.stated[name])
        np.testing.assert_allclose(first.states[name], second.states[name], atol=1e-7, rtol=1e-12)


@fast
@given(states())
def test_states_come_back_from_every_file_of_ours(tmp_path: Path, frames: Configurations) -> None:
    frames.write_extxyz(tmp_path / "a.extxyz")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        same(Configurations.read(tmp_path / "a.extxyz"), frames)
    buffer = io.BytesIO()
    frames.save(buffer)
    buffer.seek(0)
    found = Configurations.load(buffer)
    same(found, frames)
    assert found.digest() == frames.digest()
    same(Configurations.from_atoms(frames.to_atoms()), frames)
    same(frames.in_files(tmp_path), frames)


@fast
@given(states(), states())
def test_frames_with_and_without_states_stand_together(first: Configurations, second: Configurations) -> None:
    bare = odd_frames(["Si", "C"], seed=3)
    joined = Configurations.concatenate([first, bare, second])
    assert joined.hashes() == [*first.hashes(), *bare.hashes(), *second.hashes()]
    np.testing.assert_array_equal(joined.masses, np.concatenate([first.masses, bare.masses, second.masses]))
    between = joined[len(first) : len(first) + len(bare)]
    assert between.digest() == DIGEST
    same(joined[: len(first)], first)
    assert joined.snapped().hashes() == joined.hashes()


def test_a_file_keeps_what_only_some_frames_say(tmp_path: Path) -> None:
    moments = water(spin=3)
    moments.set_initial_magnetic_moments([2, 0, 0])
    frames = of(water(), water(charge=1, spin=2), moments, water(charge=0))
    frames.write_extxyz(tmp_path / "a.extxyz")
    text = (tmp_path / "a.extxyz").read_text()
    assert "charge=1 spin=2" in text
    assert text.count("initial_magmoms") == 1
    found = Configurations.read(tmp_path / "a.extxyz")
    same(found, frames)
    assert found.info == {}


def test_h5md_keeps_states(tmp_path: Path) -> None:
    """Its own writer keeps a total charge where charges of atoms are."""
    znh5md = pytest.importorskip("znh5md")
    heavy = water(charge=1, spin=2)
    heavy.set_initial_magnetic_moments([1.0, 0.0, 0.0])
    heavy.set_masses([15.999, 2.014, 2.014])
    atoms = [heavy, water(), water(charge=-1)]
    znh5md.write(str(tmp_path / "a.h5"), atoms)
    same(Configurations.read(tmp_path / "a.h5"), of(*atoms))


def test_an_archive_from_before_is_read_unchanged(tmp_path: Path) -> None:
    """A charge that stayed with a frame, and was not treated, is still none; it reaches files, and no calculator."""
    arrays_before = of(water()).to_arrays() | {"info:charge": np.array([1])}
    np.savez(tmp_path / "old.npz", **arrays_before)
    old = Configurations.load(tmp_path / "old.npz")
    assert old.hashes() == [WATER]
    assert old.info["charge"].tolist() == [1]
    assert not old.states
    assert "charge" not in old.to_atoms()[0].info
    old.write_extxyz(tmp_path / "new.extxyz")
    assert Configurations.read(tmp_path / "new.extxyz").state_of(0) == {"charge": 1}


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        ("state:charge", np.zeros(2), "shape"),
        ("state:charge", np.array(["a"]), "shape"),
        ("state:colour", np.zeros(1), "state:colour is no state that is known"),
        ("stated:charge", None, "stated:charge is missing"),
        ("state:charge", None, "stated:charge is missing"),
        ("state:charge", np.array([np.inf]), "frame 0: charge: is inf, which is not finite"),
        ("state:charge", np.array([99.0]), "frame 0: charge: is 99, more than the nuclei have"),
    ],
)
def test_archives_with_odd_states_are_refused(tmp_path: Path, name: str, array: Any, problem: str) -> None:
    content = of(water(charge=1)).to_arrays()
    if array is None:
        del content[name]
    else:
        content[name] = array
        content.setdefault(name.replace("state:", "stated:"), np.ones(1, dtype=bool))
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=problem) as refused:
        Configurations.load(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(refused.value)


# -- reading ----------------------------------------------------------------------------------------------------------


def written(path: Path, comment: str, columns: str = "", values: str = "") -> Path:
    """Write two frames of hydrogen fluoride, the second with more in its comment, and more columns."""
    rows = "".join(f"{symbol} 0 0 {z} {values}\n" for symbol, z in (("H", 0), ("F", 0.9)))
    path.write_text(
        f'2\nProperties=species:S:1:pos:R:3 pbc="F F F"\nH 0 0 0\nF 0 0 0.9\n'
        f'2\nProperties=species:S:1:pos:R:3{columns} pbc="F F F" {comment}\n{rows}'
    )
    return path


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("spin=1.5", "spin: is 1.5, and a multiplicity 2S+1 is a whole number"),
        ("spin=-1", "spin: is -1, and a multiplicity 2S+1 is 1 or more"),
        ("spin=2", "spin: is 2, which the number of electrons at this charge does not allow"),
        ("charge=1 spin=1", "spin: is 1, which the number of electrons at this charge does not allow"),
        ("spin=13", "spin: is 13, more than the electrons allow"),
        ("spin=T", "spin: is a truth value"),
        ('charge="one"', "charge: is the text 'one'"),
        ("charge=nan", "charge: is nan, which is not finite"),
        ("charge=-inf", "charge: is -inf, which is not finite"),
        ("charge=1e9", "charge: is 1e+09, which is not finite, or beyond"),
        ("charge=11", "charge: is 11, more than the nuclei have"),
        ('charge="0.1 -0.1"', "charge: is 2 numbers, where a frame has one"),
        ("charge=1 total_charge=0", "charge: is 1, and total_charge is 0; keep one of them"),
        ("multiplicity=1 spin=3", "multiplicity: is 1, and spin is 3; keep one of them"),
        ("spin=3 tot_magnetization=1", "tot_magnetization: is 1, and spin, which is 2S+1, says that it is"),
        ("tot_magnetization=11", "tot_magnetization: is 11, more than the electrons allow"),
        ("electronic_temperature=-5", "electronic_temperature: is -5 K, below zero"),
        ('initial_magmoms="1 2 3"', "initial_magmoms: is 3 number(s) for 2 atoms"),
        ('initial_magmoms="1 nan"', "initial_magmoms of atom 1: is nan, which is not finite"),
        ('masses="1 -2"', "masses of atom 1: is -2 u, and masses are above zero"),
    ],
)
def test_states_that_cannot_be_are_refused_with_file_frame_and_key(tmp_path: Path, comment: str, problem: str) -> None:
    path = written(tmp_path / "a.extxyz", comment)
    with pytest.raises(InputError, match=re.escape(problem)) as refused:
        Configurations.read(path)
    assert str(refused.value).startswith(f"{path}: frame 1: ")
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("columns", "values", "problem"),
    [
        (":initial_magmoms:R:3", "0 0 1", "is three numbers an atom, which are moments that are not collinear"),
        (":initial_magmoms:L:1", "T", "is a truth value"),
        (":initial_magmoms:S:1", "up", "which is no number"),
        (":masses:R:1", "0", "masses of atom 0: is 0 u"),
    ],
)
def test_columns_that_cannot_be_are_refused(tmp_path: Path, columns: str, values: str, problem: str) -> None:
    path = written(tmp_path / "a.extxyz", "", columns, values)
    with pytest.raises(InputError, match=f"frame 1: .*{problem}"):
        Configurations.read(path)


@pytest.mark.parametrize(
    ("comment", "state"),
    [
        ("total_charge=1 multiplicity=2", {"charge": 1, "spin": 2}),
        ("Charge=-1 SPIN=2", {"charge": -1, "spin": 2}),
        ("charge=1 total_charge=1.0 spin_multiplicity=2 total_spin=2", {"charge": 1, "spin": 2}),
        ("spin=3 tot_magnetization=-2", {"spin": 3, "tot_magnetization": -2}),
        ("charge=0.5 spin=2", {"charge": 0.5, "spin": 2}),
    ],
)
def test_states_are_read_under_the_names_of_the_field(tmp_path: Path, comment: str, state: dict[str, float]) -> None:
    found = Configurations.read(written(tmp_path / "a.extxyz", comment))
    assert found.state_of(0) == {}
    assert found.state_of(1) == state
    assert found.info == {}


def test_a_spin_of_zero_is_read_as_not_known(tmp_path: Path) -> None:
    """As fairchem writes it; it is told, since others mean 2S by it."""
    with pytest.warns(DataWarning, match=r"spin is 0 in frame 1, which is no multiplicity 2S\+1"):
        found = Configurations.read(written(tmp_path / "a.extxyz", "spin=0 charge=1"))
    assert found.state_of(1) == {"charge": 1}


@pytest.mark.parametrize("column", ["initial_charges", "spin"])
def test_columns_of_atoms_are_no_total_charge(tmp_path: Path, column: str) -> None:
    path = written(tmp_path / "a.extxyz", "", f":{column}:R:1", "0.4")
    with pytest.warns(DataWarning, match=f"{column} of frame 1 are left out"):
        assert not Configurations.read(path).states


@pytest.mark.parametrize("column", ["charges", "charge"])
def test_partial_charges_of_atoms_are_labels(tmp_path: Path, column: str) -> None:
    """ASE reads a column ``charge`` as ``charges``; no total charge follows."""
    found = Configurations.read(written(tmp_path / "a.extxyz", "", f":{column}:R:1", "0.4"))
    assert not found.states
    assert found.has("charges").tolist() == [False, True]
    assert set(found.label("charges")[0][found.frame_of_atom == 1]) == {0.4}


def test_what_is_in_a_frame_is_told() -> None:
    told = facts(of(water(charge=1, spin=2), water(charge=-1), water()))["states"]
    assert told == "charge -1 to 1 e in 2, spin 2 in 1"


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_states_are_given_by_hand() -> None:
    frames = of(water(), water()).with_states(charge=[1, 0], spin=2, stated={"charge": [True, False], "spin": [1, 0]})
    assert frames.state_of(0) == {"charge": 1, "spin": 2}
    assert frames.state_of(1) == {}
    assert frames.hashes() == of(water(charge=1, spin=2), water()).hashes()
    moments = frames.with_states(initial_magmoms=np.arange(6.0))
    np.testing.assert_array_equal(moments.state_of(1)["initial_magmoms"], [3, 4, 5])
    assert {*moments.without_states("charge").states} == {"spin", "initial_magmoms"}
    assert not moments.without_states().states
    assert {*frames.with_states(spin=3, charge=0, stated={"charge": [False, False]}).states} == {"spin"}


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (lambda frames: frames.with_states(colour=1), KeyError, "colour"),
        (lambda frames: frames.with_states(charge=[1, 2, 3]), ValueError, "shape"),
        (lambda frames: frames.with_states(charge=[1, 2], stated={"charge": [True]}), ValueError, "stated"),
        (lambda frames: frames.with_states(charge=True), ValueError, "numbers are wanted"),
        (lambda frames: frames.with_states(charge="1"), ValueError, "numbers are wanted"),
        (lambda frames: frames.with_states(spin=1.5), InputError, "frame 0: spin: is 1.5"),
        (lambda frames: frames.with_states(spin=0), InputError, "frame 0: spin: is 0, and a multiplicity"),
        (lambda frames: frames.with_info(charge=1), ValueError, "give it by with_states"),
        (lambda frames: frames.state("colour"), KeyError, "colour"),
    ],
)
def test_states_by_hand_are_checked(
    call: Callable[[Configurations], object], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        call(of(water(), water()))


def test_names_are_those_of_the_field() -> None:
    assert [state_name(word) for word in ("charge", "Spin", "MULTIPLICITY", "initial_charges", "magmoms")] == [
        "charge", "spin", "spin", None, None,
    ]  # fmt: skip
    assert all(kind.words[0] == name for name, kind in STATES.items())


# -- frames of others -------------------------------------------------------------------------------------------------


def test_a_repeated_cell_has_as_many_times_the_state() -> None:
    iron = bulk("Fe")
    iron.info |= {"charge": 1, "spin": 2, "electronic_temperature": 300.0}
    iron.set_initial_magnetic_moments([2.2])
    iron.set_masses([57.0])
    eight = repeated(iron, (2, 2, 2))
    assert states_of(eight).pop("initial_magmoms").tolist() == [2.2] * 8
    found = of(eight)
    assert {name: found.states[name].tolist() for name in ("charge", "spin", "electronic_temperature")} == {
        "charge": [8.0], "spin": [9.0], "electronic_temperature": [300.0],
    }  # fmt: skip
    np.testing.assert_array_equal(found.masses, 57.0)
    fixed = bulk("Fe")
    fixed.info["tot_magnetization"] = -1.5
    assert repeated(fixed, (1, 1, 3)).info["tot_magnetization"] == -4.5
    assert repeated(bulk("Fe"), (2, 1, 1)).info == {}


def test_atoms_that_change_places_take_along_what_is_theirs() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.set_initial_magnetic_moments([1.0, -2.0])
    atoms.set_masses([22.0, 37.0])
    before = of(atoms)
    exchange(atoms, 0, 1)
    assert atoms.get_chemical_symbols() == ["Cl", "Na"]
    assert atoms.get_initial_magnetic_moments().tolist() == [-2.0, 1.0]
    assert of(atoms).hashes() == before.exchanged(0, 1).hashes()
    np.testing.assert_array_equal(before.exchanged(0, 1).masses, [37.0, 22.0])
    atoms.symbols[0] = "K"
    forget(atoms, 0)
    assert atoms.get_masses()[0] == pytest.approx(39.0983)


def test_frames_of_other_atoms_do_not_inherit_everything() -> None:
    assert without_heir(water(charge=0, electronic_temperature=300), ()) == ""
    assert "says charge 1, which frames made of other atoms cannot" in without_heir(water(charge=1), ())
    assert without_heir(water(charge=1), ("charge",)) == ""
    assert "says spin 1" in without_heir(water(spin=1), ("charge",))


def test_find_states_takes_nothing_for_a_state() -> None:
    assert find_states(water(energy=1.0, charges=3, initial_charge=2, magmom=1.0)) == {}
    assert find_states(water(charge=None)) == {}
