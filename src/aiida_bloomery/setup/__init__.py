"""Make this machine ready for campaigns: profile, computer, codes, pseudopotentials. What is there is left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiida_bloomery.setup import machine, pseudopotentials
from aiida_bloomery.setup.home import Home, find_home, load_profile

__all__ = ["Home", "Step", "find_home", "load_profile", "set_up"]

WORKERS = 2
QE_HINT = (
    "install Quantum ESPRESSO (Debian, Ubuntu: `apt install quantum-espresso quantum-espresso-data`; conda: "
    "`conda install -c conda-forge qe`; a cluster: load its module), put pw.x on the PATH or its path into the "
    "variable PW, and run this again"
)
PSEUDO_HINT = (
    "put UPF files of the PBE functional into a folder, its path into the variable ESPRESSO_PSEUDO, and run this again"
)


@dataclass(frozen=True)
class Step:
    """One thing that a set-up sees to."""

    what: str
    state: str
    """``made`` now, ``there`` already, or ``missing``."""
    detail: str
    """Where it is, or how to get it."""

    @classmethod
    def of(cls, what: str, detail: str, *, made: bool) -> Self:
        """A thing that is there now."""
        return cls(what, "made" if made else "there", detail)


def set_up(home: Home) -> Iterator[Step]:
    """Set up what is missing, step by step.

    Raises
    ------
    InputError
        If a profile of the user's does not exist.
    """
    yield _profile(home)
    load_profile(home)
    workdir = (home.work if home.own else home.folder / ".aiida" / "bloomery-work") / "{username}"
    computer, made = machine.install_computer(workdir)
    cores = computer.get_property(machine.CORES_PROPERTY, None)
    yield Step.of(f"computer {computer.label}", f"{cores} cores" if cores else "without a bound on cores", made=made)
    yield code_step(computer, "bloomery", machine.bloomery_program(), None, replace=home.own)
    pw = machine.pw_program()
    if pw is None:
        yield Step("code pw@localhost", "missing", QE_HINT)
    else:
        # One thread each: packs start as many pw.x as they have cores.
        prepend = "export OMP_NUM_THREADS=1"
        yield code_step(computer, "pw", pw, "quantumespresso.pw", prepend, replace=home.own)
        ph = machine.ph_program(pw)
        if ph is not None:
            yield code_step(computer, "ph", ph, "quantumespresso.ph", prepend, replace=home.own)
    cp2k = machine.cp2k_program()
    if cp2k is not None:
        yield code_step(computer, "cp2k", cp2k, "bloomery.cp2k_pack", "export OMP_NUM_THREADS=1", replace=home.own)
    folder = pseudopotentials.find_folder()
    family, made = pseudopotentials.install_family(folder) if folder is not None else (None, False)
    if family is None:
        yield Step(f"pseudopotentials {pseudopotentials.FAMILY}", "missing", PSEUDO_HINT)
    else:
        yield Step.of(f"pseudopotentials {family.label}", ", ".join(sorted(family.elements)), made=made)


def code_step(*code: Any, replace: bool) -> Step:
    """Make a code unless it exists, see `machine.install_code`."""
    node, made = machine.install_code(*code, replace=replace)
    return Step.of(f"code {node.full_label}", str(node.filepath_executable), made=made)


def _profile(home: Home) -> Step:
    if not home.own:
        load_profile(home)
        return Step(f"profile {home.profile}", "there", "yours: its daemon is left alone")
    home.mark()
    home.activate()
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    config = get_config(create=True)
    if home.profile in config.profile_names:
        return Step(f"profile {home.profile}", "there", home.export_line)
    from aiida.manage.configuration import create_profile  # noqa: PLC0415
    from aiida.plugins import BrokerFactory  # noqa: PLC0415

    profile = create_profile(
        config,
        name=home.profile,
        email="bloomery@localhost",
        storage_backend="core.sqlite_dos",
        storage_config={},
        broker_backend="core.zeromq",
        broker_config=BrokerFactory("core.zeromq").get_default_config(),
    )
    config.set_default_profile(profile.name, overwrite=True)
    options = {"runner.poll.interval": 1, "daemon.default_workers": WORKERS, "daemon.timeout": 30}
    for name, value in options.items():
        config.set_option(name, value, scope=profile.name)
    config.store()
    # Write-ahead mode, which the database keeps: readers and the writer no longer wait for each other.
    with sqlite3.connect(Path(profile.storage_config["filepath"]) / "database.sqlite") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return Step(f"profile {home.profile}", "made", home.export_line)
