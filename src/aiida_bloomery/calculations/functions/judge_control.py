"""Say what came of the control arm, in the graph."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.compare_arms import arrays_of
from aiida_bloomery.calculations.functions.measured import measured_from
from bloomery.campaign.control import ControlSettings, compare, judge, learning_curve
from bloomery.campaign.measuring import FINAL, beside
from bloomery.campaign.record import labels_to_learn_from

ARMS = ("selection", "control")


@calcfunction
def judge_control(control: orm.Dict, history: orm.Dict, seed: orm.Int, **nodes: orm.Data) -> orm.Dict:
    """Return the verdict, with the comparison and the learning curves that it rests on.

    Parameters
    ----------
    control
        What the control arm was told to do.
    history
        Of all iterations.
    seed
        Of the bootstrap over blocks.
    nodes
        Arrays of the observable `errors` on the whole probe: ``selection_*`` and ``control_*`` of the final trainings,
        by number; ``curve_selection_*`` and ``curve_control_*`` of the potentials of the loop, by iteration; on the
        independent set ``test_selection_*`` and ``test_control_*``. What else was measured of the first final potential
        of each arm: ``measured_selection__*`` and ``measured_control__*``, see `measured_from`.
    """
    groups: dict[str, dict[int, orm.ArrayData]] = {}
    for key, node in nodes.items():
        if isinstance(node, orm.ArrayData):
            group, _, number = key.rpartition("_")
            groups.setdefault(group, {})[int(number)] = node
    labels = labels_to_learn_from(history.get_dict())
    curves = [
        learning_curve(labels[arm], {index: arrays_of(node) for index, node in groups.get(f"curve_{arm}", {}).items()})
        for arm in ARMS
    ]
    verdict = judge(
        ControlSettings.model_validate(control.get_dict()),
        _compared(groups, "", seed.value),
        curves[0],
        curves[1],
        "no final training of one of the arms succeeded",
    )
    tested = _compared(groups, "test_", seed.value)
    measured = [measured_from(_under(f"measured_{arm}__", nodes), FINAL) for arm in ARMS]
    further = {
        "test_set": tested,
        "observables": beside(measured[0], measured[1]) if measured[0] and measured[1] else None,
    }
    return orm.Dict(verdict | {key: value for key, value in further.items() if value})


def _compared(groups: dict[str, dict[int, orm.ArrayData]], prefix: str, seed: int) -> dict[str, Any] | None:
    """Both arms on the same frames, where both have a potential that was measured on them."""
    final = [[arrays_of(node) for _, node in sorted(groups.get(f"{prefix}{arm}", {}).items())] for arm in ARMS]
    return compare(final[0], final[1], seed=seed) if all(final) else None


def _under(prefix: str, nodes: dict[str, orm.Data]) -> dict[str, orm.Data]:
    return {key.removeprefix(prefix): node for key, node in nodes.items() if key.startswith(prefix)}
