"""Errors of a potential on labelled frames, with their statistical error."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from ase.data import chemical_symbols
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.blocks import blocks_of
from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Observation, OfPotential, number
from bloomery.observables.points.comparison import Comparison
from bloomery.observables.points.faults import warnings
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.potentials.evaluation import predict_in_chunks
from bloomery.potentials.reliability import rank_correlation
from bloomery.progress import Progress
from bloomery.quantities import ForceInEV
from bloomery.statistics import MILLI, Bootstrap, ToldNumber, ToldNumbers

NAMES = ("source", "source_frame", "name", "batch", "pool", "trajectory", "step", "temperature", "role")
"""Per-frame arrays that tell which frame one is."""
Group = dict[str, ToldNumber | int]


class ErrorsSettings(Settings):
    """Settings of the observable `errors`."""

    resamples: int = Field(default=1000, ge=100)
    """How often blocks are resampled for the intervals."""
    worst: int = Field(default=10, ge=0)
    """How many of the worst frames are named."""
    groups: list[str] = Field(default=["role", "temperature", "group", "config_type"])
    """Per-frame values by which errors are told apart, where the frames have them."""
    max_groups: int = Field(default=20, ge=1)
    """A value by which the frames fall into more groups than this is passed over."""
    angle_from: ForceInEV = Field(default=0.1, ge=0)
    """Angles between predicted and reference forces are taken where the reference is above this, in eV/Å."""


class Errors(OfPotential):
    """Errors of energy, forces and stress: all together, per element, per group of frames and for the worst frames."""

    name = "errors"
    labelled = True
    of_no_frames: ClassVar[dict[str, Any] | None] = {"n_frames": 0, "n_atoms": 0}
    Settings = ErrorsSettings
    settings: ErrorsSettings
    without_potential = "there is no potential whose errors could be measured; give one."

    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Compare with the labels that the frames have; frames without a label of a kind do not count for it."""
        unlabelled = ~(configurations.has("energy") | configurations.has("forces"))
        if unlabelled.any():
            raise InputError(f"errors: frame {np.argmax(unlabelled)} has neither energy nor forces; label it first.")
        self.require_elements(potential, configurations)
        prediction = predict_in_chunks(potential, configurations, progress)
        bootstrap = Bootstrap(blocks_of(configurations), resamples=self.settings.resamples, seed=seed)
        comparison = Comparison(configurations, prediction, bootstrap, angle_from=self.settings.angle_from)
        stress, elements = comparison.stresses(), comparison.elements()
        summary = {
            "n_frames": len(configurations),
            "n_atoms": configurations.n_atoms,
            "n_blocks": bootstrap.n_blocks,
            "energy": comparison.energies(),
            "forces": comparison.force_statistics(),
            "stress": stress,
            "per_element": elements,
            "per_group": self._groups(comparison),
            "reference": comparison.reference_statistics(),
            "worst_frames": worst_frames(comparison, self.settings.worst),
            "worst_energies": worst_frames(comparison, self.settings.worst, by="energy"),
            "disagreement": disagreement(comparison),
            "warnings": warnings(comparison, stress, elements),
        }
        return Observation(summary, arrays(comparison), UNITS)

    def _groups(self, comparison: Comparison) -> dict[str, dict[str, Group]]:
        result: dict[str, dict[str, Group]] = {}
        info = comparison.frames.info
        for key in self.settings.groups:
            if key not in info or info[key].ndim > 1:
                continue
            values = np.unique(info[key])
            if 1 < len(values) <= self.settings.max_groups:
                result[key] = {str(value): comparison.group(info[key] == value) for value in values}
        return result


UNITS = {
    **dict.fromkeys(("energy_reference", "energy_predicted"), "eV/atom"),
    **dict.fromkeys(("forces_reference", "forces_predicted"), "eV/Å"),
    "forces_number": "1",
    **dict.fromkeys(("stress_reference", "stress_predicted"), "GPa"),
    **dict.fromkeys(("disagreement", "frame_force_rmse"), "eV/Å"),
    "frame_force_components": "1",
    "frame_energy_error": "eV/atom",
    **dict.fromkeys(("frame_energy_known", "frame_block"), "1"),
}


