"""Response of a frame to a homogeneous electric field, from ph.x behind pw.x. Nothing of AiiDA is imported.

ph.x solves for the response of the electrons to a field at q = 0, with the nuclei where they are (``epsil``, without
``trans``), as Baroni, de Gironcoli, Dal Corso and Giannozzi, Rev. Mod. Phys. 73, 515 (2001) have it. What it gives
belongs to insulators: occupations must be fixed.

Born effective charges ``Z[atom, i, j]`` are the derivative of the polarisation ``i`` by the displacement ``j`` of an
atom, and that of the force ``j`` by the field ``i``, which is what ph.x computes. Its text output has the field in the
rows (``Ex``, ``Ey``, ``Ez``), as these arrays do. Its XML file has the displacement in the rows.

On a finite mesh of k-points the charges of a frame do not add up to its charge, as the acoustic sum rule of Pick, Cohen
and Martin, Phys. Rev. B 1, 910 (1970) demands: by 0.9 e in diamond with 3 x 3 x 3 points. The excess is shared evenly
among the atoms and taken off, so that labels keep the rule that models of them keep.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from aiida_bloomery.calculations.pw_namelists import Namelists
from bloomery.plugins import Settings

Response = Literal["dielectric_tensor", "born_effective_charges"]
"""The labels that ph.x gives."""

INPUT_FILE = "ph.in"
OUTPUT_FILE = "ph.out"
TENSORS_FILE = "tensors.xml"

CONVERGED = "convergence has been achieved"
"""What pw.x says of a density that it has found."""

_ROUTINE = re.compile(r"Error in routine\s+(?P<routine>\w+)\s*\(-?\d+\)\s*:?\s*\n(?P<message>[^\n%]*)")

HYBRIDS = {
    "pbe0", "b86bpbex", "bhahlyp", "bhandhlyp", "hse", "gaup", "gaupbe", "b3lyp", "b3lyp-v1r", "x3lyp", "hf",
    "vdw-df-cx0", "vdw-df-cx0p", "vdw-df2-0", "vdw-df2-br0", "vdw-df-c090", "oep",
}  # fmt: skip
META = {"tpss", "m06l", "tb09", "scan", "scan0", "sca0", "r2scan", "rscan", "pz+meta", "pbe+meta"}
"""Functionals of pw.x, in small letters, that ph.x has no response of."""


class ResponseSettings(Settings):
    """What ph.x is asked for."""

    properties: list[Response]
    """Labels of each frame."""
    threshold: float
    """Threshold of self-consistency (``tr2_ph``)."""
    steps: int
    """Steps after which it has failed (``niter_ph``)."""
    mixing: float
    """Share of the new potential that is mixed in (``alpha_mix``)."""


@dataclass(frozen=True)
class NoResponse:
    """Why there is none: one sentence."""

    reason: str


def ph_input(settings: ResponseSettings) -> str:
    """The input of ph.x, the same for all frames."""
    return f"""\
response to a homogeneous electric field
&INPUTPH
  prefix = 'aiida'
  outdir = './out/'
  epsil = .true.
  trans = .false.
  tr2_ph = {settings.threshold:.1e}
  niter_ph = {settings.steps}
  alpha_mix(1) = {settings.mixing:g}
