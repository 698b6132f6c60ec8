"""Outputs of CP2K, cut down to what is read; the numbers stand in them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import GPa, create_units

from aiida_bloomery.calculations.cp2k_output import (
    EXIT_ABORTED,
    EXIT_INCOMPLETE,
    EXIT_NO_LABELS,
    EXIT_NO_OUTPUT,
    EXIT_NOT_CONVERGED,
    abort_message,
    read_frame,
)
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels

# Of 2023.1, whose numbers these are.
GOOD = """\
 CP2K| version string:                                       CP2K version 2023.1
  *** SCF run converged in    14 steps ***

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              -17.219966510320919

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X                  Y                  Z
      1      1      O          -0.004159854386    -0.006572138716    -0.000292981203
      2      2      H           0.006174886434     0.004826478465    -0.000013395900
      3      2      H          -0.002019481353     0.001600280490     0.000283319733
 SUM OF ATOMIC FORCES          -0.000004449305    -0.000145379761    -0.000023057370     0.000147264095

 STRESS| Analytical stress tensor [GPa]
 STRESS|                        x                   y                   z
 STRESS|      x        1.07294290472E-01   3.94567112561E-02  -3.40424665023E-03
 STRESS|      y        3.94567112561E-02   5.51425580180E-02   2.82124151889E-03
 STRESS|      z       -3.40424665023E-03   2.82124151889E-03   7.37193902200E-03
 STRESS| 1/3 Trace                                             5.66029291708E-02

  **** **** ******  **  PROGRAM ENDED AT                 2026-12-01 02:35:13.139
"""

# How versions from 2025 on write the same.
NEW = """\
 CP2K| version string:                                       CP2K version 2025.1
 ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]             -17.219966510320919
 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1 -4.15985439E-03 -6.57213872E-03 -2.92981203E-04   7.78000000E-03
 FORCES|      2  6.17488643E-03  4.82647846E-03 -1.33959000E-05   7.83000000E-03
 FORCES|      3 -2.01948135E-03  1.60028049E-03  2.83319733E-04   2.59000000E-03
 FORCES| Sum    -4.44930000E-06 -1.45379761E-04 -2.30573700E-05
  **** **** ******  **  PROGRAM ENDED AT                 2026-12-01 02:35:13.139
"""

ABORT = """\
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/        found an unknown keyword NDIGITS in section STRESS_TENSOR     *
 *    |                                                                        *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                               input/input_parsing.F:246 *
 *******************************************************************************
"""

UNITS = create_units("2006")


def test_energy_forces_and_stress_in_our_units_and_sign():
    labels = read_frame(GOOD, 3)
    assert isinstance(labels, FrameLabels)
    assert labels.energy == pytest.approx(-17.219966510320919 * 27.21138386, rel=1e-9)
    np.testing.assert_allclose(labels.forces[1, 0], 0.006174886434 * UNITS.Hartree / UNITS.Bohr)
    assert labels.forces.shape == (3, 3)
    expected = -np.array(
        [0.107294290472, 0.055142558018, 0.007371939022, 0.00282124151889, -0.00340424665023, 0.0394567]
    )
    np.testing.assert_allclose(labels.stress, expected * GPa, rtol=1e-6)
    assert labels.version == "2023.1"


def test_layout_of_later_versions_is_read_too():
    labels, old = read_frame(NEW, 3), read_frame(GOOD, 3)
    assert isinstance(labels, FrameLabels)
    assert isinstance(old, FrameLabels)
    assert labels.energy == old.energy
    np.testing.assert_allclose(labels.forces, old.forces, rtol=1e-6)
    assert (labels.stress, labels.version) == (None, "2025.1")


@pytest.mark.parametrize(
    ("text", "n_atoms", "code", "words"),
    [
        (None, 3, EXIT_NO_OUTPUT, "wrote no output"),
        ("", 3, EXIT_NO_OUTPUT, "wrote no output"),
        (GOOD[: GOOD.index(" STRESS|")], 3, EXIT_INCOMPLETE, "ends early; its last line is 'SUM OF ATOMIC FORCES"),
        (GOOD.replace("SCF run converged", "SCF run NOT converged"), 3, EXIT_NOT_CONVERGED, "did not reach"),
        (ABORT, 3, EXIT_ABORTED, "'found an unknown keyword NDIGITS in section STRESS_TENSOR'"),
        (GOOD, 4, EXIT_NO_LABELS, "forces on 3 atoms instead of 4"),
        (GOOD.replace(" ENERGY|", " "), 3, EXIT_NO_LABELS, "gave no energy"),
        (GOOD.replace("-17.219966510320919", "NaN"), 3, EXIT_NO_LABELS, "energy that CP2K gave is not finite"),
        (GOOD.replace("0.006174886434", "  NaN"), 3, EXIT_NO_LABELS, "forces on 2 atoms"),
    ],
)
def test_reason_why_there_are_no_labels(text, n_atoms, code, words):
    failure = read_frame(text, n_atoms)
    assert isinstance(failure, FrameFailure)
    assert failure.exit_code == code
    assert words in failure.reason


def test_message_of_an_abort_of_several_lines():
    text = ABORT.replace("*    |                                 ", "*    |          , which is not there      ")
    assert abort_message(text) == "found an unknown keyword NDIGITS in section STRESS_TENSOR , which is not there"
