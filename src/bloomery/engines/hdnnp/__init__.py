"""High-dimensional neural-network potential: one network per element on atom-centred descriptors.

After Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007). All members of the committee are one batched model.
"""

from bloomery.engines.hdnnp.engine import Hdnnp
from bloomery.engines.hdnnp.settings import HdnnpSettings

__all__ = ["Hdnnp", "HdnnpSettings"]
