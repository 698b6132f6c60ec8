"""Predict energies, forces and stresses of all members for given frames."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Job
from bloomery.potentials.contract import load_potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import Progress

PREDICTION_FILE = "prediction.npz"
CHUNK_FRAMES = 256
WRITTEN = (
    "counts", "energies", "forces", "energy_sigma", "force_sigma", "stresses", "extrapolation", "extrapolating_feature",
)  # fmt: skip


class Model(Job):
    """Job file of `predict`."""

    verb: Literal["predict"] = "predict"
    potential: str
    """Folder of the potential."""
    configurations: str
    """The frames."""
    stress: bool = True
    """Whether stresses are wanted."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, float]:
    """Predict in chunks, and write ``counts``, ``energies``, ``forces`` and ``stresses`` of all members.

    An engine's own sigmas go beside them as ``energy_sigma`` and ``force_sigma``.
    """
    potential = load_potential(folder / job.potential, job.device)
    frames = Configurations.read(folder / job.configurations)
    parts = []
    for start in range(0, len(frames), CHUNK_FRAMES):
        parts.append(potential.predict(frames[start : start + CHUNK_FRAMES], stress=job.stress))
        progress("predict", min(start + CHUNK_FRAMES, len(frames)), len(frames), {})
    if not parts:
        parts.append(potential.predict(frames, stress=job.stress))
    whole = Prediction.concatenate(parts)
    arrays = {name: values for name in WRITTEN if (values := getattr(whole, name)) is not None}
    np.savez(folder / PREDICTION_FILE, allow_pickle=False, **arrays)
    return {
        "n_frames": len(frames),
        "n_atoms": frames.n_atoms,
        "members": potential.members,
        "disagreement": float(whole.disagreement.max(initial=0.0)),
    }
