"""What to try next: a grid as it stands, optuna against a function whose minimum is known."""

import sys
from typing import Any

import pytest

from bloomery.errors import InputError
from bloomery.model_selection.search import SearchSettings, Trial, Trials, ask, check_space, with_settings
from bloomery.plugins import PluginSpec, parse_settings

HDNNP = PluginSpec(name="hdnnp", settings={"members": 2})


def searched(**changes: Any) -> SearchSettings:
    found: SearchSettings = parse_settings(SearchSettings, changes, "search")
    return found


def best(told: list[Trial]) -> Trial | None:
    return Trials(trials=told).best


def run(settings: SearchSettings, function: Any, seed: int = 0) -> list[Trial]:
    told: list[Trial] = []
    while asked := ask(settings, told, seed=seed):
        told += [Trial(values=values, error=function(values)) for values in asked]
    return told


def test_a_grid_is_every_combination_once() -> None:
    settings = searched(space={"hidden": [[8], [16, 16]], "share": [0.8, 0.9, 1.0]}, at_a_time=4)
    assert settings.n_trials == 6
    told = run(settings, lambda values: values["share"])
    assert len(told) == 6
    assert len({str(entry.values) for entry in told}) == 6
    assert best(told).values == {"hidden": [8], "share": 0.8}


def bowl(values: dict[str, Any]) -> float:
    return (values["x"] - 0.3) ** 2 + (0.0 if values["kind"] == ["a"] else 0.5)


SPACE = {"x": {"low": -1.0, "high": 1.0}, "kind": [["a"], ["b"]]}


def test_optuna_finds_a_known_minimum_and_the_same_again() -> None:
    settings = searched(space=SPACE, method="optuna", trials=40, at_a_time=4)
    told = run(settings, bowl, seed=3)
    assert len(told) == 40
    found = best(told)
    assert found.values["kind"] == ["a"]
    # Forty trials at random come this near with a probability of a few per cent only.
    assert found.values["x"] == pytest.approx(0.3, abs=0.02)
    assert told == run(settings, bowl, seed=3)
    assert told != run(settings, bowl, seed=4)


def test_failed_trials_are_no_errors() -> None:
    settings = searched(space=SPACE, method="optuna", trials=12)
    told = run(settings, lambda values: None if values["x"] > 0 else bowl(values))
    assert best(told).values["x"] <= 0
    assert best([Trial(values={}, error=None)]) is None


def test_a_small_space_is_searched_once() -> None:
    settings = searched(space={"kind": [1, 2, 3]}, method="optuna", trials=20)
    assert settings.n_trials == 3
    told = run(settings, lambda values: values["kind"])
    assert sorted(entry.values["kind"] for entry in told) == [1, 2, 3]


def test_whole_numbers_and_logarithms() -> None:
    space = {"n": {"low": 8, "high": 64, "integer": True, "log": True}}
    told = run(searched(space=space, method="optuna", trials=8), lambda values: values["n"])
    assert all(isinstance(entry.values["n"], int) and 8 <= entry.values["n"] <= 64 for entry in told)


def test_dots_lead_inwards() -> None:
    engine = with_settings(HDNNP, {"descriptor.power_spectrum.cutoff": 4.0, "members": 3})
    assert engine.settings == {"members": 3, "descriptor": {"power_spectrum": {"cutoff": 4.0}}}
    assert HDNNP.settings == {"members": 2}
    with pytest.raises(InputError, match="leads into members"):
        with_settings(HDNNP, {"members.number": 3})


def test_values_that_the_engine_does_not_take() -> None:
    check_space(HDNNP, searched(space={"hidden": [[8], [16]], "share": [0.8]}))
    with pytest.raises(InputError, match="hidden"):
        check_space(HDNNP, searched(space={"share": [0.9], "hidden": [[8], [0]]}))
    with pytest.raises(InputError, match="there is no such key"):
        check_space(HDNNP, searched(space={"width": [8]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, "at least 1 item"),
        ({"space": {"x": []}}, "x has no value"),
        ({"space": SPACE}, "x is a range; list its values"),
        ({"space": {"x": list(range(40)), "y": list(range(40))}}, "1600 combinations are too many"),
        ({"space": {"x": {"low": 1, "high": 1}}, "method": "optuna"}, "must be below high"),
        ({"space": {"x": {"low": 0, "high": 1, "log": True}}, "method": "optuna"}, "begins above zero"),
        ({"space": {"x": {"low": 0.5, "high": 2, "integer": True}}, "method": "optuna"}, "whole bounds"),
        ({"space": {"x": [1]}, "folds": 3, "used": 4}, "more than there are folds"),
    ],
)
def test_searches_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        searched(**changes)


def test_without_optuna_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'aiida-bloomery\[search\]'"):
        ask(searched(space=SPACE, method="optuna"), [], seed=0)
