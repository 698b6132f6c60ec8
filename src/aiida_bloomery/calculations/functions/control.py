"""What is particular to the control arm of a campaign, in the graph: its labels, its seeds, and its verdict."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.campaign import measured_from
from aiida_bloomery.calculations.functions.labels import found_labels, versions_of, with_found_labels
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import under
from bloomery.campaign import control as arms
from bloomery.campaign.control import Arrays, ControlSettings, compare, judge, learning_curve
from bloomery.campaign.measuring import FINAL, beside
from bloomery.campaign.record import ARMS, Comparison, Record

Groups = dict[str, dict[int, Arrays]]
"""Arrays of the observable `errors` by what was measured on what, and by number."""


@calcfunction
def control_batch(
    control: ConfigurationsData, shared: ConfigurationsData, own: ConfigurationsData | None = None
) -> dict[str, ConfigurationsData]:
    """Return `batch`, the frames of the control arm that have labels; nothing if none has.

    Roles and origin are those that ``control`` chose. Labelled are frames of the campaign in the same iteration,
    ``shared``, and frames that only the control arm wanted, its ``own``.
    """
    nodes = [shared] if own is None else [shared, own]
    found = found_labels(control.hashes, nodes)
    frames = [index for index, content in enumerate(control.hashes) if content in found]
    if not frames:
        return {}
    return {"batch": with_found_labels(control, frames, found, versions_of(nodes))}


@calcfunction
def training_seeds(seed: orm.Int, control: orm.Dict) -> dict[str, orm.Int]:
    """Return ``seed_00`` and so on; the first is `seed`, that of the delivered potential."""
    seeds = arms.training_seeds(seed.value, ControlSettings.model_validate(control.get_dict()))
    return {f"seed_{index:02d}": orm.Int(value) for index, value in enumerate(seeds)}


@calcfunction
def compare_arms(selection: orm.ArrayData, control: orm.ArrayData, seed: orm.Int) -> orm.Dict:
    """Return how the errors of the two potentials differ on the same frames of the probe.

    Given are arrays of the observable `errors`, and the seed of the bootstrap over blocks.
    """
    ours, theirs = ([dict(node.get_iterarrays())] for node in (selection, control))
    return orm.Dict(compare(ours, theirs, seed=seed.value).as_dict())


@calcfunction
def judge_control(control: orm.Dict, history: orm.Dict, seed: orm.Int, **nodes: orm.Data) -> orm.Dict:
    """Return the verdict, with the comparison and the learning curves that it rests on.

    Parameters
    ----------
    nodes
        Arrays of the observable `errors` on the whole probe: ``selection_*`` and ``control_*`` of the final trainings,
        by number; ``curve_selection_*`` and ``curve_control_*`` of the potentials of the loop, by iteration; on the
        independent set ``test_selection_*`` and ``test_control_*``. What else was measured of the first final potential
        of each arm: ``measured_selection__*`` and ``measured_control__*``, see `measured_from`.
    """
    groups: Groups = {}
    for key, node in nodes.items():
        if isinstance(node, orm.ArrayData):
            group, _, number = key.rpartition("_")
            groups.setdefault(group, {})[int(number)] = dict(node.get_iterarrays())
    record = Record.model_validate(history.get_dict())
    curves = [learning_curve(record.learned_from(arm), groups.get(f"curve_{arm}", {})) for arm in ARMS]
    verdict = judge(
        ControlSettings.model_validate(control.get_dict()),
        _compared(groups, "", seed.value),
        curves[0],
        curves[1],
        "no final training of one of the arms succeeded",
    )
    tested = _compared(groups, "test_", seed.value)
    measured = [measured_from(under(f"measured_{arm}__", nodes), FINAL) for arm in ARMS]
    rows = beside(measured[0], measured[1]) if measured[0] and measured[1] else []
    further = {"test_set": tested, "observables": rows}
    found = {key: value for key, value in further.items() if value}
    return orm.Dict(verdict.model_copy(update=found).as_dict())


def _compared(groups: Groups, prefix: str, seed: int) -> Comparison | None:
    """Both arms on the same frames, where both have a potential that was measured on them."""
    final = [[arrays for _, arrays in sorted(groups.get(f"{prefix}{arm}", {}).items())] for arm in ARMS]
    return compare(final[0], final[1], seed=seed) if all(final) else None
