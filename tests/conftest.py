"""Fixtures for AiiDA, where it is installed: the science's own tests do without it."""

from importlib.util import find_spec

pytest_plugins = ["aiida.tools.pytest_fixtures"] if find_spec("aiida") else []
