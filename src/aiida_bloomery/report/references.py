"""Papers to cite, by what was used: `kind.name` of a plug-in, of a program, or of a technique.

A plug-in of another package names its papers in a class attribute ``references``: texts, one paper each.
"""

from __future__ import annotations

from dataclasses import dataclass

from bloomery.errors import BloomeryError
from bloomery.plugins import Kind, load_plugin

PLUGINS: dict[str, Kind] = {
    "sampler": "samplers",
    "selector": "selectors",
    "descriptor": "descriptors",
    "engine": "engines",
    "labeller": "labellers",
    "observable": "observables",
}
"""Kinds that may name papers of their own."""


@dataclass(frozen=True)
class Reference:
    """A paper: authors, where and when it appeared, and its DOI."""

    text: str
    doi: str = ""


_AIIDA = (
    Reference("S. P. Huber et al., Sci. Data 7, 300 (2020)", "10.1038/s41597-020-00638-4"),
    Reference("M. Uhrin et al., Comput. Mater. Sci. 187, 110086 (2021)", "10.1016/j.commatsci.2020.110086"),
)
_ASE = Reference("A. H. Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)", "10.1088/1361-648X/aa680e")
_BARTOK_2013 = Reference("A. P. Bartók et al., Phys. Rev. B 87, 184115 (2013)", "10.1103/PhysRevB.87.184115")
_DRAUTZ = Reference("R. Drautz, Phys. Rev. B 99, 014104 (2019)", "10.1103/PhysRevB.99.014104")
_BEHLER_2011 = Reference("J. Behler, J. Chem. Phys. 134, 074106 (2011)", "10.1063/1.3553717")
_IMBALZANO_2018 = Reference("G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018)", "10.1063/1.5024611")
_IMBALZANO_2021 = Reference("G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021)", "10.1063/5.0036522")
_MUSIL = Reference("F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019)", "10.1021/acs.jctc.8b00959")
_SCHRAN_2020 = Reference(
    "C. Schran, K. Brezina and O. Marsalek, J. Chem. Phys. 153, 104105 (2020)", "10.1063/5.0016004"
)
_SCHRAN_2021 = Reference("C. Schran et al., Proc. Natl. Acad. Sci. 118, e2110077118 (2021)", "10.1073/pnas.2110077118")
_ESPRESSO = (
    Reference("P. Giannozzi et al., J. Phys.: Condens. Matter 21, 395502 (2009)", "10.1088/0953-8984/21/39/395502"),
    Reference("P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017)", "10.1088/1361-648X/aa8f79"),
)
_LANGEVIN = Reference(
    "E. Vanden-Eijnden and G. Ciccotti, Chem. Phys. Lett. 429, 310 (2006)", "10.1016/j.cplett.2006.07.086"
)

