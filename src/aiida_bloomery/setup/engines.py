"""Engines and foundations of other packages: an environment for each, and the AiiDA code that runs its `bloomery`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiida_bloomery.setup import Step, code_step, machine
from aiida_bloomery.setup.home import Home, load_profile
from bloomery.engines.installation import (
    Environment,
    adopt_environment,
    make_environment,
    needs_environment,
    shared_with,
)
from bloomery.errors import InputError
from bloomery.plugins import Kind


@dataclass(frozen=True)
class EngineRequest:
    """An engine, or a foundation, that is to be set up."""

    name: str
    kind: Kind = "engines"
    python: str | None = None
    """Interpreter to make its environment with."""
    environment: Path | None = None
    """An environment of the user's that has the package already."""

    @property
    def code(self) -> str:
        """Label of its code: that of the engine whose environment it shares, or its own name."""
        return shared_with(self.name, self.kind) or self.name


def set_up_engine(home: Home, request: EngineRequest) -> Iterator[Step]:
    """Make the environment and the code, step by step; the profile and the computer are there by then.

    Raises
    ------
    InputError
        At once, if there is no such engine or foundation, or it needs no environment; in the first step, if the one
        that is given has no such package.
    """
    if not needs_environment(request.name, request.kind) and request.environment is None:
        raise InputError(
            f"{request.kind.removesuffix('s')} {request.name!r} runs in bloomery's own environment; it needs no "
            "set-up, unless --environment names another one for it."
        )
    return _steps(home, request)


def _steps(home: Home, request: EngineRequest) -> Iterator[Step]:
    environment = _environment(home, request)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(environment.versions.items()))
    yield Step.of(f"environment of {request.name}", f"{environment.folder} ({versions})", made=environment.made)
    load_profile(home)
    from aiida import orm  # noqa: PLC0415

    computer = orm.Computer.collection.get(label=machine.COMPUTER)
    given = request.environment is not None
    yield code_step(computer, request.code, environment.program, None, replace=home.own or given)


def _environment(home: Home, request: EngineRequest) -> Environment:
    if request.environment is not None:
        return adopt_environment(request.name, request.environment.expanduser().absolute(), request.kind)
    folder = home.folder / "engines" if home.own else home.folder / ".aiida" / "bloomery-engines"
    return make_environment(request.name, folder / request.code, request.python, request.kind)
