"""Plug-in specifications and the sentences that wrong settings get."""

import pytest
from pydantic import TypeAdapter

from bloomery.errors import InputError
from bloomery.plugins import KINDS, PluginSpec, load_plugin, registered


@pytest.mark.parametrize(
    ("value", "name", "settings"),
    [
        ("sanity", "sanity", {}),
        ({"farthest_point": {"frames": 12}}, "farthest_point", {"frames": 12}),
        ({"sanity": None}, "sanity", {}),
        ({"name": "random", "settings": {"frames": 3}}, "random", {"frames": 3}),
        ({"name": "random"}, "random", {}),
    ],
)
def test_short_forms(value: object, name: str, settings: dict[str, object]) -> None:
    spec = PluginSpec.model_validate(value)
    assert (spec.name, spec.settings) == (name, settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_registered_plugin_loads_under_its_own_name(kind: str) -> None:
    assert registered(kind)
    for name in registered(kind):
        assert load_plugin(kind, name).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_that_are_written_out_are_taken_back(kind: str) -> None:
    """As a campaign writes them into its inputs: a default, which nothing checks, has to be a value that is taken."""
    for name in registered(kind):
        for field in load_plugin(kind, name).Settings.model_fields.values():  # type: ignore[arg-type]
            if not field.is_required():
                TypeAdapter(field.rebuild_annotation()).validate_python(field.get_default(call_default_factory=True))


def test_unknown_plugin_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"selector 'fps' is not registered; choose one of .*farthest_point"):
        PluginSpec(name="fps").load("selectors")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": "many"}, r"^random\.frames: .*integer.*got 'many'"),
        ({"frame": 3}, r"^random\.frame: there is no such key; write 'frames', or remove it"),
        ({"frames": 0}, r"^random\.frames: .*greater than"),
        ({}, r"^random\.frames: is missing"),
    ],
)
def test_wrong_settings_get_one_sentence_with_the_key(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PluginSpec(name="random", settings=settings).load("selectors")