REFERENCES: dict[str, tuple[Reference, ...]] = {
    "program.aiida": _AIIDA,
    "program.ase": (_ASE,),
    "program.torch": (
        Reference("A. Paszke et al., Adv. Neural Inf. Process. Syst. 32 (2019)", "10.48550/arXiv.1912.01703"),
    ),
    "technique.committee": (_SCHRAN_2020,),
    "technique.calibration": (_MUSIL, _IMBALZANO_2021),
    "technique.map": (Reference("S. De et al., Phys. Chem. Chem. Phys. 18, 13754 (2016)", "10.1039/C6CP00415F"),),
    "labeller.quantumespresso": _ESPRESSO,
    "labeller.calculator": (_ASE,),
    "calculator.stillinger_weber": (
        Reference("F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)", "10.1103/PhysRevB.31.5262"),
    ),
    "calculator.emt": (
        Reference(
            "K. W. Jacobsen, P. Stoltze and J. K. Nørskov, Surf. Sci. 366, 394 (1996)", "10.1016/0039-6028(96)00816-3"
        ),
    ),
    "calculator.cp2k": (Reference("T. D. Kühne et al., J. Chem. Phys. 152, 194103 (2020)", "10.1063/5.0007045"),),
    "smearing.cold": (Reference("N. Marzari et al., Phys. Rev. Lett. 82, 3296 (1999)", "10.1103/PhysRevLett.82.3296"),),
    "sampler.md": (_LANGEVIN,),
    "sampler.reference_md": (_LANGEVIN,),
    "sampler.on_the_fly": (
        Reference(
            "Z. Li, J. R. Kermode and A. De Vita, Phys. Rev. Lett. 114, 096405 (2015)", "10.1103/PhysRevLett.114.096405"
        ),
        Reference(
            "R. Jinnouchi, F. Karsai and G. Kresse, Phys. Rev. B 100, 014105 (2019)", "10.1103/PhysRevB.100.014105"
        ),
    ),
    "sampler.normal_modes": (
        Reference("J. S. Smith, O. Isayev and A. E. Roitberg, Chem. Sci. 8, 3192 (2017)", "10.1039/C6SC05720A"),
    ),
    "sampler.batched_md": (_LANGEVIN,),
    "sampler.biased_md": (_LANGEVIN,),
    "sampler.dimers": (
        Reference("V. L. Deringer and G. Csányi, Phys. Rev. B 95, 094203 (2017)", "10.1103/PhysRevB.95.094203"),
    ),
    "sampler.monte_carlo": (Reference("N. Metropolis et al., J. Chem. Phys. 21, 1087 (1953)", "10.1063/1.1699114"),),
    "sampler.path_integral": (
        Reference("Y. Litman et al., J. Chem. Phys. 161, 062504 (2024)", "10.1063/5.0215869"),
        Reference("M. Ceriotti et al., J. Chem. Phys. 133, 124104 (2010)", "10.1063/1.3489925"),
    ),
    "sampler.random_search": (
        Reference(
            "C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011)",
            "10.1088/0953-8984/23/5/053201",
        ),
        Reference("N. Bernstein et al., npj Comput. Mater. 5, 99 (2019)", "10.1038/s41524-019-0236-6"),
    ),
    "selector.cur": (
        Reference("M. W. Mahoney and P. Drineas, Proc. Natl. Acad. Sci. 106, 697 (2009)", "10.1073/pnas.0803205106"),
        _IMBALZANO_2018,
    ),
    "selector.farthest_point": (_IMBALZANO_2018,),
    "selector.disagreement": (_SCHRAN_2020,),
    "selector.energy_disagreement": (_SCHRAN_2020,),
    "selector.stress_disagreement": (_SCHRAN_2020,),
    "selector.extrapolation": (_BEHLER_2011,),
    "selector.leverage": (
        Reference(
            "E. V. Podryabinkin and A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017)",
            "10.1016/j.commatsci.2017.08.031",
        ),
    ),
    "selector.kmeans": (Reference("S. Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982)", "10.1109/TIT.1982.1056489"),),
    "selector.variance": (
        Reference("R. Jinnouchi et al., Phys. Rev. B 100, 014105 (2019)", "10.1103/PhysRevB.100.014105"),
    ),
    "descriptor.acsf": (_BEHLER_2011,),
    "descriptor.power_spectrum": (_BARTOK_2013, _DRAUTZ),
    "descriptor.soap": (_BARTOK_2013,),
    "engine.hdnnp": (
        Reference("J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007)", "10.1103/PhysRevLett.98.146401"),
    ),
    "engine.gap": (
        Reference("A. P. Bartók et al., Phys. Rev. Lett. 104, 136403 (2010)", "10.1103/PhysRevLett.104.136403"),
    ),
    "engine.mace": (
        Reference("I. Batatia et al., Adv. Neural Inf. Process. Syst. 35 (2022)", "10.48550/arXiv.2206.07697"),
    ),
    "engine.nequip": (Reference("S. Batzner et al., Nat. Commun. 13, 2453 (2022)", "10.1038/s41467-022-29939-5"),),
    "engine.deepmd": (Reference("J. Zeng et al., J. Chem. Phys. 159, 054801 (2023)", "10.1063/5.0155600"),),
    "observable.equation_of_state": (Reference("F. Birch, Phys. Rev. 71, 809 (1947)", "10.1103/PhysRev.71.809"),),
    "observable.phonons": (Reference("A. Togo, J. Phys. Soc. Jpn. 92, 012001 (2023)", "10.7566/JPSJ.92.012001"),),
    "observable.diffusion": (
        Reference("I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004)", "10.1021/jp0477147"),
    ),
    "observable.rdf": (_SCHRAN_2021,),
    "observable.vdos": (_SCHRAN_2021,),
    "observable.angles": (_SCHRAN_2021,),
    "observable.free_energy_perturbation": (
        Reference("R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954)", "10.1063/1.1740409"),
    ),
}


def references_of(kind: str, name: str) -> tuple[Reference, ...]:
    """Papers of a plug-in, a program or a technique; none if none are known."""
    if f"{kind}.{name}" in REFERENCES:
        return REFERENCES[f"{kind}.{name}"]
    return tuple(Reference(text) for text in _own(kind, name))


def _own(kind: str, name: str) -> tuple[str, ...]:
    """What a plug-in of another package says of itself, where it is installed."""
    if kind not in PLUGINS:
        return ()
    try:
        plugin = load_plugin(PLUGINS[kind], name)
    except BloomeryError:
        return ()
    return tuple(str(text) for text in getattr(plugin, "references", ()))
