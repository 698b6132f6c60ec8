"""ph.x behind pw.x: its input, its tensors, and what it cannot respond to."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from aiida_bloomery.calculations.ph_response import (
    NoResponse,
    ResponseSettings,
    ph_input,
    read_response,
    unsuited,
    without_response,
)

SETTINGS = ResponseSettings(properties=["dielectric_tensor"], threshold=1e-14, steps=100, mixing=0.7)
DONE = "   JOB DONE.\n"

# Silicon carbide, as ph.x of Quantum ESPRESSO 6.7 wrote it, with numbers that tell rows from columns.
XML = """<?xml version="1.0" encoding="UTF-8"?>
<Root>
  <EF_TENSORS>
    <DONE_ELECTRIC_FIELD>true</DONE_ELECTRIC_FIELD>
    <DONE_START_EFFECTIVE_CHARGE>false</DONE_START_EFFECTIVE_CHARGE>
    <DONE_EFFECTIVE_CHARGE_EU>true</DONE_EFFECTIVE_CHARGE_EU>
    <DONE_EFFECTIVE_CHARGE_PH>false</DONE_EFFECTIVE_CHARGE_PH>
    <DIELECTRIC_CONSTANT>
   7.0E+00   1.0E-01   0.0E+00
   1.2E-01   7.1E+00   0.0E+00
   0.0E+00   0.0E+00   7.2E+00
    </DIELECTRIC_CONSTANT>
    <EFFECTIVE_CHARGES_EU>
   2.5E+00   1.0E-01   0.0E+00
   3.0E-01   2.5E+00   0.0E+00
   0.0E+00   0.0E+00   2.5E+00
  -2.9E+00  -1.0E-01   0.0E+00
  -3.0E-01  -2.9E+00   0.0E+00
   0.0E+00   0.0E+00  -2.9E+00
    </EFFECTIVE_CHARGES_EU>
  </EF_TENSORS>
</Root>
"""


def read(xml: str | None = XML, stdout: str | None = DONE, crash: str | None = None, **more: Any) -> Any:
    return read_response(xml, stdout, crash, n_atoms=more.pop("n_atoms", 2), **more)


def test_input_asks_for_the_field_alone() -> None:
    text = ph_input(SETTINGS)
    assert {line.strip() for line in text.splitlines()} >= {"epsil = .true.", "trans = .false.", "tr2_ph = 1.0e-14"}
    assert text.rstrip().endswith("0.0 0.0 0.0")


def test_rows_are_the_polarisation_and_the_sum_rule_holds() -> None:
    found = read()
    np.testing.assert_allclose(found["dielectric_tensor"][0, 1], 0.11)
    np.testing.assert_allclose(found["dielectric_tensor"], found["dielectric_tensor"].T)
    charges = found["born_effective_charges"]
    # In the file columns are the polarisation; the sum, -0.4 times unity, is shared.
    assert charges[0, 0, 1] == pytest.approx(0.3)
    assert charges[0, 1, 0] == pytest.approx(0.1)
    np.testing.assert_allclose(charges.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(charges[0]), 2.7)
    ion = read(charge=1.0)["born_effective_charges"]
    np.testing.assert_allclose(ion.sum(axis=0), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"xml": None}, "the response to the field did not reach self-consistency."),
        ({"stdout": None}, "ph.x wrote no output: it did not start, or was ended at once."),
        ({"stdout": "first\n no such library \n"}, "the last that it said: no such library."),
        (
            {"crash": " Error in routine phq_readin (2):\n  reading inputph\n %%"},
            "stopped in phq_readin: reading inputph.",
        ),
        ({"xml": XML.replace("true", "false")}, "ph.x ended before dielectric tensor and effective charges were done."),
        ({"n_atoms": 3}, "ph.x gave effective charges of 2 atoms instead of 3."),
        ({"xml": XML.replace("7.2E+00", "2.0E-01")}, "eigenvalue 0.2, and no insulator has one below 1"),
        ({"xml": XML.replace("7.2E+00", "NaN")}, "DIELECTRIC_CONSTANT of ph.x is no tensor of finite numbers."),
        ({"xml": "<Root>"}, "tensors.xml cannot be read"),
        ({"xml": "<Root/>"}, "tensors.xml of ph.x has no DONE_ELECTRIC_FIELD."),
    ],
)
def test_why_there_is_none(given: dict[str, Any], reason: str) -> None:
    found = read(**given)
    assert isinstance(found, NoResponse)
    assert re.search(re.escape(reason), found.reason), found.reason


@pytest.mark.parametrize(
    ("parameters", "variable"),
    [
        ({"SYSTEM": {"occupations": "smearing"}}, "SYSTEM.occupations"),
        ({"SYSTEM": {"input_dft": "PBE0"}}, "SYSTEM.input_dft"),
        ({"SYSTEM": {"input_dft": "scan"}}, "SYSTEM.input_dft"),
        ({"SYSTEM": {"vdw_corr": "dft-d3"}}, "SYSTEM.vdw_corr"),
        ({"SYSTEM": {"assume_isolated": "mt"}}, "SYSTEM.assume_isolated"),
        ({"SYSTEM": {"tot_charge": 1.0}}, "SYSTEM.tot_charge"),
        ({"CONTROL": {"tefield": True}}, "CONTROL.tefield"),
        ({"CONTROL": {"disk_io": "none"}}, "CONTROL.disk_io"),
    ],
)
def test_what_ph_does_not_respond_to(parameters: dict[str, dict[str, Any]], variable: str) -> None:
    found = unsuited(parameters)
    assert found is not None
    assert found[0] == variable


def test_insulators_are_fine() -> None:
    assert unsuited({"SYSTEM": {"occupations": "fixed", "input_dft": "pbe", "vdw_corr": "grimme-d2"}}) is None
    assert without_response({"Si": "PBE", "C": "SLA PW PBX PBC"}) is None
    assert without_response({"Si": "PBE", "C": "SCAN"}) == "C"
