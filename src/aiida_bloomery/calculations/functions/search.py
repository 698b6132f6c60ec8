"""Ask what to try next, take down what it gave, and choose, in the graph."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from bloomery.model_selection.cross_validation import pooled
from bloomery.model_selection.search import SearchSettings, ask, best, with_settings
from bloomery.plugins import PluginSpec


@calcfunction
def ask_trials(settings: orm.Dict, parameters: orm.Dict, seed: orm.Int, told: orm.Dict | None = None) -> dict[str, Any]:
    """Return ``asked``, key to values, and ``parameters__KEY`` of each training; no key where the search is over.

    Parameters
    ----------
    parameters
        Of a training: what the search changes.
    told
        What was tried so far.
    """
    before = told["trials"] if told is not None else []
    search = SearchSettings.model_validate(settings.get_dict())
    given = parameters.get_dict()
    asked = {
        f"trial_{len(before) + index:03d}": values for index, values in enumerate(ask(search, before, seed=seed.value))
    }
    nodes: dict[str, Any] = {"asked": orm.Dict(asked)}
    for key, values in asked.items():
        engine = with_settings(PluginSpec.model_validate(given["engine"]), values)
        nodes[f"parameters__{key}"] = orm.Dict({**given, "engine": engine.model_dump()})
    return nodes


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
    trials = list(told["trials"]) if told is not None else []
    for key, values in sorted(asked.get_dict().items()):
        folds = {
            name.removeprefix(f"{key}__"): {array: node.get_array(array) for array in node.get_arraynames()}
            for name, node in arrays.items()
            if name.startswith(f"{key}__")
        }
        errors = pooled(folds, seed=seed.value) if len(folds) == search.used else {}
        error = errors.get(search.objective, {}).get("rmse", {}).get("value")
        trials.append({"key": key, "values": values, "error": error, "errors": errors})
    return orm.Dict({"trials": trials})


@calcfunction
def choose(settings: orm.Dict, parameters: orm.Dict, told: orm.Dict) -> dict[str, Any]:
    """Return the ``result`` with all trials and the key of the ``best``, and the ``parameters`` of that one."""
    search = SearchSettings.model_validate(settings.get_dict())
    found = best(told["trials"])
    result = {"objective": search.objective, "trials": told["trials"], "best": found["key"] if found else None}
    if found is None:
        return {"result": orm.Dict(result)}
    given = parameters.get_dict()
    engine = with_settings(PluginSpec.model_validate(given["engine"]), found["values"])
    return {"result": orm.Dict(result), "parameters": orm.Dict({**given, "engine": engine.model_dump()})}
