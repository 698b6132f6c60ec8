"""Fit a potential, and accept it or refuse it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bloomery.engines.contract import Engine, TrainingData
from bloomery.errors import InputError
from bloomery.frames.census import labelled
from bloomery.frames.configurations import Configurations, bad_label
from bloomery.frames.energy_reference import check_energy_reference, fit_energy_reference
from bloomery.frames.roles import assigned, split_by_file
from bloomery.jobs.base import Job
from bloomery.observables.errors import Errors
from bloomery.plugins import PluginSpec
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.contract import Potential, load_potential
from bloomery.progress import Progress, write_json

POTENTIAL_FOLDER = "potential"
REFUSED_FOLDER = "refused"
HISTORY_FILE = "history.json"
CHECKPOINT_FOLDER = "checkpoint"
MOST_JUDGED = 500
"""On more frames than this the error of what was seen is not measured more sharply: some of them are drawn."""


class Model(Job):
    """Job file of `train`."""

    verb: Literal["train"] = "train"
    engine: PluginSpec
    batches: list[str]
    """Labelled frames with info ``role``; frames of batches without roles are all train."""
    split: list[list[str]] | None = None
    """Role of each frame of each batch, in the place of those that the batches hold."""
    start_from: str | None = None
    """Folder of a potential of the same engine, for a warm start."""
    energy_reference: dict[str, float] | None = None
    """Energy per atom of each element in eV; by default a least-squares fit of the composition."""
    acceptance: AcceptanceSettings = AcceptanceSettings()


def run(job: Model, folder: Path, progress: Progress) -> dict[str, object]:
    """Train on the frames of the role train, stop on those of early_stopping, never touch the others."""
    began = time.perf_counter()
    engine: Engine = job.engine.load("engines")
    roles = read_roles(folder, job.batches, job.split)
    train, elements = roles["train"], roles["train"].elements
    if job.energy_reference is None:
        reference, method = fit_energy_reference(train, elements), "fit"
    else:
        reference, method = check_energy_reference(job.energy_reference, elements), "values"
    start = None if job.start_from is None else load_potential(folder / job.start_from, job.device)
    potential, history = engine.train(
        TrainingData(**roles, energy_reference=reference),
        start_from=start,
        device=job.device,
        seed=job.seed,
        progress=progress,
        folder=folder / CHECKPOINT_FOLDER,
    )
    progress("accept", 0, 1, {})
    report = check_potential(potential, train, job.acceptance, job.seed)
    potential.save(folder / (POTENTIAL_FOLDER if report.passed else REFUSED_FOLDER))
    said = {"columns": history.columns, "summary": history.summary, "acceptance": report.to_dict()}
    write_json(folder / HISTORY_FILE, said)
    report.raise_if_refused()
    judged = {name: errors(potential, frames, job.seed, progress) for name, frames in roles.items()}
    judged["train"]["warnings"] = [*history.doubts, *judged["train"]["warnings"]]
    return {
        **history.summary,
        "errors": judged,
        "energy_reference": reference,
        "energy_reference_method": method,
        "acceptance": report.to_dict(),
        "members": potential.members,
        "seconds": time.perf_counter() - began,
    }


def read_roles(folder: Path, batches: list[str], split: list[list[str]] | None = None) -> dict[str, Configurations]:
    """Read all batches, and return the frames of the two roles that a training may see.

    Raises
    ------
    InputError
        If a label is not finite (batch and frame are named), or no frame of the role train has a label.
    """
    parts: dict[str, list[Configurations]] = {"train": [], "early_stopping": []}
    for name, given in zip(batches, split_by_file(split, batches), strict=True):
        batch = Configurations.load(folder / name) if name.endswith(".npz") else Configurations.read(folder / name)
        batch = assigned(batch, given, name)
        wrong = bad_label(batch)
        if wrong is not None:
            raise InputError(
                f"{name}: frame {wrong[0]} has a label {wrong[1]} that is not finite; remove the label or the frame."
            )
        roles = np.asarray(batch.info.get("role", np.full(len(batch), "train")))
        roles = np.where(roles == "", "train", roles)
        for role, found in parts.items():
            found.append(batch[roles == role])
    train, early = (Configurations.concatenate(found) for found in parts.values())
    known = labelled(train)
    if not known.any():
        raise InputError(
            f"batches: no frame of the role train in {', '.join(batches)} has a label; label frames before training."
        )
    return {"train": train[known], "early_stopping": early}


def errors(potential: Potential, frames: Configurations, seed: int, progress: Progress) -> dict[str, Any]:
    """RMSE of energy, forces and stress on frames that the training has seen, or on some of them if they are many.

    Beside the errors on unseen frames they tell whether more frames or a larger model would help.
    """
    known = np.flatnonzero(frames.has("energy") | frames.has("forces"))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(known))[:MOST_JUDGED])
    found = Errors.make(worst=0, groups=[]).observe(potential, frames[known[chosen]], seed=seed, progress=progress)
    numbers = {name: found.summary.get(name, {}).get("rmse") for name in ("energy", "forces", "stress")}
    measured = {name: number for name, number in numbers.items() if number}
    # A label that no potential can follow shows where it was trained on.
    return {"n_frames": len(chosen), **measured, "warnings": found.summary.get("warnings", [])}
