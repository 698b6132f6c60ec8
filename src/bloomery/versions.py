"""Versions of what has a say in the numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from bloomery import __version__

LIBRARIES = ("numpy", "scipy", "ase", "torch", "vesin", "matscipy")


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the numbers."""
    return {"bloomery": __version__, "python": platform.python_version(), **package_versions(*LIBRARIES)}


def package_versions(*packages: str) -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
