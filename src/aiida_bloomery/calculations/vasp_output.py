"""Labels from runs of VASP: energy, forces, stress and moments in our units, or the reason why there are none.

Files are read by parsevasp, which ends the interpreter (`SystemExit`) where something is wrong.
"""

from __future__ import annotations

import io
import logging
import re
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_numbers
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray
from parsevasp.outcar import Outcar
from parsevasp.stream import Stream
from parsevasp.vasprun import Xml

from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.vasp_input import poscar_order

EXIT_NO_LABELS = 330
EXIT_NO_OUTPUT = 333
EXIT_INCOMPLETE = 700
EXIT_NOT_CONVERGED = 701
EXIT_STOPPED = 703
"""Numbers that `VaspCalculation` of aiida-vasp has for these ends; `EXIT_NO_LABELS` is that of our other labellers."""

FINISHED = "timing and accounting informations"
"""VASP's last words in OUTCAR."""
KBAR = 0.1 * units.GPa
"""In eV/Å^3."""

SPOILT = {
    "bandocc": "give more NBANDS under parameters",
    "brmix": "VASP's density did not hold the electrons that were asked for: mend charge or potentials",
    "psmaxn": "lower encut, or choose another potential",
}
"""What VASP complains of, by parsevasp's names, and then goes on to results of little worth; and what to do."""

MORE: dict[str, dict[str, Any]] = {
    "not_hermitian": {"regex": "(?i)sub-space-matrix is not hermitian", "message": "Sub-space matrix not Hermitian."},
    "zpotrf": {"regex": "(?i)LAPACK: Routine ZPOTRF failed", "message": "Routine ZPOTRF of LAPACK failed."},
    "out_of_memory": {
        "regex": "(?i)out of memory|insufficient (virtual )?memory|cannot allocate memory|oom-kill",
        "message": "There was not enough memory: give more cores or memory to a frame.",
    },
    "very_bad_news": {"regex": "VERY BAD NEWS! internal error", "message": "Very bad news: an internal error."},
}
"""Complaints that parsevasp does not know, or not as VASP spells them."""
for _entry in MORE.values():
    _entry.update({"kind": "ERROR", "location": "STDOUT", "recover": False, "suggestion": ""})

_QUIET = logging.getLogger(f"{__name__}.parsevasp")
_QUIET.setLevel(logging.CRITICAL + 1)

_STEPS_SPENT = re.compile(r"aborting loop EDIFF was not reached|(hard|soft) stop encountered")


def read_frame(
    vasprun: str | None, outcar: str | None, stdout: str | None, symbols: list[str], *, periodic: bool
) -> FrameLabels | FrameFailure:
    """Read what a run of VASP left.

    Parameters
    ----------
    vasprun, outcar, stdout
        Contents of ``vasprun.xml``, ``OUTCAR`` and of what VASP said; ``None`` where there is no such file.
    symbols
        Elements of the frame's atoms, in its own order.
    periodic
        Whether the frame is periodic along all vectors; if not, the stress is that of a box and no label.
    """
    complaints = _complaints(stdout or "")
    if not outcar:
        reason = _first(complaints) or "VASP wrote no OUTCAR: it did not start, or was ended at once."
        return FrameFailure(EXIT_NO_OUTPUT, reason)
    if FINISHED not in outcar:
        reason = _first(complaints) or f"the output of VASP ends early; its last line is {_last_line(outcar)!r}."
        return FrameFailure(EXIT_STOPPED if complaints else EXIT_INCOMPLETE, reason)
    for name, cure in SPOILT.items():
        if name in complaints:
            return FrameFailure(EXIT_STOPPED, f"{_first({name: complaints[name]})} {cure[0].upper()}{cure[1:]}.")
    try:
        report = Outcar(file_handler=io.StringIO(outcar), logger=_QUIET)
        content = Xml(file_handler=io.BytesIO((vasprun or "").encode()), logger=_QUIET)
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a foreign parser raises means the same
        return FrameFailure(EXIT_INCOMPLETE, f"what VASP wrote cannot be read ({type(error).__name__}: {error}).")
    if not report.get_run_status()["electronic_converged"] or _STEPS_SPENT.search(outcar):
        said = f"{str(_first(complaints)).rstrip('.')}; " if complaints else ""
        return FrameFailure(EXIT_NOT_CONVERGED, f"{said}the electronic minimisation did not reach self-consistency.")
    return _labels(content, report, symbols, periodic=periodic)


