"""Models compared, in the graph: parts of a data set to learn from and be judged on, and what comes of the trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.campaign import content
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import put_under, under
from bloomery.campaign.learning_curves import CurvePoint, learning_curve
from bloomery.errors import BloomeryError
from bloomery.frames.configurations import Configurations
from bloomery.model_selection.cross_validation import CrossValidation, pooled
from bloomery.model_selection.folds import (
    FoldSettings,
    Split,
    Splitting,
    SubsetSettings,
    fold_splits,
    joined,
    subset_splits,
)
from bloomery.model_selection.search import SearchResult, SearchSettings, Trial, Trials, ask, with_settings
from bloomery.plugins import PluginSpec, parse_settings

OBSERVABLE = {"observable": {"name": "errors", "settings": {"worst": 3}}, "roles": ["probe"]}


@calcfunction
def subsets(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, orm.Dict]:
    """Return ``split__n_SIZE_REPEAT`` for each potential of a learning curve, and the ``observable``."""
    found = subset_splits(_joined(batches), SubsetSettings.model_validate(settings.get_dict()), seed=seed.value)
    return _nodes(((f"n_{subset.size:06d}_{subset.repeat}", subset.split) for subset in found), batches)


@calcfunction
def folds(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, orm.Dict]:
    """Return ``split__fold_NUMBER`` for each fold, and the ``observable``."""
    found = fold_splits(_joined(batches), FoldSettings.model_validate(settings.get_dict()), seed=seed.value)
    return _nodes(((f"fold_{index:02d}", split) for index, split in enumerate(found)), batches)


@calcfunction
def used_folds(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, orm.Dict]:
    """Return the folds that the trials of a search are judged on, likewise."""
    search = SearchSettings.model_validate(settings.get_dict())
    found = fold_splits(_joined(batches), search, seed=seed.value)[: search.used]
    return _nodes(((f"fold_{index:02d}", split) for index, split in enumerate(found)), batches)


def split_checker(model: type[Splitting], splits: Callable[..., Any]) -> Callable[[dict[str, Any], Any], str | None]:
    """Return a validator of a workchain's inputs that tries the split, and says why it is not possible."""

    def validator(inputs: dict[str, Any], _: Any) -> str | None:
        if not {"settings", "batches", "seed"} <= set(inputs):
            return None  # the ports say so themselves
        try:
            settings = parse_settings(model, inputs["settings"].get_dict(), "settings")
            splits(_joined(inputs["batches"]), settings, seed=inputs["seed"].value)
        except BloomeryError as error:
            return str(error)
        return None

    return validator


def _joined(batches: Mapping[str, ConfigurationsData]) -> Configurations:
    return joined([batches[key].configurations for key in sorted(batches)])


def _nodes(splits: Iterable[tuple[str, Split]], batches: Mapping[str, ConfigurationsData]) -> dict[str, orm.Dict]:
    nodes: dict[str, orm.Dict] = {"observable": orm.Dict(OBSERVABLE)}
    for name, split in splits:
        roles, first = {}, 0
        for key in sorted(batches):
            last = first + batches[key].n_frames
            roles[key] = split[first:last]
            first = last
        nodes[f"split__{name}"] = orm.Dict(roles)
    return nodes


@calcfunction
def pool_folds(seed: orm.Int, **folds: orm.ArrayData) -> orm.Dict:
    """Return errors over the frames of all folds; ``folds`` are the arrays of `errors` by the fold's key."""
    arrays = {key: dict(node.get_iterarrays()) for key, node in folds.items()}
    return orm.Dict(pooled(arrays, seed=seed.value).as_dict())


@calcfunction
def fit_learning_curve(settings: orm.Dict, **measured: orm.Dict) -> orm.Dict:
    """Return points and power laws; ``measured`` is ``n_SIZE_REPEAT`` to what `errors` says of that potential."""
    points = []
    for key, node in sorted(measured.items()):
        _, size, repeat = key.split("_")
        errors = {name: node[name] for name in ("forces", "energy") if node.get_dict().get(name)}
        points.append(CurvePoint.model_validate({"size": int(size), "repeat": int(repeat), **errors}))
    return orm.Dict(learning_curve(points, SubsetSettings.model_validate(settings.get_dict()).targets).as_dict())


@calcfunction
def ask_trials(
    settings: orm.Dict, parameters: orm.Dict, seed: orm.Int, told: orm.Dict | None = None
) -> dict[str, orm.Dict]:
    """Return ``asked``, key to values, and ``parameters__KEY`` of each training; no key where the search is over.

    The search changes the ``parameters`` of a training, and goes by what was ``told`` of trials so far.
    """
    before = _trials(told)
    search = SearchSettings.model_validate(settings.get_dict())
    trials = enumerate(ask(search, before, seed=seed.value), start=len(before))
    asked = {f"trial_{number:03d}": values for number, values in trials}
    changed = {key: _with_engine_settings(parameters, values) for key, values in asked.items()}
    return {"asked": orm.Dict(asked), **put_under("parameters__", changed)}


@calcfunction
def tell_trials(
    settings: orm.Dict, seed: orm.Int, asked: orm.Dict, told: orm.Dict | None = None, **arrays: orm.ArrayData
) -> orm.Dict:
    """Return ``{"trials": [{"key", "values", "error", "errors"}]}`` with what has come to be known.

    Parameters
    ----------
    arrays
        ``KEY__FOLD`` to the arrays of `errors`. A trial that has not all of the folds failed: it has no error.
    """
    search = SearchSettings.model_validate(settings.get_dict())
    trials = _trials(told)
    for key, values in sorted(asked.get_dict().items()):
        folds = {name: dict(node.get_iterarrays()) for name, node in under(f"{key}__", arrays).items()}
        errors = pooled(folds, seed=seed.value) if len(folds) == search.used else CrossValidation()
        judged = errors.errors(search.objective)
        error = judged.rmse.value if judged is not None else None
        trials.append(Trial(key=key, values=values, error=error, errors=errors))
    return orm.Dict(Trials(trials=trials).as_dict())


def _trials(told: orm.Dict | None) -> list[Trial]:
    return (Trials.read(content(told)) or Trials()).trials


@calcfunction
def choose(settings: orm.Dict, parameters: orm.Dict, told: orm.Dict) -> dict[str, orm.Dict]:
    """Return the ``result`` with all trials and the key of the ``best``, and the ``parameters`` of that one."""
    search = SearchSettings.model_validate(settings.get_dict())
    tried = Trials.model_validate(told.get_dict())
    best = tried.best
    result = SearchResult(objective=search.objective, trials=tried.trials, best=best.key if best else None)
    outputs = {"result": orm.Dict(result.as_dict())}
    return outputs if best is None else {**outputs, "parameters": _with_engine_settings(parameters, best.values)}


def _with_engine_settings(parameters: orm.Dict, values: Mapping[str, Any]) -> orm.Dict:
    """Parameters of a training with settings of its engine changed."""
    given = parameters.get_dict()
    return orm.Dict({**given, "engine": with_settings(PluginSpec.model_validate(given["engine"]), values).model_dump()})
