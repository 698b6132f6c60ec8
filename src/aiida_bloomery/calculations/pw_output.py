"""Labels from runs of pw.x: energy, forces and stress in our units, or the reason why there are none."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from numpy.typing import NDArray
from xmlschema import XMLSchema

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from bloomery.frames.configurations import Configurations

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
    prints after the exclamation mark and writes to its XML as ``etot``."""
    forces: NDArray[np.float64]
    """``(n, 3)`` in eV/Å."""
    stress: NDArray[np.float64] | None
    """``(6,)`` in eV/Å^3, ASE's order and sign (pw.x's own is the opposite), or ``None`` if it was not asked for."""
    version: str


@dataclass(frozen=True)
class PwXml:
    """What the XML file of a run of pw.x of some version says of its steps."""

    converged: bool
    """Whether the last electronic minimisation reached self-consistency."""
    steps: Mapping[str, Sequence[Any]]
    """By name a value for each step, as aiida-quantumespresso calls them: ``energy`` (eV), ``forces`` (eV/Å),
    ``stress`` (GPa, pw.x's sign), ``positions`` (Å), ``scf_iterations``."""
    version: str


@dataclass(frozen=True)
class FrameFailure:
    """Why there are no labels: the status that `PwCalculation` gives to such an end, and one sentence."""

    exit_code: int
    reason: str


def read_frame(xml: str | None, stdout: str | None, n_atoms: int) -> FrameLabels | FrameFailure:
    """Read the XML of a run of pw.x; its text output says what went wrong.

    Parameters
    ----------
    xml, stdout
        Contents of ``data-file-schema.xml`` and of the text output; ``None`` where there is no such file.
    n_atoms
        Number of atoms that the frame has.
    """
    failure = _failure_in(stdout)
    if failure is not None:
        return failure
    if xml is None:
        return FrameFailure(EXIT_NO_XML, "pw.x left no XML file; read its output.")
    try:
        parsed = read_xml(xml)
    except (XMLParseError, XMLUnsupportedFormatError, KeyError, TypeError, ValueError) as error:
        return FrameFailure(EXIT_BAD_XML, f"the XML file of pw.x cannot be read ({error}).")
    if not parsed.converged:
        return FrameFailure(EXIT_NOT_CONVERGED, "the electronic minimisation did not reach self-consistency.")
    return _labels(parsed, n_atoms)


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
    stresses = [labels[index].stress for index in indices]
    labelled = frames.with_labels(
        energy=[labels[index].energy for index in indices],
        forces=np.concatenate([labels[index].forces for index in indices]),
        stress=[np.zeros(6) if stress is None else stress for stress in stresses],
        masks={"stress": [stress is not None for stress in stresses]},
    ).with_info(label_uuid=str(job.uuid), label_folder=[folder.format(index) for index in indices])
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
    converged = output.get("convergence_info", {}).get("scf_conv", {}).get("convergence_achieved", False)
    return PwXml(bool(converged), steps, str(content["general_info"]["creator"]["@VERSION"]))


@cache
def _schema(path: Path) -> Any:
    return XMLSchema(path)


def read_stdout(stdout: str) -> tuple[dict[str, Any], Any]:
    """Parse a text output of pw.x with aiida-quantumespresso: what it says, and what it complains of."""
    return parse_stdout(stdout, {"CONTROL": {}, "SYSTEM": {}, "ELECTRONS": {}}, None, None)


def _labels(parsed: PwXml, n_atoms: int) -> FrameLabels | FrameFailure:
    steps = parsed.steps
    for name in ("energy", "forces"):
        if not steps.get(name):
            return FrameFailure(EXIT_NO_LABELS, f"pw.x gave no {name}; set tprnfor and tstress in CONTROL.")
    energy = float(steps["energy"][-1])
    forces = np.asarray(steps["forces"][-1], dtype=float)
    if forces.shape != (n_atoms, 3):
        return FrameFailure(EXIT_NO_LABELS, f"pw.x gave forces on {len(forces)} atoms instead of {n_atoms}.")
    stress = None
    if steps.get("stress"):
        stress = -full_3x3_to_voigt_6_stress(np.asarray(steps["stress"][-1], dtype=float)) * units.GPa
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is not None and not np.isfinite(value).all():
            return FrameFailure(EXIT_NO_LABELS, f"the {name} that pw.x gave is not finite.")
    return FrameLabels(energy, forces, stress, parsed.version)


def _failure_in(stdout: str | None) -> FrameFailure | None:
    """What the text output says went wrong, in the words and by the numbers of `PwCalculation`."""
    if not stdout:
        return FrameFailure(EXIT_INCOMPLETE, "pw.x wrote no output: it did not start, or was ended at once.")
    try:
        _, logs = read_stdout(stdout)
    except Exception as error:  # noqa: BLE001  a foreign parser on broken text: whatever it raises means the same
        return FrameFailure(EXIT_INCOMPLETE, f"the output of pw.x cannot be read ({type(error).__name__}: {error}).")
    known = PwCalculation.exit_codes
    labels = [label for label in logs.error if isinstance(label, str) and label in known]
    if not labels:
        return None
    # An output that ends early is a consequence; what else the output complains of is the cause.
    labels.sort(key=lambda label: label == "ERROR_OUTPUT_STDOUT_INCOMPLETE")
    code = known[labels[0]]
    return FrameFailure(code.status, code.message[:1].lower() + code.message[1:])
