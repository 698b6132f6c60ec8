"""The engine `hdnnp`: checks the data, and hands it to the training. Imports torch when it trains or loads."""

from __future__ import annotations

from pathlib import Path

from bloomery.engines.contract import Engine, Potential, Progress, TrainingData, TrainingHistory, no_progress
from bloomery.engines.hdnnp.settings import HdnnpSettings


class Hdnnp(Engine):
    """Committee of per-element neural networks on atom-centred descriptors."""

    name = "hdnnp"
    Settings = HdnnpSettings
    settings: HdnnpSettings

    def train(
        self,
        data: TrainingData,
        *,
        start_from: Potential | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: Progress = no_progress,
        folder: Path | None = None,
    ) -> tuple[Potential, TrainingHistory]:
        """Fit a committee; see `Engine.train`."""
        from bloomery.engines.hdnnp.fitting import fit  # noqa: PLC0415

        return fit(
            self.settings, data, start_from=start_from, device=device, seed=seed, progress=progress, folder=folder
        )

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.hdnnp.potential import HdnnpPotential  # noqa: PLC0415

        return HdnnpPotential.load(folder, choose_device(device))
