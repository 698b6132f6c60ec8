"""Equivariant message-passing potentials fitted by NequIP, a committee by seeds and resampling.

Batzner et al., Nat. Commun. 13, 2453 (2022); Tan et al., arXiv:2504.16068 (2025).
"""

from bloomery.engines.nequip.engine import Nequip
from bloomery.engines.nequip.settings import NequipSettings

__all__ = ["Nequip", "NequipSettings"]
