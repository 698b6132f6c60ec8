"""The engine `hdnnp`: checks the data, and hands it to the training. Imports torch when it trains or loads."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.frames.file_units import FileUnits
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress


class Hdnnp(Engine):
    """Committee of per-element neural networks on atom-centred descriptors."""

    name = "hdnnp"
    Settings = HdnnpSettings
    settings: HdnnpSettings
    imports: ClassVar[dict[str, str]] = {"n2p2": "files of n2p2 or RuNNer: a folder of one member, or of folders"}

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
    def import_files(cls, format: str, path: Path, units: FileUnits | None = None) -> Potential:  # noqa: A002, ARG003
        """Read n2p2's files; see `Engine.import_files`."""
        from bloomery.engines.hdnnp.n2p2 import read_potential  # noqa: PLC0415

        return read_potential(path, units)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.hdnnp.potential import HdnnpPotential  # noqa: PLC0415

        return HdnnpPotential.load(folder, choose_device(device))
