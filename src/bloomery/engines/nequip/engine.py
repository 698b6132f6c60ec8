"""The engine `nequip`: runs `nequip-train` for each member. Imports nothing of NequIP until then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bloomery.engines.committees import FileEngine, Member, Report
from bloomery.engines.file_potential import FilePotential
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

    def fit_member(self, member: Member, report: Report) -> Mapping[str, Path]:
        """Fit one member; see `FileEngine.fit_member`."""
        from bloomery.engines.nequip.training import fit_member  # noqa: PLC0415

        return fit_member(self.settings, member, report)

    @classmethod
    def potential_class(cls) -> type[FilePotential]:
        """Return the class of its potentials."""
        from bloomery.engines.nequip.potential import NequipPotential  # noqa: PLC0415

        return NequipPotential

    @property
    def reach(self) -> float:
        """Range of all layers together."""
        return self.settings.cutoff * self.settings.layers
