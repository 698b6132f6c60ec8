"""Potentials fitted by metatrain: SOAP-BPNN and PET, as a committee or with the uncertainty of the last layer.

See https://docs.metatensor.org/metatrain. SOAP-BPNN is Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007) on the
SOAP power spectrum of Bartók et al., Phys. Rev. B 87, 184115 (2013); PET is Pozdnyakov and Ceriotti, NeurIPS (2023).
"""

from bloomery.engines.metatrain.engine import Metatrain
from bloomery.engines.metatrain.settings import MetatrainSettings

__all__ = ["Metatrain", "MetatrainSettings"]
