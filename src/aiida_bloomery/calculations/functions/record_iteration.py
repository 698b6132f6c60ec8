"""Write an iteration into the history, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.history import Iteration, record


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
    """
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
    )
    return orm.Dict(record(history.get_dict() if history is not None else None, iteration))
