"""Starts of potentials in the graph: frames for a student, which start a campaign goes on with, what each was worth."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.campaign import content
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.data.ports import under
from bloomery.campaign.record import Record, learnt
from bloomery.campaign.starts import StartsSettings, conclude, judge
from bloomery.frames.configurations import Configurations
from bloomery.seeds import draw

ARRAYS, TRAINING, BATCH = "arrays__", "training__", "batch__"
"""What keys of the functions' inputs begin with."""


@calcfunction
def student_frames(
    settings: orm.Dict, seed: orm.Int, selected: ConfigurationsData | None = None, **pools: ConfigurationsData
) -> dict[str, ConfigurationsData]:
    """Return `frames`, drawn from pools for a foundation to label: none that is `selected` for the reference method.

    Their parents are the pools. Nothing is returned if no frame is left. ``settings`` are `StartsSettings`.
    """
    wanted = StartsSettings.model_validate(settings.get_dict()).student_frames
    taken = set() if selected is None else set(selected.hashes)
    found: dict[str, tuple[ConfigurationsData, int]] = {}
    for _, node in sorted(pools.items()):
        found |= {frame: (node, index) for index, frame in enumerate(node.hashes) if frame not in taken}
    drawn = sorted(found, key=lambda frame: (draw(seed.value, frame), frame))[:wanted]
    if not drawn:
        return {}
    nodes, indices = zip(*(found[frame] for frame in drawn), strict=True)
    parts = [node.configurations[index] for node, index in zip(nodes, indices, strict=True)]
    return {"frames": ConfigurationsData(with_parents(Configurations.concatenate(parts), list(nodes), list(indices)))}


@calcfunction
def trainings_of_starts(settings: orm.Dict, training: orm.Dict) -> dict[str, orm.Dict]:
    """Return by start how its potentials are trained: as the campaign's, with another engine where it has one."""
    asked = StartsSettings.model_validate(settings.get_dict())
    engines = {name: spec.model_dump() for name, spec in asked.engines.items()}
    return {name: orm.Dict(training.get_dict() | {"engine": engine}) for name, engine in engines.items()}


@calcfunction
def judge_starts(settings: orm.Dict, seed: orm.Int, history: orm.Dict | None = None, **nodes: orm.Data) -> orm.Dict:
    """Return a `StartsCompared`: which start the campaign goes on with.

    Parameters
    ----------
    settings
        `StartsSettings`.
    seed
        Of the bootstrap over blocks.
    history
        Of the campaign so far; none at the bootstrap.
    nodes
        ``arrays__NAME``: arrays of the observable `errors` on the probe, by start; ``training__NAME``: how its training
        went; ``batch__KEY``: what is labelled so far.
    """
    record = Record.read(content(history)) or Record()
    roles = Counter(role for node in under(BATCH, nodes).values() for role in _roles(node))
    found = judge(
        StartsSettings.model_validate(settings.get_dict()),
        {name: dict(node.get_iterarrays()) for name, node in under(ARRAYS, nodes).items()},
        learnt(roles),
        record.starts_compared,
        seconds={name: _seconds(node) for name, node in under(TRAINING, nodes).items()},
        seed=seed.value,
    )
    return orm.Dict(found.as_dict())


def _roles(batch: Any) -> list[str]:
    roles = batch.configurations.info.get("role")
    return ["train"] * batch.n_frames if roles is None else [str(role) for role in roles.tolist()]


def _seconds(training: Any) -> float:
    return float(training.get_dict().get("summary", {}).get("seconds", 0.0))


@calcfunction
def conclude_starts(
    settings: orm.Dict, history: orm.Dict, delivered: orm.Str, seed: orm.Int, **nodes: orm.Data
) -> orm.Dict:
    """Return a `StartsCompared`: what each start was worth; ``delivered`` is that of the campaign's potential.

    ``arrays__NAME_ITERATION`` are arrays of the observable `errors` of the potentials of the loop on the whole probe.
    """
    curves: dict[str, dict[int, Any]] = {}
    for key, node in under(ARRAYS, nodes).items():
        name, _, iteration = key.rpartition("_")
        curves.setdefault(name, {})[int(iteration)] = dict(node.get_iterarrays())
    found = conclude(
        StartsSettings.model_validate(settings.get_dict()),
        Record.model_validate(history.get_dict()),
        delivered.value,
        curves,
        seed=seed.value,
    )
    return orm.Dict(found.as_dict())
