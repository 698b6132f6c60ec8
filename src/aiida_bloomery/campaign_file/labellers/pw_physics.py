"""Physics of pw.x beyond the functional, in a campaign file's words: dispersion, Hubbard corrections."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Unit

CARD_SINCE = (7, 1)
"""The first version of pw.x that reads Hubbard parameters from a card of their own."""
FUNCTIONALS = {
    "PZ", "LDA", "PW", "VWN-RPA", "OEP", "KLI", "HF", "PBE", "B88", "BP", "PW91", "REVPBE", "PBESOL", "BLYP",
    "OPTBK88", "OPTB86B", "PBC", "HCTH", "OLYP", "WC", "PW86PBE", "B86BPBE", "PBEQ2D", "Q2D", "SOGGA", "EV93", "RPBE",
    "PBE0", "B86BPBEX", "BHAHLYP", "BHANDHLYP", "HSE", "GAUP", "GAUPBE", "B3LYP", "B3LYP-V1R", "X3LYP", "TPSS", "M06L",
    "TB09", "SCAN", "R2SCAN", "SCAN0", "RVV10", "REV-VDW-DF2", "BEEF", "BEEF-VDW",
}  # fmt: skip
"""Short names of functionals that pw.x up to 7.5 has; those of the family vdW-DF begin with ``VDW-DF``."""
_MANIFOLD = re.compile(r"(?P<element>[A-Z][a-z]?)-(?P<shell>[1-7][spdf])")


class Dispersion(Settings):
    """Dispersion that the functional lacks."""

    VARIABLES: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "d2": {"vdw_corr": "dft-d"},
        "d3": {"vdw_corr": "dft-d3", "dftd3_version": 3},
        "d3bj": {"vdw_corr": "dft-d3", "dftd3_version": 4},
        "ts": {"vdw_corr": "ts-vdw"},
    }

    method: Literal["d2", "d3", "d3bj", "ts"]
    """Grimme's D2; his D3 with zero damping (``d3``) or with that of Becke and Johnson (``d3bj``); that of Tkatchenko
    and Scheffler (``ts``)."""
    three_body: bool = False
    """Whether D3 has its term of three atoms, which pw.x takes unless it is told otherwise, and most others do not."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _three_bodies_are_of_d3(self) -> Dispersion:
        if self.three_body and not self.method.startswith("d3"):
            raise ValueError(f"three_body is of d3 and d3bj; leave it out with {self.method}")
        return self

    @property
    def system(self) -> dict[str, object]:
        """Variables of SYSTEM."""
        three_body = {"dftd3_threebody": self.three_body} if self.method.startswith("d3") else {}
        return {**self.VARIABLES[self.method], **three_body}


class Shells(Settings):
    """Hubbard corrections in the form of Dudarev et al., Phys. Rev. B 57, 1505 (1998)."""

    u: dict[str, Annotated[float, Unit("eV"), Field(ge=-20, le=20)]] = Field(min_length=1)
    """U in eV by element and shell, such as ``Fe-3d: 4.0``."""

    @field_validator("u")
    @classmethod
    def _are_shells(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if _MANIFOLD.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no element with a shell; write it as in {{Fe-3d: 4.0}}")
        elements = [name.partition("-")[0] for name in value]
        twice = next((element for element in elements if elements.count(element) > 1), None)
        if twice is not None:
            raise ValueError(f"two shells of {twice} are named, and one is corrected; keep one of them")
        return value

    @property
    def shells(self) -> dict[str, str]:
        """Shell by element, such as ``3d``."""
        return {name.partition("-")[0]: name.partition("-")[2] for name in self.u}


class Hubbard(Shells):
    """Hubbard corrections, and how pw.x is told of them."""

    projectors: Literal["ortho-atomic", "atomic"] = "ortho-atomic"
    """On what the occupations are projected: atomic orbitals, orthogonalised or not."""
    form: Literal["card", "namelist"] | None = None
    """How pw.x is told: the ``card`` of 7.1 and later, or the ``namelist`` of those before; by default as the program's
    version wants it."""

    def as_namelist(self) -> dict[str, object]:
        """Variables of SYSTEM for a version before `CARD_SINCE`, which knows the shell of each element itself."""
        values = {name.partition("-")[0]: value for name, value in self.u.items()}
        return {"lda_plus_u": True, "U_projection_type": self.projectors, "Hubbard_U": values}

    def as_input(self) -> dict[str, object]:
        """As workchains take them, for the card."""
        return {"projectors": self.projectors, "u": dict(self.u)}


def knows_functional(name: str) -> bool:
    """Whether pw.x up to 7.5 has a functional of a name; one that is put together of terms, or of Libxc's, may be."""
    upper = name.upper()
    terms = "+" in upper or upper.count("-") > 2
    return upper in FUNCTIONALS or terms or upper.startswith(("VDW-DF", "XC-"))


def wants_card(version: str) -> bool | None:
    """Whether pw.x of a version, such as ``7.2`` or ``6.7MaX``, wants the card; ``None`` if that cannot be told."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return None if match is None else (int(match[1]), int(match[2])) >= CARD_SINCE


def shells_of(upf: str) -> set[str] | None:
    """Shells of the atomic wavefunctions in a UPF file, such as ``3d``; ``None`` if it names none."""
    labels = re.findall(r"<PP_CHI\.\d+[^>]*?\blabel\s*=\s*[\"']\s*(\d[SPDFspdf])", upf)
    return {label.lower() for label in labels} or None


def foreign(elements: Collection[str], present: Collection[str]) -> str | None:
    """Return the first element that no structure holds."""
    return next((element for element in elements if element not in present), None)
