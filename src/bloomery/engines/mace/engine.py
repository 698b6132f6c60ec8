"""The engine `mace`: settings in, `mace_run_train` run for every member, a committee out. Imports mace late."""

from __future__ import annotations

from dataclasses import replace

from bloomery.engines.contract import Engine, Training, TrainingData, TrainingHistory
from bloomery.engines.mace.settings import MaceSettings
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential


class Mace(Engine):
    """Equivariant message-passing networks: trained, continued, or fine-tuned from a foundation model."""

    name = "mace"
    title = "MACE potentials"
    references = (Paper("I. Batatia et al., Adv. Neural Inf. Process. Syst. 35 (2022)", "10.48550/arXiv.2206.07697"),)
    Settings = MaceSettings
    settings: MaceSettings
    package = "mace-torch"
    module = "mace"
    on_torch = True
    resumes = False  # it goes on from its last checkpoint, with another order of frames

    def fit(self, data: TrainingData, training: Training) -> tuple[Potential, TrainingHistory]:
        """Fit a committee; see `Engine.fit`. Finished members are kept through a kill."""
        from bloomery.engines.mace.fitting import fit  # noqa: PLC0415

        return fit(self.settings, data, replace(training, device=self.place(training.device)))

    @classmethod
    def potential_class(cls) -> type[Potential]:
        """Return the class of its potentials."""
        from bloomery.engines.mace.potential import MacePotential  # noqa: PLC0415

        return MacePotential
