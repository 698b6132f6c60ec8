"""Write an iteration into the history, in the graph."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.measured import measured_from
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.campaign.measuring import EACH
from bloomery.campaign.record import Iteration, record

MEASURED = "measured__"


@calcfunction
def record_iteration(
    funnel: orm.Dict,
    history: orm.Dict | None = None,
    ledger: orm.Dict | None = None,
    batch: ConfigurationsData | None = None,
    potential: PotentialData | None = None,
    training: orm.Dict | None = None,
    validation: orm.Dict | None = None,
    assess_probe: orm.Dict | None = None,
    assess_selected: orm.Dict | None = None,
    **further: orm.Data,
) -> orm.Dict:
    """Return the history with one more iteration; what a stage did not give is left out.

    Parameters
    ----------
    funnel
        Of the selection.
    history
        Of the iterations before; none at the bootstrap.
    ledger, batch
        What the labelling gave.
    potential, training, validation
        The new potential, how its training went, and its errors on the whole probe.
    assess_probe, assess_selected
        Errors of the potential before on the newly labelled frames.
    further
        ``measured__*``: what else was measured, see `measured_from`. Of the control arm ``control_ledger``,
        ``control_batch``, ``control_potential``, ``control_training``, ``control_validation``,
        ``control_measured__*``, and ``comparison`` of both arms.
    """
    comparison = further.pop("comparison", None)
    assess = {"probe": assess_probe, "selected": assess_selected}
    iteration = Iteration(
        funnel=funnel.get_dict(),
        entries=ledger["entries"] if ledger is not None else (),
        roles=batch.configurations.info["role"].tolist() if batch is not None else (),
        validation=validation.get_dict() if validation is not None else None,
        assess={key: node.get_dict() for key, node in assess.items() if node is not None},
        training=training.get_dict() if training is not None else None,
        potential=str(potential.uuid) if potential is not None else "",
        batch=str(batch.uuid) if batch is not None else "",
        control=_control(funnel, _under("control_", further)) if "control" in funnel.get_dict() else None,
        comparison=comparison.get_dict() if comparison is not None else None,
        measured=measured_from(_under(MEASURED, further), EACH),
    )
    return orm.Dict(record(history.get_dict() if history is not None else None, iteration))


def _under(prefix: str, nodes: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): node for key, node in nodes.items() if key.startswith(prefix)}


def _control(funnel: orm.Dict, found: dict[str, Any]) -> Iteration:
    plain: dict[str, Any] = {key: found[key].get_dict() for key in ("validation", "training") if key in found}
    plain |= {key: str(found[key].uuid) for key in ("potential", "batch") if key in found}
    return Iteration(
        funnel=funnel["control"],
        entries=found["ledger"]["entries"] if "ledger" in found else (),
        roles=found["batch"].configurations.info["role"].tolist() if "batch" in found else (),
        measured=measured_from(_under(MEASURED, found), EACH),
        **plain,
    )
