"""Compute frame-averaged features."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bloomery.descriptors.contract import Descriptor
from bloomery.frames.configurations import Configurations, in_order
from bloomery.frames.mapped import too_large
from bloomery.jobs.base import Job
from bloomery.plugins import PluginSpec
from bloomery.progress import Progress

FEATURES_FILE = "features.npz"


class Model(Job):
    """Job file of `describe`."""

    verb: Literal["describe"] = "describe"
    descriptor: PluginSpec
    elements: list[str] = Field(default_factory=list)
    """Species that the features distinguish, so that features of several jobs can be compared; by default those that
    occur."""
    inputs: dict[str, str]
    """Name to file of frames; each name becomes an array of the result."""
    memory: float = Field(default=4.0, gt=0)
    """GiB of memory that the job may take, about. Frames that need more than a quarter of it stay in files in the job's
    folder and are read from there."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, object]:
    """Write one array ``(N, F)`` of frame-averaged features for each input."""
    descriptor: Descriptor = job.descriptor.load("descriptors")
    aside = folder if too_large([folder / name for name in job.inputs.values()], job.memory) else None
    inputs = {key: Configurations.read(folder / name, folder=aside) for key, name in job.inputs.items()}
    elements = job.elements or in_order(element for frames in inputs.values() for element in frames.elements)
    arrays = {}
    for index, (key, frames) in enumerate(inputs.items()):
        progress("describe", index, len(inputs), {})
        arrays[key] = descriptor.averages(frames, elements)
    np.savez(folder / FEATURES_FILE, allow_pickle=False, **arrays)
    progress("describe", len(job.inputs), len(job.inputs), {})
    return {"n_features": descriptor.size(elements), "n_frames": {key: len(values) for key, values in arrays.items()}}
