"""The fixture is one run of pw.x 6.7: two silicon atoms off their places, smearing, a strained cell."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import units

from aiida_bloomery.calculations.pw_output import (
    EXIT_BAD_XML,
    EXIT_INCOMPLETE,
    EXIT_NO_LABELS,
    EXIT_NO_XML,
    EXIT_NOT_CONVERGED,
    FrameFailure,
    FrameLabels,
    read_frame,
)

FIXTURES = Path(__file__).parent / "fixtures" / "pw"


def fixture(name: str) -> tuple[str, str]:
    folder = FIXTURES / name
    return (folder / "data-file-schema.xml").read_text(), (folder / "aiida.out").read_text()


@pytest.fixture
def xml():
    return fixture("si2")[0]


@pytest.fixture
def out():
    return fixture("si2")[1]


@pytest.fixture
def labels(xml, out):
    result = read_frame(xml, out, 2)
    assert isinstance(result, FrameLabels)
    return result


def test_energy_is_the_free_energy_of_the_exclamation_mark(labels, out):
    free = float(re.search(r"^!\s+total energy\s+=\s+(\S+) Ry", out, re.MULTILINE)[1])
    minus_ts = float(re.search(r"smearing contrib. \(-TS\)\s+=\s+(\S+) Ry", out)[1])
    internal = float(re.search(r"internal energy E=F\+TS\s+=\s+(\S+) Ry", out)[1])
    assert labels.energy == pytest.approx(free * units.Ry, rel=2e-7)
    # The fixture tells the two apart: they differ by 68 meV.
    assert free - minus_ts == pytest.approx(internal, abs=1e-8)
    assert abs(labels.energy - internal * units.Ry) > 0.05


def test_forces_are_those_of_the_output(labels, out):
    rows = re.findall(r"atom\s+\d+ type\s+1\s+force =\s+(\S+)\s+(\S+)\s+(\S+)", out)[:2]
    assert labels.forces == pytest.approx(np.array(rows, dtype=float) * units.Ry / units.Bohr, abs=1e-6)


def test_stress_has_the_unit_order_and_sign_of_ase(labels, out):
    block = out[out.index("total   stress") :].splitlines()[1:4]
    tensor = np.array([line.split()[:3] for line in block], dtype=float) * units.Ry / units.Bohr**3
    expected = -np.array([tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[1, 2], tensor[0, 2], tensor[0, 1]])
    assert labels.stress == pytest.approx(expected, abs=2e-6)


def test_pressure_is_positive_where_ase_stress_is_negative(labels, out):
    pressure = float(re.search(r"P=\s*(\S+)", out)[1])  # kbar
    assert -labels.stress[:3].mean() / units.GPa * 10 == pytest.approx(pressure, abs=0.01)


def test_version_is_kept(labels):
    assert labels.version == "6.7MaX"


def test_frame_that_did_not_converge_has_no_labels():
    result = read_frame(*fixture("not_converged"), 2)
    assert isinstance(result, FrameFailure)
    assert result.exit_code == EXIT_NOT_CONVERGED
    assert "self-consistency" in result.reason


def test_not_converged_is_seen_in_the_xml_alone(out):
    """A version of pw.x whose text the parser does not know must not make labels of half-converged numbers."""
    result = read_frame(fixture("not_converged")[0], out, 2)
    assert isinstance(result, FrameFailure)
    assert result.exit_code == EXIT_NOT_CONVERGED


@pytest.mark.parametrize(
    ("change_xml", "change_out", "exit_code"),
    [
        (lambda xml: None, lambda out: out, EXIT_NO_XML),
        (lambda xml: xml[: len(xml) // 2], lambda out: out, EXIT_BAD_XML),
        (lambda xml: "", lambda out: out, EXIT_BAD_XML),
        (lambda xml: xml, lambda out: out[: len(out) // 2], EXIT_INCOMPLETE),
        (lambda xml: xml, lambda out: None, EXIT_INCOMPLETE),
        (lambda xml: xml, lambda out: "", EXIT_INCOMPLETE),
        (lambda xml: re.sub(r"<forces.*?</forces>", "", xml, flags=re.DOTALL), lambda out: out, EXIT_NO_LABELS),
        (lambda xml: re.sub(r"<etot>.*?</etot>", "<etot>NaN</etot>", xml), lambda out: out, EXIT_NO_LABELS),
    ],
    ids=["no XML", "half an XML", "empty XML", "half an output", "no output", "empty output", "no forces", "NaN"],
)
def test_broken_results_are_failures_with_a_reason(xml, out, change_xml, change_out, exit_code):
    result = read_frame(change_xml(xml), change_out(out), 2)
    assert isinstance(result, FrameFailure)
    assert result.exit_code == exit_code
    assert result.reason.endswith(".")


def test_wrong_number_of_atoms_is_refused(xml, out):
    result = read_frame(xml, out, 3)
    assert isinstance(result, FrameFailure)
    assert result.exit_code == EXIT_NO_LABELS


def test_stress_may_be_absent(xml, out):
    result = read_frame(re.sub(r"<stress.*?</stress>", "", xml, flags=re.DOTALL), out, 2)
    assert isinstance(result, FrameLabels)
    assert result.stress is None


STOPS = {
    "cdiaghg (170)": ("problems computing cholesky", 462, "cholesky"),
    "c_bands (1)": ("too many bands are not converged", 463, "bands"),
    "cdiaghg (26)": ("S matrix not positive definite", 464, "positive definite"),
    "exxinit (1)": ("dexx is negative!  Check that exxdiv_treatment is appropriate", 461, "dexx"),
    "zhegvd (1)": ("zhegvd failed", 465, "zhegvd"),
    "ppcg_gamma (1)": ("[Q, R] = qr(X, 0) failed", 466, "qr"),
    "cdiagh (2)": ("eigenvectors failed to converge", 467, "eigenvector"),
    "broyden (2)": ("factorization", 468, "broyden"),
    "divide_et_impera (1)": (" some nodes have no k-points", 481, "npools"),
    "electrons (1)": ("charge is wrong: smearing is needed", 531, "charge"),
    "readpp (1)": ("inconsistent DFT read from PP files", EXIT_INCOMPLETE, "pw.x stopped in readpp: inconsistent DFT"),
    "offset_atom_wfc (1)": ("wrong offset", EXIT_INCOMPLETE, "pw.x stopped in offset_atom_wfc: wrong offset."),
}
"""Ends of pw.x: routine, what it says, and the number and a word of what is made of it."""


@pytest.mark.parametrize("routine", STOPS)
@pytest.mark.parametrize("place", ["output", "CRASH", "CRASH alone"])
@pytest.mark.parametrize("share", [0, 3])
def test_reason_is_the_cause_wherever_pw_said_it(out, routine, place, share):
    """With many processes the output is cut off before the message, and ``CRASH`` alone holds it."""
    message, status, word = STOPS[routine]
    bar = "%" * 60
    name, number = routine.split(" ")
    started = "" if place == "CRASH alone" else out[: share * len(out) // 8]
    if place == "output":
        text, crash = f"{started}\n {bar}\n     Error in routine {routine}:\n     {message}\n {bar}\n", None
    else:
        crash = (
            f" {bar}\n     task #         0\n     from {name} : error #       {number[1:-1]}\n     {message}\n {bar}\n"
        )
        text = started or None
    result = read_frame(None, text, 2, crash)
    assert isinstance(result, FrameFailure)
    assert result.exit_code == status
    assert word.lower() in result.reason.lower()
    assert "\n" not in result.reason


def test_time_that_is_over_is_told(out):
    result = read_frame(None, out[: len(out) // 3] + "     Maximum CPU time exceeded\n", 2)
    assert isinstance(result, FrameFailure)
    assert "walltime" in result.reason
