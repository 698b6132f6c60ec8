"""Potentials fitted by metatrain: SOAP-BPNN and PET, as a committee or with the uncertainty of the last layer.

See https://docs.metatensor.org/metatrain. SOAP-BPNN is Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007) on the
SOAP power spectrum of Bartók et al., Phys. Rev. B 87, 184115 (2013); PET is Pozdnyakov and Ceriotti, NeurIPS (2023).
"""

from bloomery.engines.committees import FileEngine
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
    fitted_by = "bloomery.engines.metatrain.training:fit_member"
    potentials = "bloomery.engines.metatrain.potential:MetatrainPotential"

    def drawn_from(self) -> tuple[int, float]:
        """Return members and share; one model is fitted to all frames where its last layers are drawn."""
        return (1, 1.0) if self.settings.uncertainty == "llpr" else super().drawn_from()
