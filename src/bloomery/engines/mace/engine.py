"""The engine `mace`: settings in, `mace_run_train` run for every member, a committee out. Imports mace late."""

from __future__ import annotations

from pathlib import Path

from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.mace.settings import MaceSettings
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress


class Mace(Engine):
    """Equivariant message-passing networks: trained, continued, or fine-tuned from a foundation model."""

    name = "mace"
    Settings = MaceSettings
    settings: MaceSettings
    package = "mace-torch"
    module = "mace"
    resumes = False  # it goes on from its last checkpoint, with another order of frames

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
        """Fit a committee; see `Engine.train`. Finished members are kept through a kill."""
        self.require()
        from bloomery.engines.mace.fitting import fit  # noqa: PLC0415

        return fit(
            self.settings, data, start_from=start_from, device=device, seed=seed, progress=progress, folder=folder
        )

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        cls.require()
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.mace.potential import MacePotential  # noqa: PLC0415

        return MacePotential.load(folder, choose_device(device))
