"""Engines of other packages: an environment of its own for each, and the AiiDA code that runs its `bloomery`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiida_bloomery.setup import Step, machine
from aiida_bloomery.setup.home import Home, load_profile
from bloomery.engines.installation import Environment, adopt_environment, make_environment, needs_environment
from bloomery.errors import InputError


@dataclass(frozen=True)
class EngineRequest:
    """An engine that is to be set up.

    Parameters
    ----------
    name
        Of the engine.
    python
        Interpreter to make its environment with.
    environment
        An environment of the user's that has the engine's package already.
    """

    name: str
    python: str | None = None
    environment: Path | None = None


def environments_folder(home: Home) -> Path:
    """Where the environments of engines are made."""
    return home.folder / "engines" if home.own else home.folder / ".aiida" / "bloomery-engines"


def set_up_engine(home: Home, request: EngineRequest) -> Iterator[Step]:
    """Make the environment and the code of an engine, step by step; the profile and the computer are there by then.

    Raises
    ------
    InputError
        At once, if there is no such engine, or it needs no environment; in the first step, if the one that is given has
        no such engine.
    """
    if not needs_environment(request.name) and request.environment is None:
        raise InputError(
            f"engine {request.name!r} runs in bloomery's own environment; it needs no set-up, unless --environment "
            "names another one for it."
        )
    return _steps(home, request)


def _steps(home: Home, request: EngineRequest) -> Iterator[Step]:
    environment = _environment(home, request)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(environment.versions.items()))
    state = "made" if environment.made else "there"
    yield Step(f"environment of {request.name}", state, f"{environment.folder} ({versions})")
    load_profile(home)
    from aiida import orm  # noqa: PLC0415

    computer = orm.Computer.collection.get(label=machine.COMPUTER)
    given = request.environment is not None
    code, made = machine.install_code(computer, request.name, environment.program, None, replace=home.own or given)
    yield Step(f"code {code.full_label}", "made" if made else "there", str(code.filepath_executable))


def _environment(home: Home, request: EngineRequest) -> Environment:
    if request.environment is not None:
        return adopt_environment(request.name, request.environment.expanduser().absolute())
    return make_environment(request.name, environments_folder(home) / request.name, request.python)
