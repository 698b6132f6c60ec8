"""Papers to cite and words to use, by what was used: a plug-in, which says so itself, a program or a technique."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any

from bloomery.papers import ASE, SCHRAN_2020, Paper
from bloomery.plugins import KINDS, find_plugin

REFERENCES: dict[str, tuple[Paper, ...]] = {
    "program.aiida": (
        Paper("S. P. Huber et al., Sci. Data 7, 300 (2020)", "10.1038/s41597-020-00638-4"),
        Paper("M. Uhrin et al., Comput. Mater. Sci. 187, 110086 (2021)", "10.1016/j.commatsci.2020.110086"),
    ),
    "program.ase": (ASE,),
    "program.torch": (
        Paper("A. Paszke et al., Adv. Neural Inf. Process. Syst. 32 (2019)", "10.48550/arXiv.1912.01703"),
    ),
    "technique.committee": (SCHRAN_2020,),
    "technique.calibration": (
        Paper("F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019)", "10.1021/acs.jctc.8b00959"),
        Paper("G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021)", "10.1063/5.0036522"),
    ),
    "technique.map": (Paper("S. De et al., Phys. Chem. Chem. Phys. 18, 13754 (2016)", "10.1039/C6CP00415F"),),
    "calculator.stillinger_weber": (
        Paper("F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)", "10.1103/PhysRevB.31.5262"),
    ),
    "calculator.emt": (
        Paper(
            "K. W. Jacobsen, P. Stoltze and J. K. Nørskov, Surf. Sci. 366, 394 (1996)", "10.1016/0039-6028(96)00816-3"
        ),
    ),
    "calculator.cp2k": (Paper("T. D. Kühne et al., J. Chem. Phys. 152, 194103 (2020)", "10.1063/5.0007045"),),
    "smearing.cold": (Paper("N. Marzari et al., Phys. Rev. Lett. 82, 3296 (1999)", "10.1103/PhysRevLett.82.3296"),),
}
"""Of what is no plug-in, by `kind.name`."""


def references_of(kind: str, name: str) -> tuple[Paper, ...]:
    """Papers of a plug-in, a program or a technique; none if none are known."""
    if f"{kind}.{name}" in REFERENCES:
        return REFERENCES[f"{kind}.{name}"]
    papers = getattr(_plugin(kind, name), "references", ())
    return tuple(Paper(paper) if isinstance(paper, str) else paper for paper in papers)


def called(kind: str, name: str, otherwise: str) -> str:
    """What a plug-in wants to be called; another text if it does not say, or is not installed."""
    return getattr(_plugin(kind, name), "title", "") or otherwise


def _plugin(kind: str, name: str) -> Any | None:
    """Class of a plug-in; that of a labeller which is a workchain of its own is the workchain."""
    found = next((find_plugin(group, name) for group in KINDS if group == f"{kind}s"), None)
    if found is None and kind == "labeller":
        with suppress(ImportError):
            workchains = entry_points(group="aiida.workflows", name=f"bloomery.labelling.{name}")
            found = next((point.load() for point in workchains), None)
    return found
