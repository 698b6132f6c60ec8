"""Potentials of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.*.data``.

n2p2: Singraber, Morawietz, Behler and Dellago, J. Chem. Theory Comput. 15, 3075 (2019). Its files are read by LAMMPS
(pair style ``hdnnp``) and CP2K (``METHOD NNP``) as well. They carry no units: bohr and Ha unless
they are ours, which say them in a comment, or one is told otherwise.
"""

from bloomery.engines.hdnnp.n2p2.writer import write_potential
from bloomery.engines.hdnnp.potential import read_potential
from bloomery.frames.file_units import FileUnits

__all__ = ["FileUnits", "read_potential", "write_potential"]
