"""Decide, in the graph, what one iteration of a campaign does: its seed, samplers, selection and yardsticks."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign.planning import plan


@calcfunction
def plan_iteration(
    seed: orm.Int,
    stage: orm.Dict,
    selection: orm.Dict,
    stop: orm.Dict,
    history: orm.Dict | None = None,
    control: orm.Dict | None = None,
) -> dict[str, Any]:
    """Return the inputs of an iteration's stages.

    Parameters
    ----------
    seed
        The campaign's seed.
    stage
        ``{"samplers": [...], "selectors": [...]}``: of the bootstrap, or of the loop.
    selection
        ``{"descriptor": ..., "selectors": [...], "roles": {...}}``.
    stop
        The stop rules; the label budget limits how many frames may be selected.
    history
        What happened so far; none for the bootstrap.
    control
        ``{"arm": [...], "trainings"}``, if there is a control arm.

    Returns
    -------
    dict
        ``seed``, ``samplers`` (by key), ``descriptor``, ``selection``, ``observables`` and, where errors are known,
        ``scale``.
    """
    planned = plan(
        seed.value,
        stage.get_dict(),
        selection.get_dict(),
        stop.get_dict(),
        history.get_dict() if history is not None else None,
        control.get_dict() if control is not None else None,
    )
    outputs: dict[str, Any] = {
        "seed": orm.Int(planned.seed),
        "descriptor": orm.Dict(planned.descriptor),
        "selection": orm.Dict(planned.selection),
    }
    outputs |= {f"samplers__{key}": orm.Dict(value) for key, value in planned.samplers.items()}
    outputs |= {f"observables__{key}": orm.Dict(value) for key, value in planned.observables.items()}
    if planned.scale is not None:
        outputs["scale"] = orm.Dict(planned.scale.model_dump(exclude_none=True))
    return outputs
