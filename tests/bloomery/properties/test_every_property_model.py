"""Every model of properties, on every property."""

from __future__ import annotations

import pytest

from bloomery.frames.labels import PROPERTIES, Property
from bloomery.plugins import load_plugin, registered
from bloomery.testing.properties import check_property_model


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("model", registered("property_models"))
def test_a_model_keeps_the_contract(model: str, name: Property) -> None:
    check_property_model(load_plugin("property_models", model).make(), name)
