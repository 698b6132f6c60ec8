"""Learn a property beyond the energy from labelled frames, and measure the model on frames that it has not seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import numpy as np

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.frames.roles import assigned, split_by_file
from bloomery.jobs.base import Job
from bloomery.plugins import PluginSpec
from bloomery.progress import Progress
from bloomery.properties.contract import PropertyModel
from bloomery.properties.evaluation import errors_of

MODEL_FOLDER = "property"
LEARNT = ("train", "early_stopping", "")
"""Roles that are learnt from: those that a training of a potential sees, and frames without any."""
UNSEEN = ("probe", "held_out")
"""Roles that are measured on."""


class Model(Job):
    """Job file of `learn`."""

    verb: Literal["learn"] = "learn"
    property: Property
    """What to learn."""
    model: PluginSpec = PluginSpec(name="equivariant_ridge")
    """What learns it."""
    batches: list[str]
    """Labelled frames with info ``role``; frames of batches without roles are all learnt from."""
    split: list[list[str]] | None = None
    """Role of each frame of each batch, in the place of those that the batches hold."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, object]:
    """Learn from the frames of `LEARNT` roles that have the label, and measure on those of `UNSEEN`."""
    began = time.perf_counter()
    model: PropertyModel = job.model.load("property_models")
    parts: dict[str, list[Configurations]] = {"learnt": [], **{role: [] for role in UNSEEN}}
    for name, given in zip(job.batches, split_by_file(job.split, job.batches), strict=True):
        batch = assigned(Configurations.read(folder / name), given, name)
        roles = np.asarray(batch.info.get("role", np.full(len(batch), "")))
        parts["learnt"].append(batch[np.isin(roles, LEARNT)])
        for role in UNSEEN:
            parts[role].append(batch[roles == role])
    frames = {role: Configurations.concatenate(found) for role, found in parts.items()}
    learnt = frames.pop("learnt")
    n_labelled = int(learnt.has(job.property).sum())
    if not n_labelled:
        raise InputError(
            f"batches: no frame that may be learnt from has the label {job.property}; label frames with it, see "
            "`properties` of the labeller."
        )
    progress("learn", 0, 1, {})
    fitted = model.fit(learnt, job.property, job.seed)
    fitted.save(folder / MODEL_FOLDER)
    errors = {role: found for role, part in frames.items() if (found := errors_of(fitted, part, job.seed)) is not None}
    return {
        "property": job.property,
        "model": model.name,
        "elements": fitted.elements,
        "n_frames": n_labelled,
        "errors": errors,
        "seconds": time.perf_counter() - began,
    }
