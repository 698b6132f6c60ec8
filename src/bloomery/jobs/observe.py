"""The job `observe`: measure one observable."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import Role, assigned, split_by_file
from bloomery.jobs.base import Job
from bloomery.observables.contract import Observable, Observation
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.contract import load_potential
from bloomery.progress import Progress, write_json

OBSERVATION_FILE = "observation.json"
ARRAYS_FILE = "observation.npz"


class Further(Settings):
    """Another observable that the same job measures: starting a job takes longer than measuring most of them."""

    observable: PluginSpec
    """Which observable, with its settings."""
    roles: list[Role] | None = None
    """Keep only frames with these roles."""


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
    split: list[list[str]] | None = None
    """Role of each frame of each file, in the place of those that the files hold."""
    roles: list[Role] | None = None
    """Keep only frames with these roles; a frame without a role counts as `train`."""
    reference_roles: list[Role] | None = None
    """Keep only frames of the reference with these roles."""
    further: list[Further] = Field(default_factory=list)
    """Further observables of the same frames; their numbers stand under their names, beside those of the first."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, object]:
    """Measure; write `OBSERVATION_FILE` and `ARRAYS_FILE`."""
    parts = read(job.configurations, folder, job.split)
    reference = None
    if job.reference:
        parts_of_reference = [with_roles(part, job.reference_roles) for part in read(job.reference, folder)]
        reference = Configurations.concatenate(parts_of_reference)
    potential = None if job.potential is None else load_potential(folder / job.potential, job.device)

    def measure(spec: PluginSpec, roles: list[Role] | None) -> Observation:
        observable: Observable = spec.load("observables")
        frames = Configurations.concatenate([with_roles(part, roles) for part in parts])
        with chdir(folder):  # files that settings name are relative to the job
            return observable.observe(potential, frames, reference=reference, seed=job.seed, progress=progress)

    first = measure(job.observable, job.roles)
    summary, arrays, units = dict(first.summary), dict(first.arrays), dict(first.units)
    for further in job.further:
        name, found = further.observable.name, measure(further.observable, further.roles)
        summary[name] = found.summary
        arrays |= {f"{name}_{key}": value for key, value in found.arrays.items()}
        units |= {f"{name}_{key}": unit for key, unit in found.units.items()}
    np.savez_compressed(folder / ARRAYS_FILE, allow_pickle=False, **arrays)
    write_json(folder / OBSERVATION_FILE, {"summary": summary, "units": units})
    return summary


def read(paths: list[str], folder: Path, split: list[list[str]] | None = None) -> list[Configurations]:
    """Read all files, and note in ``info["batch"]`` which file a frame is from."""
    return [
        assigned(Configurations.read(folder / path).with_info(batch=index), roles, path)
        for index, (path, roles) in enumerate(zip(paths, split_by_file(split, paths), strict=True))
    ]


def with_roles(frames: Configurations, roles: list[Role] | None) -> Configurations:
    """Keep the frames that have one of these roles; all, if none are asked for."""
    if roles is None:
        return frames
    role = frames.info.get("role", np.full(len(frames), "train"))
    return frames[np.flatnonzero(np.isin(role, roles))]
