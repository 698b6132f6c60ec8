"""Any trainer that is run by commands and files: a YAML definition says how, and no code is written."""

from bloomery.engines.committees import FileEngine
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
    fitted_by = "bloomery.engines.external.running:fit_member"
    potentials = "bloomery.engines.external.potential:ExternalPotential"

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
