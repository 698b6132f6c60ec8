"""Say what came of the control arm, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.compare_arms import arrays_of
from bloomery.control import ControlSettings, compare, judge, learning_curve
from bloomery.history import labels_to_learn_from


@calcfunction
def judge_control(control: orm.Dict, history: orm.Dict, seed: orm.Int, **arrays: orm.ArrayData) -> orm.Dict:
    """Return the verdict, with the comparison and the learning curves that it rests on.

    Parameters
    ----------
    control
        What the control arm was told to do.
    history
        Of all iterations.
    seed
        Of the bootstrap over blocks.
    arrays
        Of the observable `errors` on the whole probe: ``selection_*`` and ``control_*`` of the final trainings, by
        number; ``curve_selection_*`` and ``curve_control_*`` of the potentials of the loop, by iteration.
    """
    groups: dict[str, dict[int, orm.ArrayData]] = {}
    for key, node in arrays.items():
        group, _, number = key.rpartition("_")
        groups.setdefault(group, {})[int(number)] = node
    final = [[arrays_of(node) for _, node in sorted(groups.get(arm, {}).items())] for arm in ("selection", "control")]
    labels = labels_to_learn_from(history.get_dict())
    curves = [
        learning_curve(labels[arm], {index: arrays_of(node) for index, node in groups.get(f"curve_{arm}", {}).items()})
        for arm in ("selection", "control")
    ]
    return orm.Dict(
        judge(
            ControlSettings.model_validate(control.get_dict()),
            compare(final[0], final[1], seed=seed.value) if all(final) else None,
            curves[0],
            curves[1],
            "no final training of one of the arms succeeded",
        )
    )
