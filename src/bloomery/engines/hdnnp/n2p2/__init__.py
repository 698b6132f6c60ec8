"""Files of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.*.data``, ``input.data``.

n2p2: Singraber, Morawietz, Behler and Dellago, J. Chem. Theory Comput. 15, 3075 (2019). Its files are read by LAMMPS
(pair style ``hdnnp``) and CP2K (``METHOD NNP``) as well. They carry no units: bohr and Ha unless told otherwise.
"""

from bloomery.engines.hdnnp.n2p2.data import read_data, write_data
from bloomery.engines.hdnnp.n2p2.reader import read_potential
from bloomery.engines.hdnnp.n2p2.units import FileUnits
from bloomery.engines.hdnnp.n2p2.writer import write_potential

__all__ = ["FileUnits", "read_data", "read_potential", "write_data", "write_potential"]
