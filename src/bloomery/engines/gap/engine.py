"""The engine `gap`: settings in, `gap_fit` run, a potential out. Imports quippy when it loads."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.gap.settings import GapSettings
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress


class Gap(Engine):
    """Gaussian approximation potential: two-body and SOAP kernels on sparse points, with predictive variance."""

    name = "gap"
    Settings = GapSettings
    settings: GapSettings
    package = "quippy-ase"
    module = "quippy"
    starts_warm: ClassVar[bool] = False

    def train(
        self,
        data: TrainingData,
        *,
        start_from: Potential | None = None,  # noqa: ARG002  a linear fit has no start
        device: str = "auto",  # noqa: ARG002  nor has it a choice of devices
        seed: int = 0,
        progress: Progress = no_progress,
        folder: Path | None = None,
    ) -> tuple[Potential, TrainingHistory]:
        """Fit; see `Engine.train`. A member that was finished before a kill is not fitted again."""
        self.require()
        from bloomery.engines.gap.fitting import fit  # noqa: PLC0415

        return fit(self.settings, data, seed=seed, progress=progress, folder=folder)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:  # noqa: ARG003
        """Read a potential; see `Engine.load`."""
        cls.require()
        from bloomery.engines.gap.potential import GapPotential  # noqa: PLC0415

        return GapPotential.load(folder)
