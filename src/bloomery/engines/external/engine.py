"""The engine `external`: runs what a definition says for each member."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bloomery.engines.committees import FileEngine, Member, Report
from bloomery.engines.external.settings import ExternalSettings
from bloomery.engines.file_potential import FilePotential
from bloomery.engines.preparation import Prepared
from bloomery.potentials.contract import Potential
from bloomery.versions import package_versions


class External(FileEngine):
    """Any trainer, by its definition."""

    name = "external"
    Settings = ExternalSettings
    settings: ExternalSettings
    # What the shipped definition runs. No module: an environment with another trainer will do.
    package = "python-ace"
    kept = ("members", "definition", "values")

    def fit_member(self, member: Member, report: Report) -> Mapping[str, Path]:
        """Fit one member; see `FileEngine.fit_member`."""
        from bloomery.engines.external.running import fit_member  # noqa: PLC0415

        return fit_member(self.settings, member, report)

    @classmethod
    def potential_class(cls) -> type[FilePotential]:
        """Return the class of its potentials."""
        from bloomery.engines.external.potential import ExternalPotential  # noqa: PLC0415

        return ExternalPotential

    def check(self) -> None:
        """See that the package that the definition names is there."""
        self.settings.definition.check_package()

    def versions(self) -> dict[str, str]:
        """Versions, with that of the package that the definition names."""
        package = self.settings.definition.package
        return super().versions() | (package_versions(package) if package else {})

    def start(self, given: Potential | None, prepared: Prepared) -> FilePotential | None:
        """Return the start; it has no effect if the definition has no ``warm_command``."""
        start = super().start(given, prepared)
        return None if self.settings.definition.train.warm_command is None else start

    @property
    def dtype(self) -> str:
        """Precision of the potential, as the definition says."""
        return self.settings.definition.dtype
