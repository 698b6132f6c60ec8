"""Seeds of the trainings that the comparison of two arms rests on, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign import control as arms


@calcfunction
def training_seeds(seed: orm.Int, control: orm.Dict) -> dict[str, orm.Int]:
    """Return ``seed_00`` and so on; the first is `seed`, that of the delivered potential."""
    settings = arms.ControlSettings.model_validate(control.get_dict())
    return {
        f"seed_{index:02d}": orm.Int(value) for index, value in enumerate(arms.training_seeds(seed.value, settings))
    }
