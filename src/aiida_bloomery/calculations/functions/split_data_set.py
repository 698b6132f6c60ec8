"""Share a data set between learning and judging, in the graph: roles for each trial, and no frame is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.errors import BloomeryError
from bloomery.frames.configurations import Configurations
from bloomery.model_selection.folds import (
    FoldSettings,
    Split,
    Splitting,
    SubsetSettings,
    fold_splits,
    joined,
    subset_splits,
)
from bloomery.model_selection.search import SearchSettings
from bloomery.plugins import parse_settings

OBSERVABLE = {"observable": {"name": "errors", "settings": {"worst": 3}}, "roles": ["probe"]}


@calcfunction
def subsets(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, Any]:
    """Return ``split__n_SIZE_REPEAT`` for each potential of a learning curve, and the ``observable``."""
    found = subset_splits(_joined(batches), SubsetSettings.model_validate(settings.get_dict()), seed=seed.value)
    return _nodes(((f"n_{entry['size']:06d}_{entry['repeat']}", entry["split"]) for entry in found), batches)


@calcfunction
def folds(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, Any]:
    """Return ``split__fold_NUMBER`` for each fold, and the ``observable``."""
    found = fold_splits(_joined(batches), FoldSettings.model_validate(settings.get_dict()), seed=seed.value)
    return _nodes(((f"fold_{index:02d}", split) for index, split in enumerate(found)), batches)


@calcfunction
def used_folds(settings: orm.Dict, seed: orm.Int, **batches: ConfigurationsData) -> dict[str, Any]:
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


def _nodes(splits: Iterable[tuple[str, Split]], batches: Mapping[str, ConfigurationsData]) -> dict[str, Any]:
    nodes: dict[str, Any] = {"observable": orm.Dict(OBSERVABLE)}
    for name, split in splits:
        roles, first = {}, 0
        for key in sorted(batches):
            last = first + batches[key].n_frames
            roles[key] = split[first:last]
            first = last
        nodes[f"split__{name}"] = orm.Dict(roles)
    return nodes
