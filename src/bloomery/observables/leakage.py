"""Frames of a test that have been trained on: the same, or so near that they test nothing.

The same frames are found by content hash. Near ones are found by the features of a descriptor, averaged over the atoms
of a frame, which know nothing of rotations, of the order of atoms or of repeats of a cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.descriptors.contract import Descriptor
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Observation, Task, TaskObservable, number
from bloomery.plugins import PluginSpec, Settings
from bloomery.progress import Progress
from bloomery.quantities import Share

CHUNK = 256


class LeakageSettings(Settings):
    """Settings of the observable `leakage`."""

    descriptor: PluginSpec = PluginSpec(name="power_spectrum")
    """Descriptor whose features say how near two frames are."""
    near: Share = Field(default=0.01, gt=0)
    """Frames are near when the distance of their features is below this share of the spread of the training frames,
    which is the root mean square distance of their features from the mean."""
    named: int = Field(default=10, ge=0)
    """How many of the leaked frames are named."""


class Leakage(TaskObservable):
    """Test frames that are also in the training frames, which are given as the reference: exactly or nearly."""

    name = "leakage"
    labelled = True
    Settings = LeakageSettings
    settings: LeakageSettings

    def run(self, task: Task) -> Observation:
        """Compare test frames, the configurations, with training frames, the reference."""
        configurations, reference = task.configurations, task.reference
        if reference is None or not len(reference):
            raise InputError("leakage: there are no training frames to compare with; give them as the reference.")
        if not len(configurations):
            return Observation({"n_frames": 0, "n_atoms": 0})
        test, training = configurations.hashes(), reference.hashes()
        place = {content: row for row, content in reversed(list(enumerate(training)))}
        same = np.array([place.get(content, -1) for content in test])
        distances, nearest = self._distances(configurations, reference, task.progress)
        near = (distances < self.settings.near) & (same < 0)
        order = np.lexsort((np.arange(len(test)), distances, same < 0))
        leaked = [int(frame) for frame in order if same[frame] >= 0 or near[frame]]
        n, n_same = len(test), int((same >= 0).sum())
        sentence = (
            f"{len(leaked)} of {n} test frames have been trained on, {n_same} of them exactly: errors on "
            "them say nothing about frames that the potential has not seen."
        )
        summary = {
            "n_frames": n,
            "n_training_frames": len(training),
            "n_same": n_same,
            "n_near": int(near.sum()),
            "leaked": number(100 * len(leaked) / n, "%"),
            "smallest_distance": number(float(distances.min()), "1"),
            "median_distance": number(float(np.median(distances)), "1"),
            "leaked_frames": [
                {
                    "frame": frame,
                    "hash": test[frame],
                    "training_frame": int(same[frame] if same[frame] >= 0 else nearest[frame]),
                    "same": bool(same[frame] >= 0),
                    "distance": number(float(distances[frame]), "1"),
                }
                for frame in leaked[: self.settings.named]
            ],
            "warnings": [sentence] if leaked else [],
        }
        arrays = {"distance": distances, "nearest": nearest, "same": same >= 0}
        return Observation(summary, arrays, dict.fromkeys(arrays, "1"))

    def _distances(
        self, test: Configurations, training: Configurations, progress: Progress
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distance of each test frame to the nearest training frame, in units of their spread, and which that is."""
        from scipy.spatial.distance import cdist  # noqa: PLC0415  a tenth of a second to import

        descriptor: Descriptor = self.settings.descriptor.load("descriptors")
        elements = sorted({*test.elements, *training.elements})
        descriptor = descriptor.fitted(training, elements)
        known = descriptor.averages(training, elements)
        found = descriptor.averages(test, elements)
        centre = known.mean(axis=0)
        spread = float(np.sqrt(((known - centre) ** 2).sum(axis=1).mean())) or float(np.linalg.norm(centre)) or 1.0
        distances, nearest = np.zeros(len(test)), np.zeros(len(test), dtype=np.int64)
        for start in range(0, len(test), CHUNK):
            rows = slice(start, start + CHUNK)
            each = cdist(found[rows], known)
            nearest[rows] = each.argmin(axis=1)
            distances[rows] = each.min(axis=1) / spread
            progress("compare", min(start + CHUNK, len(test)), len(test), {})
        return distances, nearest
