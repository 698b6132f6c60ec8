"""How dense a labeller's settings have to be, in the graph: frames to try, settings of each labelling, the choice."""

from __future__ import annotations

from collections.abc import Mapping

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.campaign import content
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.data.ports import under
from bloomery.campaign.convergence import Convergence, Plan, Point, absolute_limits, climb, deviation, merged, tried
from bloomery.campaign.hot_frames import HotFrames, hot_frames
from bloomery.frames.configurations import Configurations

LABELLED = "labelled__"
"""Before the key of a labelling: its labels."""
REFERENCE, BEFORE, CHOICE = "reference", "before", "choice"
"""Keys of the top of all ladders, of the settings that there are so far, and of those that are tried as a whole."""


@calcfunction
def make_hot_frames(structures: ConfigurationsData, settings: orm.Dict, seed: orm.Int) -> ConfigurationsData:
    """Return the frames that settings are tried on; each has its structure as parent."""
    given = HotFrames.model_validate(settings.get_dict())
    frames, parents = hot_frames(structures.configurations, given, seed=seed.value)
    return ConfigurationsData(with_parents(frames, structures, parents))


@calcfunction
def settings_at(changes: orm.Dict, **given: orm.Dict) -> dict[str, orm.Dict]:
    """Return inputs of a labelling with other values in them.

    Parameters
    ----------
    changes
        By the names of the inputs: what is merged into each, or is all of one that was not there.
    given
        Those that were there.
    """
    return {
        name: orm.Dict(merged([given[name].get_dict() if name in given else {}, values]))
        for name, values in changes.get_dict().items()
    }


@calcfunction
def judge_ladders(
    plan: orm.Dict, ladders: orm.List, frames: ConfigurationsData, told: orm.Dict | None = None,
    **labelled: ConfigurationsData,
) -> orm.Dict:  # fmt: skip
    """Hold every rung of some ladders against their tops, choose, and return all that has come to be known.

    Parameters
    ----------
    ladders
        Their names.
    told
        What was known before.
    labelled
        ``labelled__KEY`` by the key of the place; places whose labels failed are missing.
    """
    planned, known, labels = _plan(plan), _known(told), _labels(labelled)
    hashes, climbs = frames.hashes, dict(known.climbs)
    limits = known.limits
    for name in ladders.get_list():
        ladder = planned.ladder(name)
        if not limits:
            top = planned.places(ladder, known.chosen)[-1]
            limits = absolute_limits(planned.limits, labels[planned.key(top)])
        climbs[name] = climb(planned, ladder, known.chosen, labels, hashes, limits)
    return orm.Dict(known.model_copy(update={"climbs": climbs, "limits": limits}).as_dict())


@calcfunction
def judge_choice(
    plan: orm.Dict, place: orm.Dict, frames: ConfigurationsData, told: orm.Dict, **labelled: ConfigurationsData
) -> orm.Dict:
    """Hold the choice, and the settings that there are so far, against the top of all ladders.

    Parameters
    ----------
    place
        Rung of each ladder.
    labelled
        ``labelled__reference``, and as far as they succeeded ``labelled__choice`` and ``labelled__before``.
    """
    planned, known, labels = _plan(plan), _known(told), _labels(labelled)
    reference, hashes = labels[REFERENCE], frames.hashes
    if known.before is None and BEFORE in labels:
        before = deviation(labels[BEFORE], reference, hashes)
        known = known.model_copy(update={"before": Point(key=BEFORE, deviation=before)})
    rungs = {name: int(rung) for name, rung in place.get_dict().items()}
    return orm.Dict(tried(planned, known, rungs, labels.get(CHOICE), reference, hashes).as_dict())


def _plan(node: orm.Dict) -> Plan:
    return Plan.model_validate(node.get_dict())


def _known(told: orm.Dict | None) -> Convergence:
    return Convergence.model_validate(content(told) or {})


def _labels(nodes: Mapping[str, ConfigurationsData]) -> dict[str, Configurations]:
    return {key: node.configurations for key, node in under(LABELLED, nodes).items()}
