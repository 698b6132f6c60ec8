"""Deep potentials fitted by DeePMD-kit: descriptor se_e2_a, TensorFlow backend, a committee by seeds and resampling.

Zhang et al., Adv. Neural Inf. Process. Syst. 31 (2018); Zeng et al., J. Chem. Phys. 159, 054801 (2023).
"""

from bloomery.engines.committees import FileEngine
from bloomery.engines.deepmd.settings import DeepmdSettings
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
    fitted_by = "bloomery.engines.deepmd.training:fit_member"
    potentials = "bloomery.engines.deepmd.potential:DeepmdPotential"

    def versions(self) -> dict[str, str]:
        """Versions without torch, which has no say here."""
        return {name: text for name, text in super().versions().items() if name != "torch"}
