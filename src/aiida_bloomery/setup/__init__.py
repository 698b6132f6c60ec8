"""Make this machine ready for campaigns: profile, computer, codes, pseudopotentials. What is there is left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    """One thing that a set-up sees to.

    Parameters
    ----------
    what
        The thing.
    state
        ``made`` now, ``there`` already, or ``missing``.
    detail
        Where it is, or how to get it.
    """

    what: str
    state: str
    detail: str


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
    yield _step(f"computer {computer.label}", made, f"{cores} cores" if cores else "without a bound on cores")
    program = machine.bloomery_program()
    code, made = machine.install_code(computer, "bloomery", program, None, replace=home.own)
    yield _step(f"code {code.full_label}", made, str(code.filepath_executable))
    pw = machine.pw_program()
    if pw is None:
        yield Step("code pw@localhost", "missing", QE_HINT)
    else:
        # One thread each: packs start as many pw.x as they have cores.
        prepend = "export OMP_NUM_THREADS=1"
        code, made = machine.install_code(computer, "pw", pw, "quantumespresso.pw", prepend, replace=home.own)
        yield _step(f"code {code.full_label}", made, str(code.filepath_executable))
    folder = pseudopotentials.find_folder()
    if folder is None:
        yield Step(f"pseudopotentials {pseudopotentials.FAMILY}", "missing", PSEUDO_HINT)
        return
    family, made = pseudopotentials.install_family(folder)
    if family is None:
        yield Step(f"pseudopotentials {pseudopotentials.FAMILY}", "missing", PSEUDO_HINT)
    else:
        yield _step(f"pseudopotentials {family.label}", made, ", ".join(sorted(family.elements)))


def _step(what: str, made: bool, detail: str) -> Step:
    return Step(what, "made" if made else "there", detail)


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
    config.set_option("runner.poll.interval", 1, scope=profile.name)
    config.set_option("daemon.default_workers", WORKERS, scope=profile.name)
    config.set_option("daemon.timeout", 30, scope=profile.name)
    config.store()
    _write_ahead(Path(profile.storage_config["filepath"]))
    return Step(f"profile {home.profile}", "made", home.export_line)


def _write_ahead(storage: Path) -> None:
    """Put the database into write-ahead mode, which it keeps: readers and the writer no longer wait for each other."""
    with sqlite3.connect(storage / "database.sqlite") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
