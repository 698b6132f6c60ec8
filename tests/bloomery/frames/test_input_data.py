"""n2p2's ``input.data``: there and back again, units, and broken files."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.file_units import ATOMIC, FileUnits
from bloomery.frames.input_data import is_input_data, read_arrays, unsaid, write_data

METAL = FileUnits(length="Å", energy="eV")
EVERY_UNITS = [FileUnits(length=length, energy=energy) for length in ("bohr", "Å") for energy in ("Ha", "eV")]
numbers = st.floats(-1e4, 1e4, allow_nan=False, allow_subnormal=False).map(
    lambda number: number if abs(number) > 1e-200 else 0.0
)


CHARGED = """\
begin
atom 0 0 0 Na {atomic} 0 0 0 0
energy -1.5
charge {charge}
end
"""


def test_charges_are_states_and_those_of_atoms_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "input.data"
    path.write_text(CHARGED.format(atomic=0, charge=0) + CHARGED.format(atomic=0, charge=1))
    found = read_arrays(path)
    assert found["state:charge"].tolist() == [0.0, 1.0]
    assert found["stated:charge"].tolist() == [False, True]
    read = Configurations.read(path)
    assert read.state_of(1) == {"charge": 1}
    write_data(tmp_path / "again.data", read.to_atoms())
    assert Configurations.read(tmp_path / "again.data").hashes() == read.hashes()
    path.write_text(CHARGED.format(atomic=0.8, charge=0))
    with pytest.warns(DataWarning, match="charges of atoms are left out"):
        assert "state:charge" not in read_arrays(path)
    path.write_text(CHARGED.format(atomic=0, charge=0).replace("charge 0", "energy -1.4"))
    with pytest.raises(InputError, match=r"line 4.*a frame has one energy"):
        read_arrays(path)


@st.composite
def labelled_frames(draw: st.DrawFn) -> Configurations:
    """Draw frames that the format can hold: fully periodic with a cell, or open without one; some may be empty."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    total = sum(counts)
    periodic = np.array(draw(st.lists(st.booleans(), min_size=len(counts), max_size=len(counts))))
    skew = draw(arrays(float, (len(counts), 3, 3), elements=st.floats(-1, 1, allow_subnormal=False)))
    cells = (9 * np.eye(3) + skew) * periodic[:, None, None]
    return Configurations(
        counts=np.array(counts),
        numbers=np.array(draw(st.lists(st.integers(1, 103), min_size=total, max_size=total)), dtype=np.int64),
        positions=draw(arrays(float, (total, 3), elements=numbers)),
        cells=cells,
        pbc=np.repeat(periodic[:, None], 3, axis=1),
    ).with_labels(
        energy=draw(arrays(float, len(counts), elements=numbers)),
        forces=draw(arrays(float, (total, 3), elements=numbers)),
    )


@pytest.mark.slow
@given(labelled_frames(), st.sampled_from(EVERY_UNITS))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, frames: Configurations, units: FileUnits) -> None:
    """In any units, which the file says itself."""
    path = tmp_path / "input.data"
    write_data(path, frames.to_atoms(), units)
    assert is_input_data(path)
    for found in (Configurations.read(path), Configurations.read(path, units=units)):
        np.testing.assert_array_equal(found.counts, frames.counts)
        np.testing.assert_array_equal(found.numbers, frames.numbers)
        np.testing.assert_array_equal(found.pbc, frames.pbc)
        for name in ("positions", "cells"):
            np.testing.assert_allclose(getattr(found, name), getattr(frames, name), rtol=4e-16, atol=0)
        for name in ("energy", "forces"):
            np.testing.assert_allclose(found.labels[name], frames.labels[name], rtol=1e-15, atol=0)
            assert found.has(name).all()


@given(labelled_frames(), st.sampled_from(EVERY_UNITS), st.sampled_from(EVERY_UNITS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_units_that_are_given_count_more_than_those_that_are_said(
    tmp_path: Path, frames: Configurations, written: FileUnits, read: FileUnits
) -> None:
    write_data(tmp_path / "input.data", frames.to_atoms(), written)
    found = Configurations.read(tmp_path / "input.data", units=read)
    length, energy = read.in_angstrom / written.in_angstrom, read.in_ev / written.in_ev
    np.testing.assert_allclose(found.positions, frames.positions * length, rtol=1e-14)
    np.testing.assert_allclose(found.labels["energy"], frames.labels["energy"] * energy, rtol=1e-14)
    np.testing.assert_allclose(found.labels["forces"], frames.labels["forces"] * (energy / length), rtol=1e-14)


@given(st.text(alphabet="begin\ndatomlricHOvy 0123.-#é", max_size=80))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "input.data"
    path.write_text("begin\n" + text, encoding="utf-8")
    sentence = ""
    try:
        frames = Configurations.read(path)
    except InputError as error:
        sentence = str(error)
    else:
        assert all(np.isfinite(values).all() for values in (frames.positions, frames.cells))
    assert not sentence or sentence.startswith(str(path))
    assert "\n" not in sentence


def write_unsaid(path: Path, frames: Configurations, units: FileUnits) -> None:
    """Write a file as other programs do, which does not say its units."""
    write_data(path, frames.to_atoms(), units)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f" units={units.ascii}", ""), encoding="utf-8")
    assert unsaid(path)


