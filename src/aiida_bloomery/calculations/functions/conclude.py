"""Close the history of a campaign, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.measured import measured_from
from aiida_bloomery.data.potential import PotentialData
from bloomery.campaign import record as histories
from bloomery.campaign.measuring import FINAL


@calcfunction
def conclude(
    history: orm.Dict,
    decision: orm.Dict | None = None,
    potential: PotentialData | None = None,
    validation: orm.Dict | None = None,
    control: orm.Dict | None = None,
    **measured: orm.Data,
) -> orm.Dict:
    """Return the history with the decision that ended it, the delivered errors, and the control's verdict.

    Parameters
    ----------
    measured
        What else was measured of the delivered potential, see `measured_from`.
    """
    return orm.Dict(
        histories.conclude(
            history.get_dict(),
            decision.get_dict() if decision is not None else None,
            str(potential.uuid) if potential is not None else "",
            validation.get_dict() if validation is not None else None,
            control.get_dict() if control is not None else None,
            measured_from(measured, FINAL),
        )
    )
