"""The engine `gap`: settings in, `gap_fit` run, a potential out. Imports quippy when it loads."""

from __future__ import annotations

from bloomery.engines.contract import Engine, Training, TrainingData, TrainingHistory
from bloomery.engines.gap.settings import GapSettings
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential


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

    def fit(self, data: TrainingData, training: Training) -> tuple[Potential, TrainingHistory]:
        """Fit; see `Engine.fit`. A member that was finished before a kill is not fitted again."""
        from bloomery.engines.gap.fitting import fit  # noqa: PLC0415

        return fit(self.settings, data, training)

    @classmethod
    def potential_class(cls) -> type[Potential]:
        """Return the class of its potentials."""
        from bloomery.engines.gap.potential import GapPotential  # noqa: PLC0415

        return GapPotential