def _labels(content: Xml, report: Outcar, symbols: list[str], *, periodic: bool) -> FrameLabels | FrameFailure:
    order = poscar_order(symbols)
    species = content.get_species()
    if species is None or species.tolist() != [atomic_numbers[symbols[atom]] for atom in order]:
        return FrameFailure(EXIT_NO_LABELS, "the atoms in vasprun.xml are not those of the frame.")
    energies, forces = content.get_energies("last", ["energy_free"]), content.get_forces("last")
    if energies is None or forces is None or len(forces) != len(symbols):
        return FrameFailure(EXIT_NO_LABELS, "VASP gave no energy, or not a force on each atom.")
    # TOTEN, the free energy: its derivatives are the forces, which those of the energy for sigma -> 0 are not. The
    # entry after the electronic steps has corrections, such as that of the dispersion, which theirs lack.
    energy = float(energies["energy_free_final"][-1])
    of_atoms = _in_frame_order(np.asarray(forces, dtype=float), order)
    stress = _stress(content.get_stress("last")) if periodic else None
    for name, value in (("energy", energy), ("forces", of_atoms), ("stress", stress)):
        if value is not None and not np.isfinite(value).all():
            return FrameFailure(EXIT_NO_LABELS, f"the {name} that VASP gave is not finite.")
    version = str(content.get_version() or "unknown").strip()
    return FrameLabels(energy, of_atoms, stress, version, _moments(report, order))


def _in_frame_order(values: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values of atoms in the order of the frame, from those in the order of POSCAR."""
    result = np.empty_like(values)
    result[order] = values
    return result


def _stress(kilobar: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Stress ``(6,)`` in eV/Å^3, ASE's order and sign: VASP's, in kB, is positive where a crystal is pressed."""
    if kilobar is None:
        return None
    voigt: NDArray[np.float64] = full_3x3_to_voigt_6_stress(np.asarray(kilobar, dtype=float))
    return -voigt * KBAR


def _moments(report: Outcar, order: NDArray[np.intp]) -> dict[str, Any]:
    """Labels of the magnetic state in μB, as far as OUTCAR has them: the cell's, and those in the atoms' spheres."""
    found = report.get_magnetization()
    whole = list(found["full_cell"])
    if len(whole) != 1:  # none without spins, three where they are not collinear
        return {}
    moments: dict[str, Any] = {"magmom": whole[0]}
    sites = found["sphere"]["x"]["site_moment"]
    if sorted(sites) == list(range(1, len(order) + 1)):
        of_atoms = np.array([sites[number]["tot"] for number in sorted(sites)])
        moments["magmoms"] = _in_frame_order(of_atoms, order)
    return moments


def _complaints(stdout: str) -> dict[str, str]:
    """What VASP complains of, by parsevasp's names: errors that it knows, and what stands in VASP's boxes of errors."""
    if not stdout.strip():
        return {}
    entries = Stream(file_handler=io.StringIO(stdout), logger=_QUIET, config=MORE).entries
    return {entry.shortname: str(entry.message) for entry in entries if entry.kind in {"ERROR", "BUG"}}


def _first(complaints: dict[str, str]) -> str | None:
    """The first complaint as one sentence."""
    if not complaints:
        return None
    words = " ".join(next(iter(complaints.values())).split())
    return f"VASP says: {words.rstrip('.')}."


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip()[:120] if lines else ""
