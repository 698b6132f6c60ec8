"""Take one frame out of its node, in the form that a calculation of a single structure wants."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.pw_pack import frame_kpoints, frame_structure, parameters_for
from aiida_bloomery.data.configurations import ConfigurationsData


@calcfunction
def frame_inputs(
    configurations: ConfigurationsData,
    frame: orm.Int,
    parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
) -> dict[str, Any]:
    """Return a frame as `structure`, `parameters` cut down to its elements, and `kpoints` if a rule makes them."""
    structure = frame_structure(configurations.configurations[frame.value].to_atoms()[0])
    outputs: dict[str, Any] = {
        "structure": structure,
        "parameters": orm.Dict(parameters_for(parameters.get_dict(), structure.get_kind_names())),
    }
    if kpoints is None:
        outputs["kpoints"] = frame_kpoints(structure, None, kpoints_rule)
    return outputs
