"""Exporting a potential of any engine: written, tried again in the form that its users run, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bloomery.engines.ase_potential import CalculatorPotential
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.calibration import calibrate
from bloomery.potentials.contract import Potential
from bloomery.potentials.model_card import with_measurements

MEASURED = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Exported:
    """What was written, and what was measured of it, as the model card has it."""

    files: list[Path]
    measurements: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {"files": [str(path) for path in self.files], "measurements": self.measurements}


def export_potential(
    potential: Potential,
    format: str,  # noqa: A002
    folder: Path,
    frames: Configurations | None = None,
    acceptance: AcceptanceSettings | None = None,
) -> Exported:
    """Export a potential, and check what was written on frames, if there are any.

    If these have labels, errors go into the model card, and how far the disagreement can be taken for an error.

    Raises
    ------
    InputError
        If the folder holds something already, or the engine cannot write that format.
    RefusedPotentialError
        If the exported form does not obey the physics.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; give another folder, or remove it.")
    if frames is not None and (unknown := potential.unknown_element(frames)):
        raise InputError(unknown)
    files = potential.export(format, folder)
    if frames is None:
        return Exported(files)
    measurements: dict[str, object] = {"frames": len(frames), "digest": frames.digest()}
    calculator = potential.exported_calculator(format, folder)
    if calculator is not None:
        report = check_potential(CalculatorPotential(calculator, potential), frames, acceptance)
        measurements["acceptance_of_exported_form"] = report.to_dict()
        report.raise_if_refused()
    labelled = frames[frames.has("energy") | frames.has("forces")]
    if len(labelled):
        observed = load_plugin("observables", "errors").make().observe(potential, labelled).summary
        measurements |= {key: observed[key] for key in MEASURED if observed.get(key)}
        if potential.members > 1 or potential.predict(labelled[:1]).force_sigma is not None:
            measurements["calibration"] = calibrate(potential.predict(labelled), labelled).to_dict()
    with_measurements(folder, measurements)
    return Exported(files, measurements)
