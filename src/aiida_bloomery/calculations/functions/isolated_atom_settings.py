"""What pw.x needs for an atom in a box instead of a crystal."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData


@calcfunction
def isolated_atom_settings(parameters: orm.Dict, configurations: ConfigurationsData) -> dict[str, Any]:
    """Return `parameters` and `kpoints` of isolated atoms: spin-polarised, without symmetry, at Gamma only.

    Open shells are spin-polarised: every atom starts from a magnetic guess, from which a closed shell finds its way
    back. Cutoffs and pseudopotentials stay, so that the errors of both cancel in differences.
    """
    content = parameters.get_dict()
    elements = configurations.configurations.elements
    content.setdefault("SYSTEM", {}).update(
        {"nspin": 2, "nosym": True, "starting_magnetization": dict.fromkeys(elements, 0.5)}
    )
    content.setdefault("ELECTRONS", {}).update({"electron_maxstep": 200, "mixing_beta": 0.3})
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([1, 1, 1])
    return {"parameters": orm.Dict(content), "kpoints": kpoints}
