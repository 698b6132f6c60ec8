"""Gaussian approximation potentials, fitted by `gap_fit`. Imports quippy when it loads."""

from bloomery.engines.contract import Engine
from bloomery.engines.gap.settings import GapSettings
from bloomery.papers import Paper


class Gap(Engine):
    """Gaussian approximation potential: two-body and SOAP kernels on sparse points, with predictive variance."""

    name = "gap"
    title = "Gaussian approximation potentials"
    references = (Paper("A. P. Bartók et al., Phys. Rev. Lett. 104, 136403 (2010)", "10.1103/PhysRevLett.104.136403"),)
    Settings = GapSettings
    settings: GapSettings
    package = "quippy-ase"
    module = "quippy"
    starts_warm = False
    fitted_by = "bloomery.engines.gap.fitting:fit"
    potentials = "bloomery.engines.gap.potential:GapPotential"

    @property
    def disagrees(self) -> bool:
        """A single one may have a variance of its own."""
        return super().disagrees or self.settings.uncertainty.enabled