def arrays(comparison: Comparison) -> dict[str, NDArray[Any]]:
    """Parity plots, only what has a label; and errors by frame, zero where it has no label, with its block."""
    frames, prediction, counts = comparison.frames, comparison.prediction, comparison.frames.counts
    found: dict[str, NDArray[Any]] = {
        "energy_reference": comparison.energy[comparison.energy_mask],
        "energy_predicted": (prediction.energy / counts)[comparison.energy_mask],
        "forces_reference": comparison.forces[comparison.atom_mask],
        "forces_predicted": prediction.force[comparison.atom_mask],
        "forces_number": frames.numbers[comparison.atom_mask],
        "disagreement": prediction.disagreement,
        "frame_force_rmse": comparison.frame_force_rmse,
        "frame_force_components": np.where(comparison.force_mask, 3 * counts, 0),
        "frame_energy_error": comparison.energy_error,
        "frame_energy_known": comparison.energy_mask.astype(np.int64),
        "frame_block": comparison.bootstrap.blocks,
    }
    if prediction.stress is not None:
        found["stress_reference"] = comparison.stress[comparison.stress_mask]
        found["stress_predicted"] = prediction.stress[comparison.stress_mask] / GPa
    return found


def worst_frames(comparison: Comparison, n: int, by: Literal["force", "energy"] = "force") -> list[dict[str, object]]:
    """Frames with the largest error of force, or of energy; of the energy too where no frame has forces."""
    frames = comparison.frames
    hashes = frames.hashes()
    by_force = by == "force" and comparison.force_mask.any()
    measure = comparison.frame_force_rmse if by_force else np.abs(comparison.energy_error)
    order = np.lexsort((np.array(hashes), -measure))[:n]
    largest = np.linalg.norm(comparison.force_error, axis=1)
    named = [key for key in NAMES if key in frames.info and frames.info[key].ndim == 1]
    result = []
    for frame in order:
        entry: dict[str, object] = {"frame": int(frame), "hash": hashes[frame]}
        entry |= {"force_rmse": None, "energy_error": None}
        entry |= {key: frames.info[key][frame].item() for key in named}
        if comparison.force_mask[frame]:
            entry["force_rmse"] = number(MILLI * comparison.frame_force_rmse[frame], "meV/Å")
            atoms = slice(frames.offsets[frame], frames.offsets[frame + 1])
            if frames.counts[frame]:
                atom = int(np.argmax(largest[atoms]))
                entry["worst_atom"] = atom
                entry["worst_element"] = chemical_symbols[frames.numbers[atoms][atom]]
                entry["worst_force_error"] = number(MILLI * largest[atoms][atom], "meV/Å")
        if comparison.energy_mask[frame]:
            entry["energy_error"] = number(MILLI * comparison.energy_error[frame], "meV/atom")
        result.append(entry)
    return result


def disagreement(comparison: Comparison) -> ToldNumbers:
    """How well the committee knows where it is wrong: rank correlation over atoms, and over frames."""
    prediction = comparison.prediction
    atoms = prediction.atom_disagreement[comparison.atom_mask]
    if not len(atoms):
        return {}
    result = {"rms": number(MILLI * float(np.sqrt((atoms**2).mean())), "meV/Å")}
    errors = np.linalg.norm(comparison.force_error[comparison.atom_mask], axis=1)
    labelled = comparison.force_mask
    of_frames = prediction.disagreement[labelled], comparison.frame_force_rmse[labelled]
    for name, pair in (("spearman", (atoms, errors)), ("spearman_frames", of_frames)):
        rank = rank_correlation(*pair)
        if rank is not None:
            result[name] = number(rank, "1")
    return result
