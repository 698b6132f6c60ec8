"""Labels from runs of pw.x: energy, forces and stress in our units, or the reason why there are none."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from aiida import orm
from aiida_quantumespresso.calculations.pw import PwCalculation
from aiida_quantumespresso.parsers.parse_raw.pw import parse_stdout
from aiida_quantumespresso.parsers.parse_xml.exceptions import XMLParseError, XMLUnsupportedFormatError
from aiida_quantumespresso.parsers.parse_xml.parse import get_schema_filepath, parse_step_to_trajectory
from ase import units
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike, NDArray
from xmlschema import XMLSchema

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from bloomery.frames.configurations import Configurations, columns_of

_MAKOV_PAYNE = re.compile(r"Makov-Payne correction\s+(-?\d+\.\d+)\s+Ry\s+=.*1st order")
_ROUTINE = re.compile(r"Error in routine\s+(?P<routine>\w+)\s*\(-?\d+\)\s*:?\s*\n(?P<message>[^\n%]*)")
_FROM = re.compile(r"from\s+(\w+)\s*:\s*error\s*#\s*(-?\d+)")
"""How ``CRASH`` says what the output has as an ``Error in routine``."""
EXIT_NO_XML = 303
EXIT_BAD_XML = 321
EXIT_INCOMPLETE = 312
EXIT_NO_LABELS = 330
EXIT_OUT_OF_TIME = 400
EXIT_NOT_CONVERGED = 410


@dataclass(frozen=True)
class FrameLabels:
    """What pw.x of some version says of one frame."""

    energy: float
    """In eV, the one that the forces are the gradient of: with smearing the free energy ``F = E - TS``, which pw.x
    prints after the exclamation mark and writes to its XML as ``etot``. Makov and Payne's term of the charge, which is
    the same for all arrangements in one box, is in it; their term of the quadrupole is not, for the forces lack it."""
    forces: NDArray[np.float64]
    """``(n, 3)`` in eV/Å."""
    stress: NDArray[np.float64] | None
    """``(6,)`` in eV/Å^3, ASE's order and sign (pw.x's own is the opposite), or ``None`` if it was not asked for."""
    version: str
    moments: Mapping[str, Any] = field(default_factory=dict)
    """Labels of the magnetic state (`bloomery.frames.labels.MOMENTS`) in μB; none without collinear spins."""
    properties: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Labels of another program that ran behind it (`bloomery.frames.labels.PROPERTIES`), by name."""
    lacks: str = ""
    """Why there are no such labels although they were asked for: one sentence."""

    def as_dict(self) -> dict[str, ArrayLike]:
        """Labels by name, as far as there are any."""
        stress = {} if self.stress is None else {"stress": self.stress}
        return {"energy": self.energy, "forces": self.forces, **stress, **self.moments, **self.properties}


@dataclass(frozen=True)
class PwXml:
    """What the XML file of a run of pw.x of some version says of its steps."""

    converged: bool
    """Whether the last electronic minimisation reached self-consistency."""
    steps: Mapping[str, Sequence[Any]]
    """By name a value for each step, as aiida-quantumespresso calls them: ``energy`` (eV), ``forces`` (eV/Å),
    ``stress`` (GPa, pw.x's sign), ``positions`` (Å), ``scf_iterations``."""
    version: str
    moments: Mapping[str, float] = field(default_factory=dict)
    """``magmom`` and ``absolute_magmom`` in μB, at the end; none without collinear spins."""


@dataclass(frozen=True)
class FrameFailure:
    """Why there are no labels: the status that `PwCalculation` gives to such an end, and one sentence."""

    exit_code: int
    reason: str


def read_frame(
    xml: str | None, stdout: str | None, n_atoms: int, crash: str | None = None
) -> FrameLabels | FrameFailure:
    """Read the XML of a run of pw.x; its text output says what went wrong.

    Parameters
    ----------
    xml, stdout
        Contents of ``data-file-schema.xml`` and of the text output; ``None`` where there is no such file.
    n_atoms
        Number of atoms that the frame has.
    crash
        Content of the file ``CRASH``, in which pw.x says why it stopped itself.
    """
    said = _said(stdout, crash)
    if isinstance(said, FrameFailure):
        return said
    if xml is None:
        return FrameFailure(EXIT_NO_XML, "pw.x left no XML file; read its output.")
    try:
        parsed = read_xml(xml)
    except (XMLParseError, XMLUnsupportedFormatError, KeyError, TypeError, ValueError) as error:
        return FrameFailure(EXIT_BAD_XML, f"the XML file of pw.x cannot be read ({error}).")
    if not parsed.converged:
        return FrameFailure(EXIT_NOT_CONVERGED, "the electronic minimisation did not reach self-consistency.")
    return _labels(parsed, str(stdout), said, n_atoms)


def labelled_frames(
    source: ConfigurationsData, labels: Mapping[int, FrameLabels], job: orm.CalcJobNode, folder: str = ""
) -> Configurations:
    """Frames of a node with the labels that were found, by index, and with where they are from.

    Parameters
    ----------
    job, folder
        The calculation that gave the labels, and the folder in which a frame's input is, as a format of the index.
    """
    indices = sorted(labels)
    frames = source.configurations[indices].without_labels()
    values, masks = columns_of([labels[index].as_dict() for index in indices], frames.counts)
    labelled = frames.with_labels(masks=masks, **values)
    labelled = labelled.with_info(label_uuid=str(job.uuid), label_folder=[folder.format(index) for index in indices])
    return with_parents(labelled, source, indices)