/
0.0 0.0 0.0
"""


def read_response(
    xml: str | None, stdout: str | None, crash: str | None, *, n_atoms: int, charge: float = 0.0
) -> dict[str, NDArray[np.float64]] | NoResponse:
    """Read the tensors that ph.x left; its text output says what went wrong.

    Parameters
    ----------
    xml, stdout, crash
        Contents of ``tensors.xml``, of the text output and of ``CRASH``; ``None`` where there is no such file.
    n_atoms, charge
        Number of atoms of the frame, and its charge in e.

    Returns
    -------
    dielectric_tensor
        ``(3, 3)``, relative to the vacuum, symmetric.
    born_effective_charges
        ``(n, 3, 3)`` in e: atom, polarisation (or field), displacement (or force). They add up to the charge.
    """
    if (stopped := _stopped(stdout, crash)) is not None:
        return NoResponse(stopped)
    if xml is None:
        return NoResponse("the response to the field did not reach self-consistency.")
    try:
        return _tensors(xml, n_atoms, charge)
    except ET.ParseError as error:
        return NoResponse(f"{TENSORS_FILE} cannot be read ({error}).")
    except ValueError as error:
        return NoResponse(f"{error}.")


def _tensors(xml: str, n_atoms: int, charge: float) -> dict[str, NDArray[np.float64]]:
    """Both tensors; `ValueError` with a sentence, without an end, if the file does not have them."""
    root: Any = ET.fromstring(xml)  # noqa: S314 - ph.x wrote it
    tensors = next(root.iter("EF_TENSORS"), root)
    done = [_text(tensors, name).lower()[:1] for name in ("DONE_ELECTRIC_FIELD", "DONE_EFFECTIVE_CHARGE_EU")]
    if done != ["t", "t"]:
        raise ValueError("ph.x ended before dielectric tensor and effective charges were done")
    epsilon = _numbers(tensors, "DIELECTRIC_CONSTANT").reshape(3, 3)
    charges = _numbers(tensors, "EFFECTIVE_CHARGES_EU").reshape(-1, 3, 3)
    if len(charges) != n_atoms:
        raise ValueError(f"ph.x gave effective charges of {len(charges)} atoms instead of {n_atoms}")
    epsilon = (epsilon + epsilon.T) / 2
    lowest = float(np.linalg.eigvalsh(epsilon)[0])
    if lowest < 1:
        raise ValueError(
            f"the dielectric tensor has the eigenvalue {lowest:.3g}, and no insulator has one below 1: the frame is a "
            "metal, or empty states lie below occupied ones"
        )
    charges = charges.transpose(0, 2, 1)
    excess = charges.mean(axis=0) - charge / n_atoms * np.eye(3)
    return {"dielectric_tensor": epsilon, "born_effective_charges": charges - excess}


def unsuited(parameters: Namelists) -> tuple[str, str] | None:
    """Return what of the namelists of pw.x lets ph.x give no response, and a sentence about it, without an end.

    The first says which variable it is, as ``SYSTEM.occupations``.
    """
    system, control = (
        {name.lower(): value for name, value in parameters.get(namelist, {}).items()}
        for namelist in ("SYSTEM", "CONTROL")
    )
    return next(chain(_unsuited_system(system), _unsuited_control(control)), None)


def _unsuited_system(system: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if system.get("occupations", "fixed") != "fixed":
        message = "ph.x gives the response to a field of insulators alone, with fixed occupations"
        yield "SYSTEM.occupations", f"{message}, and these are {system['occupations']!r}"
    functional = _word(system, "input_dft")
    for kind, names in (("hybrid", HYBRIDS), ("meta-GGA", META)):
        if functional in names:
            yield "SYSTEM.input_dft", f"ph.x has no response of {kind} functionals such as {functional}"
    dispersion = _word(system, "vdw_corr")
    if dispersion not in {"none", "grimme-d2", "dft-d", "dft-d2"}:
        yield "SYSTEM.vdw_corr", f"ph.x runs with no dispersion but grimme-d2, and this is {dispersion}"
    if _word(system, "lda_plus_u_kind", "0") != "0":
        yield "SYSTEM.lda_plus_u_kind", "ph.x knows Hubbard corrections of Dudarev's kind alone (lda_plus_u_kind 0)"
    if float(_word(system, "tot_charge", "0")):
        yield "SYSTEM.tot_charge", "the sum of effective charges follows from a charge that the frame itself must say"
    for name in ("assume_isolated", "constrained_magnetization"):
        if _word(system, name) != "none":
            yield f"SYSTEM.{name}", f"ph.x has no response of a crystal with {name}"
    for name in ("noinv", "real_space"):
        if system.get(name):
            yield f"SYSTEM.{name}", f"ph.x does not work with {name}"


def _unsuited_control(control: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("tefield", "lelfield", "gate", "lfcp", "lfcpopt"):
        if control.get(name):
            yield f"CONTROL.{name}", f"ph.x has no response of frames that are in a field already ({name})"
    if _word(control, "disk_io", "low") in {"none", "nowf", "minimal"}:
        yield "CONTROL.disk_io", "ph.x reads the wavefunctions that pw.x writes, and disk_io keeps them back"


def _word(variables: Mapping[str, Any], name: str, default: str = "none") -> str:
    """Value of a variable in small letters."""
    return str(variables.get(name) or default).lower()


def without_response(functionals: Mapping[str, str]) -> str | None:
    """The first element whose pseudopotential was made with a functional that ph.x has no response of."""
    for element, name in functionals.items():
        words = {word for word in re.split(r"[^a-z0-9]+", name.lower()) if word}
        if words & (META | HYBRIDS):
            return element
    return None


def told(properties: Collection[str]) -> str:
    """Names of labels in a sentence."""
    return " and ".join(properties)


def _stopped(stdout: str | None, crash: str | None) -> str | None:
    """What went wrong, in one sentence; nothing if ph.x came to its end."""
    found = list(_ROUTINE.finditer("\n".join(filter(None, (stdout, crash)))))
    if found:
        message = " ".join(found[-1]["message"].split())
        return f"ph.x stopped in {found[-1]['routine']}: {message.rstrip('.') or 'no reason given'}."
    if not stdout:
        return "ph.x wrote no output: it did not start, or was ended at once."
    if "JOB DONE" not in stdout:
        last = next((line.strip() for line in reversed(stdout.splitlines()) if line.strip()), "")
        return f"ph.x did not come to its end; the last that it said: {last[:200].rstrip('.')}."
    return None


def _text(parent: Any, name: str) -> str:
    found = parent.find(name)
    if found is None or found.text is None:
        raise ValueError(f"{TENSORS_FILE} of ph.x has no {name}")
    return str(found.text).strip()


def _numbers(parent: Any, name: str) -> NDArray[np.float64]:
    numbers = np.array([float(word) for word in _text(parent, name).replace("D", "E").split()])
    if not np.isfinite(numbers).all() or numbers.size % 9:
        raise ValueError(f"{name} of ph.x is no tensor of finite numbers")
    return numbers
