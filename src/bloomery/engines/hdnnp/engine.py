"""The engine `hdnnp`: checks the data, and hands it to the training. Imports torch when it trains or loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from bloomery.engines.contract import Engine, Training, TrainingData, TrainingHistory
from bloomery.engines.hdnnp.costs import told_costs, told_destinations
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.frames.file_units import FileUnits
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential


class Hdnnp(Engine):
    """Committee of per-element neural networks on atom-centred descriptors."""

    name = "hdnnp"
    title = "high-dimensional neural-network potentials"
    references = (
        Paper("J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007)", "10.1103/PhysRevLett.98.146401"),
    )
    Settings = HdnnpSettings
    settings: HdnnpSettings
    on_torch = True
    imports: ClassVar[dict[str, str]] = {"n2p2": "files of n2p2 or RuNNer: a folder of one member, or of folders"}

    def fit(self, data: TrainingData, training: Training) -> tuple[Potential, TrainingHistory]:
        """Fit a committee; see `Engine.fit`."""
        from bloomery.engines.hdnnp.fitting import fit  # noqa: PLC0415

        return fit(self.settings, data, replace(training, device=self.place(training.device)))

    def foreseen(self, elements: list[str], frames: int, atoms: float) -> list[str]:
        """See `Engine.foreseen`."""
        return [told_costs(self.settings, elements, frames, atoms), told_destinations(self.settings)]

    @classmethod
    def potential_class(cls) -> type[Potential]:
        """Return the class of its potentials."""
        from bloomery.engines.hdnnp.potential import HdnnpPotential  # noqa: PLC0415

        return HdnnpPotential

    @classmethod
    def import_files(cls, format: str, path: Path, units: FileUnits | None = None) -> Potential:  # noqa: A002, ARG003
        """Read n2p2's files; see `Engine.import_files`."""
        from bloomery.engines.hdnnp.potential import read_potential  # noqa: PLC0415

        return read_potential(path, units)