def read_xml(xml: str) -> PwXml:
    """Read the steps in an XML file of pw.x, each as aiida-quantumespresso reads it.

    Its own `parse_xml` compiles the schema anew for every file, which takes thirty times as long as reading a frame.
    """
    try:
        tree: Any = ET.parse(io.StringIO(xml))  # noqa: S314  as the foreign parser does; pw.x wrote it
    except ET.ParseError as error:
        raise XMLParseError("error while parsing XML file") from error
    content, _ = _schema(get_schema_filepath(tree)).to_dict(tree, validation="lax")
    output = content["output"]
    steps: dict[str, list[Any]] = defaultdict(list)
    for step in content.get("step", []):
        parse_step_to_trajectory(steps, step)
    # A single point has no step: what it gives is the output itself.
    if content.get("input", {}).get("control_variables", {}).get("calculation", "scf") == "scf":
        parse_step_to_trajectory(steps, output, skip_structure=True)
    magnetic = output.get("magnetization", {})
    moments = {}
    if magnetic.get("lsda") and not magnetic.get("noncolin"):
        moments = {"magmom": float(magnetic["total"]), "absolute_magmom": float(magnetic["absolute"])}
    converged = output.get("convergence_info", {}).get("scf_conv", {}).get("convergence_achieved", False)
    return PwXml(bool(converged), steps, str(content["general_info"]["creator"]["@VERSION"]), moments)


@cache
def _schema(path: Path) -> Any:
    return XMLSchema(path)


def read_stdout(stdout: str) -> tuple[dict[str, Any], Any]:
    """Parse a text output of pw.x with aiida-quantumespresso: what it says, and what it complains of."""
    return parse_stdout(stdout, {"CONTROL": {}, "SYSTEM": {}, "ELECTRONS": {}}, None, None)


def _labels(parsed: PwXml, stdout: str, said: Mapping[str, Any], n_atoms: int) -> FrameLabels | FrameFailure:
    steps = parsed.steps
    for name in ("energy", "forces"):
        if not steps.get(name):
            return FrameFailure(EXIT_NO_LABELS, f"pw.x gave no {name}; set tprnfor and tstress in CONTROL.")
    energy = float(steps["energy"][-1])
    if correction := _MAKOV_PAYNE.findall(stdout):
        energy += float(correction[-1]) * units.Ry
    forces = np.asarray(steps["forces"][-1], dtype=float)
    if forces.shape != (n_atoms, 3):
        return FrameFailure(EXIT_NO_LABELS, f"pw.x gave forces on {len(forces)} atoms instead of {n_atoms}.")
    stress = None
    if steps.get("stress"):
        stress = -full_3x3_to_voigt_6_stress(np.asarray(steps["stress"][-1], dtype=float)) * units.GPa
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is not None and not np.isfinite(value).all():
            return FrameFailure(EXIT_NO_LABELS, f"the {name} that pw.x gave is not finite.")
    moments: dict[str, Any] = dict(parsed.moments)
    atomic = said.get("trajectory", {}).get("atomic_magnetic_moments") or [[]]
    if moments and len(atomic[-1]) == n_atoms:
        moments["magmoms"] = np.asarray(atomic[-1], dtype=float)
    return FrameLabels(energy, forces, stress, parsed.version, moments)


def _said(stdout: str | None, crash: str | None) -> dict[str, Any] | FrameFailure:
    """What the text output says, or what it and ``CRASH`` say went wrong, by the numbers of `PwCalculation`."""
    if not stdout and not crash:
        return FrameFailure(EXIT_INCOMPLETE, "pw.x wrote no output: it did not start, or was ended at once.")
    # What pw.x says at its end may be in one of the two alone: with many processes the output is cut off.
    in_its_words = _FROM.sub(r"Error in routine \1 (\2):", crash or "")
    text = "\n".join(filter(None, (stdout, in_its_words)))
    try:
        said, logs = read_stdout(text)
    except Exception as error:  # noqa: BLE001  a foreign parser on broken text: whatever it raises means the same
        stopped = _stopped(text) or f"the output of pw.x cannot be read ({type(error).__name__}: {error})."
        return FrameFailure(EXIT_INCOMPLETE, stopped)
    known = PwCalculation.exit_codes
    labels = [label for label in logs.error if isinstance(label, str) and label in known]
    if not labels:
        return said
    # An output that ends early is a consequence; what else the output complains of is the cause.
    labels.sort(key=lambda label: label == "ERROR_OUTPUT_STDOUT_INCOMPLETE")
    code = known[labels[0]]
    reason = code.message[:1].lower() + code.message[1:]
    if labels[0] == "ERROR_OUTPUT_STDOUT_INCOMPLETE":
        reason = _stopped(text) or reason
    return FrameFailure(code.status, reason)


def _stopped(text: str) -> str | None:
    """Where pw.x stopped itself and what it said, in one sentence; ``None`` if it did not."""
    found = list(_ROUTINE.finditer(text))
    if not found:
        return None
    routine, message = found[-1]["routine"], " ".join(found[-1]["message"].split())
    return f"pw.x stopped in {routine}: {message.rstrip('.') or 'no reason given'}."