@pytest.mark.parametrize("name", ["Cu", "Si", "Na", "H2O"])
def test_units_are_guessed_and_a_wrong_guess_is_refused(name: str, tmp_path: Path) -> None:
    atoms = molecule(name) if name == "H2O" else bulk(name)
    frames = Configurations.from_atoms([atoms] * 2)
    frames = frames.with_labels(energy=[1.0, 2.0], forces=np.zeros((frames.n_atoms, 3)))
    write_unsaid(tmp_path / "atomic", frames, ATOMIC)
    np.testing.assert_allclose(Configurations.read(tmp_path / "atomic").positions, frames.positions, rtol=1e-14)
    write_unsaid(tmp_path / "metal", frames, METAL)
    with pytest.raises(InputError, match=r"metal: does not say its units, and in bohr .* say the units, such as Å,eV"):
        Configurations.read(tmp_path / "metal")
    np.testing.assert_array_equal(
        Configurations.read(tmp_path / "metal", units=METAL).labels["energy"], frames.labels["energy"]
    )


def test_frames_without_energy_have_no_such_label(tmp_path: Path) -> None:
    (tmp_path / "input.data").write_text(
        "# from somewhere\n\nbegin\natom 0 0 0 H 0 0 1 0 0\nend\n"
        "begin\nenergy 0.5\natom 0 0 0 He 0 0 0 0 0 extra\nend\n",
        encoding="utf-8",
    )
    found = Configurations.read(tmp_path / "input.data")
    assert found.has("energy").tolist() == [False, True]
    assert found.has("forces").all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("begin\natom 0 0 0 H 0 0 0 0\nend\n", "line 2: .*an atom has 9 entries, this one 8"),
        ("begin\nlattice 1 0 0\nend\n", "line 3: the frame that began at line 1 has 1 lattice vectors"),
        ("begin\n" + 4 * "lattice 1 0 0\n" + "end\n", "line 5: .*three lattice vectors"),
        ("begin\nlattice 1 0\nend\n", "line 2: .*three lattice vectors of three numbers"),
        ("begin\nweather 3\nend\n", "line 2: .*the keyword 'weather' is not known"),
        ("begin\natom 0 0 x H 0 0 0 0 0 0\nend\n", "line 2: is not a line of an n2p2 data file .*'x'"),
        ("begin\natom 0 0 nan H 0 0 0 0 0 0\nend\n", "line 2: .*a number is not finite"),
        ("begin\nenergy inf\nend\n", "line 2: .*a number is not finite"),
        ("begin\nenergy\nend\n", "line 2: is not a line"),
        ("begin\natom 0 0 0 Qq 0 0 0 0 0 0\nend\n", "line 2: .*'Qq' is not an element"),
        ("begin\natom 0 0 0 X 0 0 0 0 0 0\nend\n", "line 2: .*'X' is not an element"),
        ("begin\nenergy 1\n", "the frame that began at line 1 has no end; the file is cut off"),
        ("begin\nenergy 1\nbegin\nend\n", "line 3: a frame begins, and the one that began at line 1 has no end"),
        ("begin\nend\nenergy 1\n", "line 3: 'energy' stands outside"),
        ("begin\ncomment units=inch,Ha\nend\n", "line 2: .*units 'inch,Ha' are not known"),
        (
            "begin\ncomment units=bohr,Ha\nend\nbegin\ncomment units=Å,eV\nend\n",
            "the comments of its frames say different units",
        ),
    ],
)
def test_broken_files_are_refused_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "input.data").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        Configurations.read(tmp_path / "input.data")
    assert str(caught.value).startswith(str(tmp_path / "input.data"))
    assert "\n" not in str(caught.value)


def test_a_file_without_frames_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no frame"):
        read_arrays(tmp_path / "empty")
    (tmp_path / "binary").write_bytes(b"begin\n\xff\xfe")
    with pytest.raises(InputError, match="line 2: is not a line of an n2p2 data file"):
        Configurations.read(tmp_path / "binary")


def test_frames_that_n2p2_cannot_hold_are_refused(silicon: Configurations, tmp_path: Path) -> None:
    frames = silicon[:2]
    partial = frames.without_labels().with_labels(energy=frames.labels["energy"])
    with pytest.raises(InputError, match="frame 0 has no label forces"):
        write_data(tmp_path / "x", partial.to_atoms())
    slab = replace(frames, pbc=np.array([[True] * 3, [True, True, False]]))
    with pytest.raises(InputError, match="frame 1 is periodic along some directions only"):
        write_data(tmp_path / "x", slab.to_atoms())
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["Å,eV", "angstrom, ev", "Angstrom,eV"])
def test_units_have_more_than_one_spelling(text: str) -> None:
    assert FileUnits.parse(text) == METAL
    assert FileUnits.parse(METAL.ascii) == METAL
    assert math.isclose(FileUnits.parse("bohr,Hartree").in_ev, 27.2113860)


@pytest.mark.parametrize("text", ["", "Å", "eV,Å", "Å;eV", "bohr,Ry"])
def test_other_units_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="are not known; give a length"):
        FileUnits.parse(text)
