"""What potentials say of frames, as labels: of the committee and of each of its members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import DivergedError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import Progress

CHUNK = 64


def predict_in_chunks(potential: Potential, configurations: Configurations, progress: Progress) -> Prediction:
    """Predict all frames, reporting on the way; `DivergedError` names a frame whose prediction is not finite."""
    parts = []
    for start in range(0, len(configurations), CHUNK):
        parts.append(potential.predict(configurations[start : start + CHUNK]))
        progress("predict", min(start + CHUNK, len(configurations)), len(configurations), {})
    whole = Prediction.concatenate(parts)
    bad = np.flatnonzero(~np.isfinite(whole.energies).all(axis=0))
    bad_atoms = np.flatnonzero(~np.isfinite(whole.forces).all(axis=(0, 2)))
    frames = [*bad, *configurations.frame_of_atom[bad_atoms]]
    if frames:
        raise DivergedError(f"the potential's prediction for frame {min(frames)} is not finite.")
    return whole


def labelled_by(
    potential: Potential, configurations: Configurations, progress: Progress
) -> tuple[Configurations, list[Configurations]]:
    """Label frames by a potential: by the mean of its members and, if there are several, by each of them."""
    prediction = predict_in_chunks(potential, configurations, progress)
    mean = _labelled(configurations, prediction.energy, prediction.force, prediction.stress)
    if prediction.members == 1:
        return mean, []
    stresses = [None] * prediction.members if prediction.stresses is None else list(prediction.stresses)
    members = zip(prediction.energies, prediction.forces, stresses, strict=True)
    return mean, [_labelled(configurations, energy, forces, stress) for energy, forces, stress in members]


def _labelled(
    frames: Configurations, energy: NDArray[Any], forces: NDArray[Any], stress: NDArray[Any] | None
) -> Configurations:
    labels = {"energy": energy, "forces": forces} | ({} if stress is None else {"stress": stress})
    return frames.without_labels().with_labels(**labels, masks={"stress": frames.pbc.all(axis=1)})
