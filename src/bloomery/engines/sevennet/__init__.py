"""SevenNet, tuned by the package `sevenn`'s own layers from weights that others trained; it is imported late."""

from bloomery.engines.contract import Engine
from bloomery.engines.sevennet.settings import SevennetSettings
from bloomery.foundations.sevennet import Sevennet as Foundation


class Sevennet(Engine):
    """A universal equivariant network, fine-tuned to frames with labels."""

    name = "sevennet"
    title = "SevenNet potentials, fine-tuned"
    references = Foundation.references
    Settings = SevennetSettings
    settings: SevennetSettings
    package = "sevenn"
    module = "sevenn"
    on_torch = True
    fitted_by = "bloomery.engines.sevennet.fitting:fit"
    potentials = "bloomery.engines.sevennet.potential:SevennetPotential"

    @property
    def begins_from_foundation(self) -> bool:
        """Always."""
        return True
