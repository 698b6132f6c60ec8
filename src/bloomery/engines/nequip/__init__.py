"""Equivariant message-passing potentials fitted by NequIP, a committee by seeds and resampling.

Batzner et al., Nat. Commun. 13, 2453 (2022); Tan et al., arXiv:2504.16068 (2025).
"""

from bloomery.engines.committees import FileEngine
from bloomery.engines.nequip.settings import NequipSettings
from bloomery.papers import Paper


class Nequip(FileEngine):
    """Equivariant message passing."""

    name = "nequip"
    title = "NequIP potentials"
    references = (Paper("S. Batzner et al., Nat. Commun. 13, 2453 (2022)", "10.1038/s41467-022-29939-5"),)
    Settings = NequipSettings
    settings: NequipSettings
    package = "nequip"
    module = "nequip"
    on_torch = True
    packages = ("nequip", "e3nn", "lightning")
    kept = ("members", "layers", "l_max", "features", "dtype", "model")
    fitted_by = "bloomery.engines.nequip.training:fit_member"
    potentials = "bloomery.engines.nequip.potential:NequipPotential"

    @property
    def reach(self) -> float:
        """Range of all layers together."""
        return self.settings.cutoff * self.settings.layers
