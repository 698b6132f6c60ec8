"""The engine `metatrain`: runs `mtt train` for each member. Imports nothing of metatrain until then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bloomery.engines.committees import FileEngine, Member, Report
from bloomery.engines.file_potential import FilePotential
from bloomery.engines.metatrain.settings import MetatrainSettings


class Metatrain(FileEngine):
    """SOAP-BPNN and PET of metatrain."""

    name = "metatrain"
    title = "potentials of metatrain"
    Settings = MetatrainSettings
    settings: MetatrainSettings
    package = "metatrain"
    module = "metatrain"
    on_torch = True
    packages = ("metatrain", "metatomic-torch", "metatensor-torch", "sphericart-torch", "torch-spex")
    needs_energies = True
    kept = ("architecture", "uncertainty", "members", "cutoff", "dtype", "model")

    def fit_member(self, member: Member, report: Report) -> Mapping[str, Path]:
        """Fit one member; see `FileEngine.fit_member`."""
        from bloomery.engines.metatrain.training import fit_member  # noqa: PLC0415

        return fit_member(self.settings, member, report)

    @classmethod
    def potential_class(cls) -> type[FilePotential]:
        """Return the class of its potentials."""
        from bloomery.engines.metatrain.potential import MetatrainPotential  # noqa: PLC0415

        return MetatrainPotential

    def drawn_from(self) -> tuple[int, float]:
        """Return members and share; one model is fitted to all frames where its last layers are drawn."""
        return (1, 1.0) if self.settings.uncertainty == "llpr" else super().drawn_from()
