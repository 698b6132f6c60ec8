"""The pinned dependencies: complete, within the ranges that the package asks for, and for every Python it promises."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = "3.11.0"

PINS = {
    canonicalize_name(pin.name): pin
    for pin in map(Requirement, (ROOT / "constraints.txt").read_text(encoding="utf-8").split())
}
ASKED = [
    requirement
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, group)
    if requirement.name != PROJECT["name"]
]


def pinned(name: str) -> Version:
    (specifier,) = PINS[canonicalize_name(name)].specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


@pytest.mark.parametrize("requirement", ASKED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert pinned(requirement.name) in requirement.specifier


@pytest.mark.parametrize("name", PINS)
def test_pinned_version_takes_the_oldest_python(name: str) -> None:
    """Debian 12 ships Python 3.11.2."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        pytest.skip("is not installed here")
    if Version(found.version).public != str(pinned(name)):
        pytest.skip(f"is installed in version {found.version}")
    assert OLDEST in SpecifierSet(found.metadata["Requires-Python"] or "")


def test_python_that_is_promised() -> None:
    assert OLDEST in SpecifierSet(PROJECT["requires-python"])
