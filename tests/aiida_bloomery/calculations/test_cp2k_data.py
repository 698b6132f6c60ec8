"""Names of basis sets and potentials, in small files of the real format and in those of an installation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aiida_bloomery.calculations.cp2k_data import data_folder, read_entries, resolve_kind
from bloomery.errors import InputError

BASIS = """\
# DZVP-MOLOPT-GTH of no element
 Si DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q4
 1
 2 0 2 5 2 2 1
      2.693604434572  0.015333179500 -0.005800105400
 Pt DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q18
 1
 2 0 2 5 2 2 1
Pt OTHER-q10
 1
"""
POTENTIALS = """\
#
Si GTH-PBE-q4 GTH-PBE
    2    2
     0.44000000    1    -6.26928833
Pt GTH-PBE-q10
    1    0    9
Pt GTH-PBE-q18 GTH-PBE
    3    6    9
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "BASIS").write_text(BASIS)
    (tmp_path / "POTENTIALS").write_text(POTENTIALS)
    return read_entries(tmp_path, ["BASIS"]), read_entries(tmp_path, ["POTENTIALS"])


def test_names_are_found_by_element(files):
    sets, potentials = files
    assert set(sets) == set(potentials) == {"Si", "Pt"}
    assert [entry.name for entry in potentials["Pt"]] == ["GTH-PBE-q10", "GTH-PBE-q18"]
    assert [entry.electrons for entry in potentials["Pt"]] == [10, 18]


def test_short_names_become_those_that_say_the_electrons(files):
    assert resolve_kind("Si", "DZVP-MOLOPT-SR-GTH", "GTH-PBE", *files) == {
        "basis": "DZVP-MOLOPT-SR-GTH-q4",
        "potential": "GTH-PBE-q4",
        "electrons": 4,
    }
    assert resolve_kind("Pt", "DZVP-MOLOPT-SR-GTH", "GTH-PBE", *files)["potential"] == "GTH-PBE-q18"
    assert resolve_kind("Pt", "OTHER-q10", "GTH-PBE-q10", *files)["electrons"] == 10


@pytest.mark.parametrize(
    ("element", "basis", "potential", "words"),
    [
        ("Si", "TZVP", "GTH-PBE", r"basis: .* no 'TZVP' for Si \(there are DZVP-MOLOPT-SR-GTH-q4\); choose another"),
        ("Si", "DZVP-MOLOPT-SR-GTH", "GTH-BLYP", r"potential: .* no 'GTH-BLYP' for Si \(there are GTH-PBE-q4\)"),
        ("C", "DZVP-MOLOPT-SR-GTH", "GTH-PBE", r"potential: .* for C \(it has none at all\)"),
        ("Pt", "DZVP-MOLOPT-SR-GTH", "GTH-PBE-q10", r"basis: 'DZVP-MOLOPT-SR-GTH-q18' of Pt is for other electrons"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(files, element, basis, potential, words):
    with pytest.raises(InputError, match=words):
        resolve_kind(element, basis, potential, *files)


def test_files_elsewhere_are_taken_at_their_word():
    assert resolve_kind("Al", "DZVP", "GTH-PBE-q3") == {"basis": "DZVP", "potential": "GTH-PBE-q3", "electrons": 3}
    assert resolve_kind("Al", "DZVP", "GTH-PBE")["electrons"] % 2 == 1


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="NO_SUCH_BASIS: CP2K has no such file in"):
        read_entries(tmp_path, ["NO_SUCH_BASIS"])


def test_folder_of_a_program_is_what_it_was_built_with(tmp_path, monkeypatch):
    """CP2K breaks the options of its compiler into lines, also within words."""
    monkeypatch.delenv("CP2K_DATA_DIR", raising=False)
    (tmp_path / "data").mkdir()
    shown = f'-D __DATA_DIR="{tmp_path}/data" -D __SHORT_FILE__="start/cp2k.F"'
    lines = "\n".join(f"   {shown[at : at + 20]}" for at in range(0, len(shown), 20))
    program = tmp_path / "cp2k"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n CP2K version 2023.1\n compiler options:\n{lines}\nEND\n")
    program.chmod(0o755)
    assert data_folder(program) == tmp_path / "data"
    assert data_folder(tmp_path / "no-program") is None
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    data_folder.cache_clear()
    assert data_folder(None) == tmp_path


@pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="CP2K is not on the path")
def test_files_of_the_installation_have_the_default_for_usual_elements(monkeypatch):
    monkeypatch.delenv("CP2K_DATA_DIR", raising=False)
    data_folder.cache_clear()
    folder = data_folder(Path(shutil.which("cp2k.psmp") or ""))
    assert folder is not None
    sets, potentials = read_entries(folder, ["BASIS_MOLOPT"]), read_entries(folder, ["GTH_POTENTIALS"])
    found = {
        element: resolve_kind(element, "DZVP-MOLOPT-SR-GTH", "GTH-PBE", sets, potentials)["electrons"]
        for element in ("H", "C", "N", "O", "Na", "Al", "Si", "Cl", "Ti", "Fe", "Cu", "Pt", "Au")
    }
    assert found == {
        "H": 1, "C": 4, "N": 5, "O": 6, "Na": 9, "Al": 3, "Si": 4, "Cl": 7, "Ti": 12, "Fe": 16, "Cu": 11, "Pt": 18,
        "Au": 11,
    }  # fmt: skip
