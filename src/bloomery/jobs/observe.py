"""The job `observe`: measure one observable."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from bloomery.configurations import Configurations
from bloomery.engines.contract import Progress, load_potential
from bloomery.jobs.base import Job, write_json
from bloomery.observables.contract import Observable
from bloomery.plugins import PluginSpec
from bloomery.roles import Role

OBSERVATION_FILE = "observation.json"
ARRAYS_FILE = "observation.npz"


class Model(Job):
    """What the job file of `observe` holds."""

    verb: Literal["observe"] = "observe"
    observable: PluginSpec
    """Which observable, with its settings."""
    potential: str | None = None
    """Folder of the potential."""
    configurations: list[str] = Field(min_length=1)
    """Files with frames, one after the other."""
    reference: list[str] = Field(default_factory=list)
    """Files with what the reference method has to say: labelled frames that were wanted, or a trajectory."""
    roles: list[Role] | None = None
    """Keep only frames with these roles; a frame without a role counts as `train`."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, Any]:
    """Measure; write `OBSERVATION_FILE` and `ARRAYS_FILE`."""
    observable: Observable = job.observable.load("observables")
    frames = gather(job.configurations, folder, job.roles)
    reference = gather(job.reference, folder) if job.reference else None
    potential = None if job.potential is None else load_potential(folder / job.potential, job.device)
    with chdir(folder):  # files that settings name are relative to the job
        observation = observable.observe(potential, frames, reference=reference, seed=job.seed, progress=progress)
    np.savez_compressed(folder / ARRAYS_FILE, allow_pickle=False, **observation.arrays)
    write_json(folder / OBSERVATION_FILE, {"summary": observation.summary, "units": observation.units})
    return observation.summary


def gather(paths: list[str], folder: Path, roles: list[Role] | None = None) -> Configurations:
    """Read all files, keep the roles asked for, and note in ``info["batch"]`` which file a frame is from."""
    parts = []
    for index, path in enumerate(paths):
        part = Configurations.read(folder / path).with_info(batch=index)
        if roles is not None:
            role = part.info.get("role", np.full(len(part), "train"))
            part = part[np.flatnonzero(np.isin(role, roles))]
        parts.append(part)
    return Configurations.concatenate(parts)
