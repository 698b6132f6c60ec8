"""Every registered descriptor keeps the contract."""

import pytest

from bloomery.plugins import load_plugin, registered
from bloomery.testing.descriptors import check_descriptor

NEEDS = {"soap": ["featomic"]}


@pytest.mark.parametrize("name", registered("descriptors"))
@pytest.mark.parametrize("elements", [["Si"], ["Si", "C"], ["O", "H", "Cu"]], ids="-".join)
def test_descriptor_keeps_the_contract(name: str, elements: list[str]) -> None:
    for package in NEEDS.get(name, []):
        pytest.importorskip(package)
    check_descriptor(load_plugin("descriptors", name)(), elements, seed=len(elements))
