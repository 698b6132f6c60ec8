"""The engine `deepmd`: runs `dp --tf train` for each member. Imports nothing of DeePMD-kit until then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bloomery.engines.committees import FileEngine, Member, Report
from bloomery.engines.deepmd.settings import DeepmdSettings
from bloomery.engines.file_potential import FilePotential
from bloomery.papers import Paper


class Deepmd(FileEngine):
    """Deep potentials with the descriptor se_e2_a. The device is TensorFlow's choice, but for ``cpu``."""

    name = "deepmd"
    title = "DeePMD potentials"
    references = (Paper("J. Zeng et al., J. Chem. Phys. 159, 054801 (2023)", "10.1063/5.0155600"),)
    Settings = DeepmdSettings
    settings: DeepmdSettings
    package = "deepmd-kit"
    module = "deepmd"
    packages = ("deepmd-kit", "tensorflow", "tensorflow-cpu")
    needs_energies = True
    kept = ("members", "cutoff", "dtype", "embedding", "hidden")

    def fit_member(self, member: Member, report: Report) -> Mapping[str, Path]:
        """Fit one member; see `FileEngine.fit_member`."""
        from bloomery.engines.deepmd.training import fit_member  # noqa: PLC0415

        return fit_member(self.settings, member, report)

    @classmethod
    def potential_class(cls) -> type[FilePotential]:
        """Return the class of its potentials."""
        from bloomery.engines.deepmd.potential import DeepmdPotential  # noqa: PLC0415

        return DeepmdPotential

    def versions(self) -> dict[str, str]:
        """Versions without torch, which has no say here."""
        return {name: text for name, text in super().versions().items() if name != "torch"}
