"""Pseudopotential families made from folders of UPF files."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILY = "bloomery/PBE"
FOLDERS = ("/usr/share/espresso/pseudo", "/usr/local/share/espresso/pseudo", "~/espresso/pseudo")
"""Where distributions put pseudopotentials."""

DEFAULT_CUTOFFS = {"NC": (60.0, 240.0), "US": (40.0, 320.0), "USPP": (40.0, 320.0), "PAW": (50.0, 400.0)}
"""Ry, for wavefunctions and density, where neither `TESTED` nor the file says more."""

LEAST_CUTOFF = 30.0
"""Ry, for wavefunctions: some headers suggest less, at which a stress is not converged."""

# Files that have been tried, with cutoffs (Ry) at which forces are within 1 % and the pressure within 2 kbar of
# convergence. They are preferred to other files of the element.
TESTED = {"C.pbe-rrkjus.UPF": (30.0, 240.0), "Si.pbe-rrkj.UPF": (30.0, 120.0)}

FUNCTIONALS = {
    "PBE": {"PBE", "SLA PW PBE PBE", "SLA PW PBX PBC"},
    "PBESOL": {"PBESOL", "SLA PW PSX PSC"},
    "PZ": {"PZ", "LDA", "SLA PZ NOGX NOGC"},
    "PW": {"PW", "SLA PW NOGX NOGC"},
    "BLYP": {"BLYP", "SLA LYP B88 BLYP", "B88 LYP"},
    "TPSS": {"TPSS", "SLA PW TPSS TPSS"},
}

_ATTRIBUTE = r"""\b{name}\s*=\s*(["'])\s*(?P<value>.*?)\s*\1"""


@dataclass(frozen=True)
class UpfHeader:
    """What the header of a UPF file says. Cutoffs in Ry; zero if it is silent."""

    element: str
    functional: str
    kind: str
    relativistic: bool
    wavefunction_cutoff: float
    density_cutoff: float
    z_valence: float


def read_header(content: str) -> UpfHeader | None:
    """Read the header of a UPF file of version 2; ``None`` if there is none."""
    start = content.find("<PP_HEADER")
    if start < 0:
        return None
    text = content[start : content.find(">", _end_of_attributes(content, start)) + 1]

    def attribute(name: str) -> str:
        match = re.search(_ATTRIBUTE.format(name=name), text, re.DOTALL)
        return match["value"] if match else ""

    element = attribute("element")
    if not element:
        return None
    return UpfHeader(
        element=element,
        functional=functional_name(attribute("functional")),
        kind=attribute("pseudo_type").upper(),
        relativistic=attribute("relativistic").lower() == "full" or attribute("has_so").lower() in {"t", "true"},
        wavefunction_cutoff=_float(attribute("wfc_cutoff")),
        density_cutoff=_float(attribute("rho_cutoff")),
        z_valence=_float(attribute("z_valence")),
    )


def functional_name(text: str) -> str:
    """Give the functional in a UPF header its common name, where it has one."""
    words = " ".join(text.upper().replace("-", " ").split())
    return next((name for name, spellings in FUNCTIONALS.items() if words in spellings), words)


def choose_files(folder: Path, functional: str = "PBE") -> dict[str, tuple[Path, float, float]]:
    """Choose one file for each element of a folder: of the functional, scalar-relativistic, tested ones first.

    Returned by element, with cutoffs in Ry (wavefunctions, density).
    """
    chosen: dict[str, tuple[tuple[Any, ...], Path, float, float]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".upf" or not path.is_file():
            continue
        header = read_header(path.read_text(encoding="utf-8", errors="replace")[:20000])
        # Files for core-level spectra (gipaw, all-electron waves) and of spin-orbit are for other purposes.
        if header is None or header.functional != functional or header.relativistic or "gipaw" in path.name:
            continue
        if not re.match(rf"{header.element}[._]", path.name):
            continue
        wavefunction, density = cutoffs(path.name, header)
        rank = (path.name not in TESTED, wavefunction * header.z_valence, path.name)
        if header.element not in chosen or rank < chosen[header.element][0]:
            chosen[header.element] = (rank, path, wavefunction, density)
    return {element: (path, low, high) for element, (_, path, low, high) in sorted(chosen.items())}


def cutoffs(name: str, header: UpfHeader) -> tuple[float, float]:
    """Cutoffs in Ry (wavefunctions, density): tested ones, else those of the header, else defaults of its kind."""
    if name in TESTED:
        return TESTED[name]
    default = DEFAULT_CUTOFFS.get(header.kind, DEFAULT_CUTOFFS["PAW"])
    low = max(math.ceil(header.wavefunction_cutoff), LEAST_CUTOFF) if header.wavefunction_cutoff else default[0]
    high = math.ceil(header.density_cutoff) or default[1] / default[0] * low
    return low, max(high, 4 * low)


def install_family(folder: Path, label: str = FAMILY) -> tuple[Any, bool]:
    """Make the family from a folder unless it exists; return it, and whether it was made now.

    It is ``None`` if the folder holds nothing of use.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.plugins import DataFactory, GroupFactory  # noqa: PLC0415

    family_class: Any = GroupFactory("pseudo.family.cutoffs")
    family = orm.QueryBuilder().append(family_class, filters={"label": label}).first(flat=True)
    if family is not None and family.get_cutoff_stringencies():
        return family, False
    chosen = choose_files(folder)
    if not chosen:
        return None, False
    if family is None:
        with tempfile.TemporaryDirectory() as temporary:
            for path, _, _ in chosen.values():
                shutil.copy(path, temporary)
            family = family_class.create_from_folder(
                Path(temporary), label, description=f"PBE, from {folder}", pseudo_type=DataFactory("pseudo.upf")
            )
    found = {element: {"cutoff_wfc": low, "cutoff_rho": high} for element, (_, low, high) in chosen.items()}
    family.set_cutoffs(found, "normal", unit="Ry")
    return family, True


def find_folder() -> Path | None:
    """Return the first of the usual folders that holds UPF files, beginning with ``ESPRESSO_PSEUDO``."""
    for name in (os.environ.get("ESPRESSO_PSEUDO", ""), *FOLDERS):
        folder = Path(name).expanduser()
        if name and folder.is_dir() and any(path.suffix.lower() == ".upf" for path in folder.iterdir()):
            return folder
    return None


def _end_of_attributes(content: str, start: int) -> int:
    """Where the header's attributes end: a ``>`` may stand inside a quoted author's address."""
    match = re.compile(r"""(?:[^"'>]|"[^"]*"|'[^']*')*""").match(content, start + 1)
    return match.end() if match else start


def _float(text: str) -> float:
    try:
        return float(text.lower().replace("d", "e"))
    except ValueError:
        return 0.0
