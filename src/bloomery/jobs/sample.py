"""The job `sample`: run one sampler."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from bloomery import __version__
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Job
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import Potential, load_potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress
from bloomery.samplers.checkpoint import Checkpoint
from bloomery.samplers.contract import Sampler

FRAMES_FILE = "frames.npz"
LEFT_FILE = "left.npz"
CHECKPOINT_FILE = "checkpoint.npz"


class Model(Job):
    """What the job file of `sample` holds."""

    verb: Literal["sample"] = "sample"
    sampler: PluginSpec
    """Which sampler, with its settings."""
    start: str
    """File with the starting structures."""
    potential: str | None = None
    """Folder of the potential that drives."""
    scale: Scale | None = None
    """What is known of the potential's errors."""
    continued: str | None = None
    """File with what the last run of the sampler left, if it goes on from that."""


DISAGREEMENT_LIMITS = ("max_disagreement", "max_expected_error")
"""Settings of samplers that end a trajectory by the disagreement of the potential."""


class Summary(TypedDict):
    """What a sampler reports: see `SamplerReport`."""

    n_frames: int
    numbers: dict[str, float]
    trajectories: list[dict[str, object]]
    driver: NotRequired[dict[str, object]]


def run(job: Model, folder: Path, progress: Progress) -> Summary:
    """Sample and write `FRAMES_FILE`, and `LEFT_FILE` if a later run goes on; the summary is the sampler's report."""
    sampler: Sampler = job.sampler.load("samplers")
    if sampler.needs_potential and job.potential is None:
        raise InputError(f"sampler {job.sampler.name!r} needs a potential; give one.")
    if job.continued is not None and not sampler.continues:
        raise InputError(
            f"continued: the sampler {job.sampler.name!r} does not go on from an earlier run; leave it out."
        )
    start = Configurations.read(folder / job.start)
    handed = {} if job.continued is None else {"continued": Configurations.read(folder / job.continued)}
    taken_up = "".join(f" {frames.digest()}" for frames in handed.values())
    potential = None if job.potential is None else load_potential(folder / job.potential, job.device)
    if potential is not None:
        _check_limits(job, potential, start)
    checkpoint = Checkpoint(
        folder / CHECKPOINT_FILE, f"{__version__} {job.model_dump_json()} {start.digest()}{taken_up}"
    )
    with chdir(folder):  # files that settings name are relative to the job
        frames, report = sampler.sample(
            start,
            potential=potential,
            seed=job.seed,
            scale=job.scale,
            progress=progress,
            checkpoint=checkpoint,
            **handed,
        )
    frames.snapped().save(folder / FRAMES_FILE)
    if report.left is not None:
        report.left.snapped().save(folder / LEFT_FILE)
    checkpoint.clear()
    summary: Summary = {"n_frames": len(frames), "numbers": report.numbers, "trajectories": report.trajectories}
    return {**summary, "driver": report.driver} if report.driver else summary


def _check_limits(job: Model, potential: Potential, start: Configurations) -> None:
    """Refuse a limit of the disagreement that a potential without any would never reach."""
    asked = next((name for name in DISAGREEMENT_LIMITS if job.sampler.settings.get(name) is not None), None)
    if asked and len(start) and potential.members == 1 and potential.predict(start[:1]).force_sigma is None:
        raise InputError(
            f"{job.sampler.name}.{asked}: a potential of one member has no disagreement; train a committee, or leave "
            "it out."
        )
