"""Deep potentials fitted by DeePMD-kit: descriptor se_e2_a, TensorFlow backend, a committee by seeds and resampling.

Zhang et al., Adv. Neural Inf. Process. Syst. 31 (2018); Zeng et al., J. Chem. Phys. 159, 054801 (2023).
"""

from bloomery.engines.deepmd.engine import Deepmd
from bloomery.engines.deepmd.settings import DeepmdSettings

__all__ = ["Deepmd", "DeepmdSettings"]
