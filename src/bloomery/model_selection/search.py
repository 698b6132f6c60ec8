"""Search for better settings of an engine: over a declared grid, or where optuna thinks it worth the while.

Nothing is kept between calls: what to try next follows from the settings, the trials so far, and a seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import islice, product
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from bloomery.campaign.validation import Part
from bloomery.errors import InputError
from bloomery.model_selection.cross_validation import CrossValidation
from bloomery.model_selection.folds import FoldSettings
from bloomery.plugins import PluginSpec, Settings
from bloomery.seeds import derive_seed

MAX_GRID = 1000
TRIES = 20
"""Attempts of optuna at something new before the search is taken to be exhausted."""


class Range(Settings):
    """Numbers between two bounds, both among them."""

    low: float
    """The smallest."""
    high: float
    """The largest."""
    log: bool = False
    """Whether to search evenly in the logarithm."""
    integer: bool = False
    """Whether only whole numbers will do."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError("a range in the logarithm begins above zero")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("a range of whole numbers has whole bounds")
        return self

    @property
    def bounds(self) -> tuple[float, float] | tuple[int, int]:
        """Both bounds."""
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)


def _form(value: Any) -> str:
    return "values" if isinstance(value, list) else "range"


Values = Annotated[Annotated[list[Any], Tag("values")] | Annotated[Range, Tag("range")], Discriminator(_form)]


class SearchSettings(FoldSettings):
    """Settings of a search. All trials are judged on the same frames."""

    space: dict[str, Values] = Field(min_length=1)
    """Setting of the engine, dots leading inwards, to the values to try or, with optuna, a range."""
    method: Literal["grid", "optuna"] = "grid"
    """`grid`: every combination. `optuna`: as its sampler TPE suggests, which needs the package optuna."""
    trials: int = Field(default=20, ge=1)
    """How many combinations optuna tries."""
    at_a_time: int = Field(default=2, ge=1)
    """How many are trained at a time; optuna then looks at what they gave."""
    objective: Literal["forces", "energy"] = "forces"
    """Whose RMSE is to be small."""
    used: int = Field(default=1, ge=1)
    """How many of the folds each combination is judged on: with one it is a single held-out part."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.used > self.folds:
            raise ValueError(f"used ({self.used}) is more than there are folds ({self.folds})")
        empty = next((key for key, values in self.space.items() if isinstance(values, list) and not values), None)
        if empty is not None:
            raise ValueError(f"space: {empty} has no value to try")
        if self.method == "grid":
            ranged = next((key for key, values in self.space.items() if isinstance(values, Range)), None)
            if ranged is not None:
                raise ValueError(f"space: {ranged} is a range; list its values, or search with optuna")
            if self.n_trials > MAX_GRID:
                raise ValueError(f"space: {self.n_trials} combinations are too many; {MAX_GRID} at most")
        return self

    @property
    def n_trials(self) -> int:
        """How many combinations are tried at most."""
        lists = [values for values in self.space.values() if isinstance(values, list)]
        combinations = math.prod(map(len, lists))
        if self.method == "grid":
            return combinations
        return min(self.trials, combinations) if len(lists) == len(self.space) else self.trials


class Trial(Part):
    """Settings that were tried, and the error that they gave; ``None`` where the trial failed."""

    key: str = ""
    values: dict[str, object]
    error: float | None
    errors: CrossValidation = CrossValidation()


class Trials(Part):
    """What was tried so far."""

    trials: list[Trial] = Field(default=[])

    @property
    def best(self) -> Trial | None:
        """The trial with the smallest error, the first of equals; none where all failed.

        The smallest of many errors is too small by chance: what the choice is worth shows on frames that had no say in
        it.
        """
        known = [trial for trial in self.trials if trial.error is not None]
        return min(known, key=lambda trial: trial.error or 0.0, default=None)


class SearchResult(Part):
    """All trials, and the key of the best."""

    objective: Literal["forces", "energy"]
    trials: list[Trial]
    best: str | None


def with_settings(engine: PluginSpec, values: Mapping[str, object]) -> PluginSpec:
    """Return an engine with other settings; dots in a key lead into nested ones, or it is an `InputError`."""
    settings = deepcopy(engine.settings)
    for key, value in values.items():
        *path, last = key.split(".")
        group = settings
        for part in path:
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise InputError(f"search: {key} leads into {part}, which is a plain value of the engine's settings.")
        group[last] = value
    return PluginSpec(name=engine.name, settings=settings)


def check_space(engine: PluginSpec, settings: SearchSettings) -> None:
    """See that the engine takes every value, each beside the first ones of the others; `InputError` for the first."""
    space = settings.space.items()
    options = {key: values if isinstance(values, list) else list(values.bounds) for key, values in space}
    first = {key: values[0] for key, values in options.items()}
    for key, values in options.items():
        for value in values:
            with_settings(engine, {**first, key: value}).load("engines")
    if settings.method == "optuna":
        _optuna()


def ask(settings: SearchSettings, told: Sequence[Trial], *, seed: int) -> list[dict[str, object]]:
    """Say which combinations to try next, after those that were tried so far; none where the search is over."""
    if settings.method == "grid":
        combinations = product(*(values for values in settings.space.values() if isinstance(values, list)))
        wanted = islice(combinations, len(told), len(told) + settings.at_a_time)
        return [dict(zip(settings.space, values, strict=True)) for values in wanted]
    return _suggestions(settings, told, seed)


def _suggestions(settings: SearchSettings, told: Sequence[Trial], seed: int) -> list[dict[str, object]]:
    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "search", len(told)), constant_liar=True)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    distributions = {key: _distribution(optuna, values) for key, values in settings.space.items()}
    for entry in told:
        state = optuna.trial.TrialState.FAIL if entry.error is None else optuna.trial.TrialState.COMPLETE
        params = {key: _to_optuna(value, settings.space[key]) for key, value in entry.values.items()}
        study.add_trial(
            optuna.trial.create_trial(state=state, params=params, distributions=distributions, value=entry.error)
        )
    seen = {_text(entry.values) for entry in told}
    found: list[dict[str, object]] = []
    wanted = min(settings.at_a_time, settings.n_trials - len(told))
    for _ in range(TRIES * max(0, wanted)):
        if len(found) == wanted:
            break
        trial = study.ask(distributions)
        values = {key: _from_optuna(value, settings.space[key]) for key, value in trial.params.items()}
        if _text(values) not in seen:
            seen.add(_text(values))
            found.append(values)
    return found


def _distribution(optuna: Any, values: list[Any] | Range) -> Any:
    if isinstance(values, list):
        # Values that are lists or mappings are named by their place: optuna takes plain ones only.
        return optuna.distributions.CategoricalDistribution(list(range(len(values))))
    kind = optuna.distributions.IntDistribution if values.integer else optuna.distributions.FloatDistribution
    return kind(*values.bounds, log=values.log)


def _to_optuna(value: Any, values: list[Any] | Range) -> Any:
    return values.index(value) if isinstance(values, list) else value


def _from_optuna(value: Any, values: list[Any] | Range) -> Any:
    return values[value] if isinstance(values, list) else value


def _text(values: Mapping[str, object]) -> str:
    return json.dumps(values, sort_keys=True)


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415  an optional dependency
    except ImportError as error:
        raise InputError(
            "search: the method optuna needs the package optuna; run `pip install 'aiida-bloomery[search]'`, or search "
            "a grid."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
