"""Equivariant message-passing potentials, trained by the package `mace-torch`, which is imported late."""

from bloomery.engines.contract import Engine
from bloomery.engines.mace.settings import MaceSettings
from bloomery.papers import Paper


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
    fitted_by = "bloomery.engines.mace.fitting:fit"
    potentials = "bloomery.engines.mace.potential:MacePotential"

    @property
    def begins_from_foundation(self) -> bool:
        """Where one is named to be fine-tuned."""
        return self.settings.foundation is not None
