"""The user's own frames, labelled or not, as a pool."""

from __future__ import annotations

from math import ceil

import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.samplers.contract import ORIGIN_KEYS, SELECTION_KEYS, SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import with_origin
from bloomery.seeds import derive_seed


class FromFileSettings(Settings):
    """Settings of the sampler `from_file`."""

    file: str | None = None
    """File with frames, of any format that ASE reads; without one the starting structures are the frames."""
    frames: str | None = None
    """In a campaign: the label under which the frames are handed over."""
    max_frames: int | None = Field(default=None, ge=1)
    """Take at most so many, drawn at random; by default all."""
    block_frames: int = Field(default=1, ge=1)
    """So many frames in a row are correlated, as those of a trajectory are, and share a block."""


class FromFile(TaskSampler):
    """Hand on frames that exist, with the labels that they have."""

    name = "from_file"
    takes_own_frames = True
    Settings = FromFileSettings
    settings: FromFileSettings

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; a block of the file is a trajectory of its own."""
        frames = task.start if self.settings.file is None else Configurations.read(self.settings.file)
        if not len(frames):
            raise InputError(f"{self.name}: there are no frames; give a file, or frames to start from.")
        indices = np.arange(len(frames))
        limit = self.settings.max_frames
        if limit is not None and limit < len(frames):
            # Ranked by content: the same frames are drawn from the same file in another order.
            keys = [derive_seed(task.seed, content) for content in frames.hashes()]
            indices = np.sort(np.argsort(keys, kind="stable")[:limit])
        temperature = frames.info.get("temperature")
        if temperature is None or temperature.dtype.kind not in "if":
            temperature = np.full(len(frames), -1.0)
        start, block = indices if self.settings.file is None else -1, indices // self.settings.block_frames
        taken = with_origin(
            frames[indices].without_info(*ORIGIN_KEYS, *SELECTION_KEYS),
            start=start, trajectory=block, block=block, step=indices, temperature=temperature[indices],
        )  # fmt: skip
        task.progress("sample", len(taken), len(taken), {})
        return taken, SamplerReport({"frames": float(len(taken)), "frames_in_file": float(len(frames))})

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; reads the file if there is one, to count its frames."""
        n = n_start if self.settings.file is None else len(Configurations.read(self.settings.file))
        frames = n if self.settings.max_frames is None else min(n, self.settings.max_frames)
        return {"frames": frames, "md_steps": 0, "blocks": ceil(n / self.settings.block_frames)}
