"""The variables of pw.x that are known, and what is said of others."""

from __future__ import annotations

from aiida_bloomery.calculations.pw_variables import known_variables, not_a_variable, read_namelists


def test_variables_are_those_of_the_description_and_newer_ones() -> None:
    known = known_variables()
    assert list(known) == ["CONTROL", "SYSTEM", "ELECTRONS"]
    assert known["ELECTRONS"]["conv_thr"].type == "REAL"
    assert known["SYSTEM"]["nr1"].type == "INTEGER"
    assert known["SYSTEM"]["hubbard_u"].by_element
    assert not known["SYSTEM"]["fixed_magnetization"].by_element
    assert known["SYSTEM"]["nelec_cond"].type == "REAL"


def test_vectors_and_lists_of_lists_stay_as_they_are() -> None:
    given = {
        "SYSTEM": {"fixed_magnetization": [0, 0, 1.5], "hubbard_j": [[1, "Fe", 3.0]], "input_dft": "pbe", "title": "1"},
        "CONTROL": {"title": "2024"},
    }
    assert read_namelists(given)["SYSTEM"]["hubbard_j"] == [[1, "Fe", 3.0]]
    assert read_namelists(given)["CONTROL"] == {"title": "2024"}
    del given["SYSTEM"]["title"]
    assert not_a_variable(read_namelists(given)) is None
