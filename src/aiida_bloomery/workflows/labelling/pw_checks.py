"""What can be seen to be wrong with the settings of pw.x, and with frames for it, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from bloomery.frames.configurations import Configurations

Namelists = Mapping[str, Mapping[str, object]]

DECIDED = {"calculation", "tprnfor", "tstress"}
"""Variables of pw.x by which a single point gives labels: the protocol sets them."""
WRITTEN = {
    "prefix", "outdir", "pseudo_dir", "ibrav", "nat", "ntyp", "a", "b", "c", "cosab", "cosac", "cosbc",
}  # fmt: skip
"""Variables that are written for each frame, and each cell parameter ``celldm(i)`` with them."""


def check_given(parameters: Namelists) -> str | None:
    """Return one sentence about the first variable that is not for the user to set."""
    return _set_for_user(parameters, DECIDED | WRITTEN)


def check_parameters(parameters: Namelists) -> str | None:
    """Return one sentence about the first thing wrong with the namelists of a calculation."""
    for namelist, content in parameters.items():
        if not isinstance(content, Mapping) or namelist != namelist.upper():
            return f"parameters.{namelist}: must be the name of a namelist in capitals, with its keys below it."
    found = _set_for_user(parameters, WRITTEN)
    if found is not None:
        return f"{found}."
    if "ecutwfc" not in parameters.get("SYSTEM", {}):
        return "parameters.SYSTEM.ecutwfc: is missing; give the cutoff in Ry, or choose a family that recommends one."
    calculation = parameters.get("CONTROL", {}).get("calculation", "scf")
    if calculation != "scf":
        return f"parameters.CONTROL.calculation: a label is an `scf` calculation, got {calculation!r}."
    if not parameters.get("CONTROL", {}).get("tprnfor", False):
        return "parameters.CONTROL.tprnfor: must be true, or there will be no forces."
    return None


def _set_for_user(parameters: Namelists, names: Collection[str]) -> str | None:
    for namelist, content in parameters.items():
        for name in content:
            if name.lower() in names or name.lower().startswith("celldm"):
                return f"parameters.{namelist}.{name} is set by the labeller itself; remove it"
    return None


def open_frame(configurations: Configurations, parameters: Namelists) -> int | None:
    """Return the first frame that pw.x would wrongly take to be periodic, which with ``assume_isolated`` is none."""
    if any(name.lower() == "assume_isolated" for name in parameters.get("SYSTEM", {})):
        return None
    found = np.flatnonzero(~configurations.pbc.all(axis=1))
    return int(found[0]) if len(found) else None


def check_frames(
    configurations: Configurations, pseudos: set[str], parameters: Namelists, *, isolated_atoms: bool = False
) -> str | None:
    """Return one sentence about the first frame that pw.x cannot take with these settings."""
    missing = [element for element in configurations.elements if element not in pseudos]
    if missing:
        return f"pseudos.{missing[0]}: is missing; add a pseudopotential for this element."
    empty = np.flatnonzero(configurations.counts == 0)
    if len(empty):
        return f"configurations: frame {empty[0]} holds no atom; remove it."
    flat = np.flatnonzero(configurations.volumes < 1e-3)
    if len(flat):
        return f"configurations: frame {flat[0]} has no cell, or one without volume; pw.x needs a cell."
    frame = None if isolated_atoms else open_frame(configurations, parameters)
    if frame is not None:
        return (
            f"configurations: frame {frame} is not periodic along all three cell vectors, as pw.x takes it to be; "
            "set its pbc, or `assume_isolated` in SYSTEM."
        )
    return None
