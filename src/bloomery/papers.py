"""Papers to cite for what a plug-in does; here are those that several plug-ins rest on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper: authors, where and when it appeared, and its DOI."""

    text: str
    doi: str = ""


ASE = Paper("A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)", "10.1088/1361-648X/aa680e")
BARTOK_2013 = Paper("A. P. Bartók et al., Phys. Rev. B 87, 184115 (2013)", "10.1103/PhysRevB.87.184115")
BEHLER_2011 = Paper("J. Behler, J. Chem. Phys. 134, 074106 (2011)", "10.1063/1.3553717")
IMBALZANO_2018 = Paper("G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018)", "10.1063/1.5024611")
IMBALZANO_2021 = Paper("G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021)", "10.1063/5.0036522")
LANGEVIN = Paper("E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006)", "10.1016/j.cplett.2006.07.086")
SCHRAN_2020 = Paper("C. Schran, K. Brezina and O. Marsalek, J. Chem. Phys. 153, 104105 (2020)", "10.1063/5.0016004")
SCHRAN_2021 = Paper("C. Schran et al., Proc. Natl. Acad. Sci. 118, e2110077118 (2021)", "10.1073/pnas.2110077118")
