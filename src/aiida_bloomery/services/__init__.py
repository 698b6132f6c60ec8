"""The daemon and the broker of a profile: looking after our own, saying what to do about a user's.

AiiDA's daemon (circus) starts the ZeroMQ broker and the workers. When the broker is killed the daemon starts another,
but the workers stay connected to the one that is gone: everything looks alive and nothing moves. That shows in the
processes' ages: the broker must be older than every worker. A worker's death escapes the broker now and then; see
`roll_call`, which runs beside the workers of our own profile, and is done with every look at another.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_bloomery.services import processes, queue, roll_call
from aiida_bloomery.services.queue import ARRIVAL, has_task, revive_lost
from aiida_bloomery.services.roll_call import call_the_roll
from aiida_bloomery.setup.home import Home
from bloomery.errors import BloomeryError
from bloomery.program.console import last_line

__all__ = ["ARRIVAL", "HELD", "Services", "ensure", "has_task", "inspect", "repair", "revive_lost", "stop"]

HELD = "stopped"
"""File in our own home while its user wants the daemon stopped: what only watches does not start it."""
SILENCE = 60.0
"""Seconds after which a broker that does not write its status counts as hanging; it writes every five."""
PATIENCE = 60.0
"""Seconds for which the daemon is told again what it refuses because it is busy."""
BUSY = "arbiter is "
"""How circus begins to refuse a command while it does another, or starts again (``circus.util.synchronized``)."""


@dataclass(frozen=True)
class Services:
    """The state of a profile's daemon and broker, with the process ids of those that run on this machine."""

    daemon: int | None = None
    workers: tuple[int, ...] = ()
    broker: int | None = None
    pending: int | None = None
    """Tasks in the queue of a ZeroMQ broker that wait for a worker; RabbitMQ does not tell."""
    processing: int | None = None
    """Tasks that a worker has, likewise."""
    problems: tuple[str, ...] = ()
    """What is wrong, one sentence each."""
    remedy: tuple[str, ...] = ()
    """Commands that mend it."""
    notes: tuple[str, ...] = ()
    """What campaigns wait for although all of it runs, one sentence each."""

    @property
    def healthy(self) -> bool:
        """Whether a process that is submitted now would run."""
        return not self.problems


def inspect(home: Home) -> Services:
    """Look at daemon and broker of the loaded profile, and have the broker look at its workers."""
    profile = processes.profile()
    zeromq = profile.process_control_backend == "core.zeromq"
    if profile.process_control_backend is None:
        remedy = (f"verdi profile configure-broker core.zeromq {profile.name}",)
        return Services(problems=("the profile has no broker, so nothing can be submitted",), remedy=remedy)
    daemon, workers = processes.daemon(), processes.workers()
    broker = processes.broker() if zeromq else None
    if broker is not None:
        call_the_roll(processes.broker_folder())
    pending, processing = (len(tasks) for tasks in queue.tasks()) if zeromq else (None, None)
    problems = list(_problems(daemon, workers, broker, zeromq=zeromq))
    return Services(
        daemon=daemon.pid if daemon else None,
        workers=tuple(worker.pid for worker in workers),
        broker=broker.pid if broker else None,
        pending=pending,
        processing=processing,
        problems=tuple(problems),
        remedy=_remedy(home, profile.name) if problems else (),
        notes=tuple(_notes()),
    )


def ensure(home: Home, workers: int | None = None) -> list[str]:
    """See to it that daemon and broker of our own profile run and can reach each other; say what was done to that end.

    Raises
    ------
    BloomeryError
        If they cannot be brought to life, or the profile is the user's and something is wrong with it.
    """
    found = inspect(home)
    if home.own:
        (home.folder / HELD).unlink(missing_ok=True)
    if found.healthy:
        if home.own:
            _add_roll_call()
        return []
    if not home.own:
        problems, remedy = "; ".join(found.problems), "; ".join(found.remedy)
        raise BloomeryError(f"profile {home.profile or 'default'}: {problems}; it is yours, so run: {remedy}.")
    if found.daemon is None and not found.workers and found.broker is None:
        _start(workers)
        done = ["started the daemon"]
    else:
        repair(home, workers)
        done = [f"mended the daemon: {problem}" for problem in found.problems]
    problems = "; ".join(inspect(home).problems)
    if problems:
        log = processes.log_folder()
        raise BloomeryError(f"the daemon cannot be brought to life: {problems}; see its log in {log}.")
    return done


def repair(home: Home, workers: int | None = None) -> None:
    """Start daemon, broker and workers of our own profile anew, and see that every active process has a task."""
    stop(home)
    _start(workers)
    revive_lost()


def stop(home: Home) -> bool:
    """Stop the daemon of our own profile; return whether there was anything to stop.

    Its processes stay where they are and go on when it starts again.

    Raises
    ------
    BloomeryError
        If the profile is the user's.
    """
    if not home.own:
        raise BloomeryError(
            f"profile {home.profile}: it is yours, so its daemon is left alone; run `verdi daemon stop`."
        )
    import psutil  # noqa: PLC0415
    from aiida.engine.daemon.client import DaemonException  # noqa: PLC0415

    from aiida_bloomery.calculations.job_script import WARM_FOLDER  # noqa: PLC0415

    # Running jobs are not the daemon's children: they go on, and are looked after when it is back.
    ours = (processes.daemon(), processes.broker(), *processes.workers(), *processes.helpers())
    alive = running = [process for process in ours if process is not None]
    if processes.daemon() is not None:
        with contextlib.suppress(DaemonException):
            processes.client().stop_daemon(wait=True, timeout=30)
        _, alive = psutil.wait_procs(running, timeout=5)
    for process in alive:
        process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
    for folder in home.work.glob(f"*/{WARM_FOLDER}"):
        # What waits there for jobs ends with it.
        shutil.rmtree(folder, ignore_errors=True)
    _forget_the_dead()
    return bool(running)


def _problems(daemon: Any, workers: list[Any], broker: Any, *, zeromq: bool) -> Iterator[str]:
    if daemon is None:
        yield "the daemon does not run" + (", but workers of a dead one do" if workers else "")
    elif not workers:
        yield "the daemon has no workers"
    if not zeromq or daemon is None:
        return
    if broker is None:
        yield "the broker does not run"
        return
    deaf = [worker.pid for worker in workers if worker.create_time() < broker.create_time()]
    if deaf:
        yield f"the broker was started again and {len(deaf)} of {len(workers)} workers do not know it"
    status = processes.read(processes.broker_folder() / "broker.status")
    try:
        age = time.time() - float(json.loads(status)["timestamp"])
    except (ValueError, KeyError, TypeError):
        age = time.time() - broker.create_time()
    if age > SILENCE:
        yield f"the broker has been silent for {age:.0f} s"


def _notes() -> Iterator[str]:
    """What keeps campaigns waiting that is nobody's to mend here: a full disk, and jobs that AiiDA has paused."""
    from aiida import orm  # noqa: PLC0415
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    from aiida_bloomery.calculations.ownership import ROOM, free_room  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import ACTIVE  # noqa: PLC0415

    free = free_room()
    if free < ROOM:
        yield (
            f"the disk with {get_config().dirpath} is full ({free / 2**20:.0f} MiB left): campaigns wait until there "
            f"are {ROOM / 2**20:.0f} MiB"
        )
    filters = {"attributes.process_state": {"in": list(ACTIVE)}, "attributes.paused": True}
    wanted = ["id", "attributes.process_label", "attributes.process_status"]
    for pk, label, status in orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project=wanted).all():
        yield f"{label} <{pk}> is paused ({status or 'by hand'}): `verdi process play {pk}` lets it go on"


def _remedy(home: Home, profile: str) -> tuple[str, ...]:
    if home.own:
        return ("aiida-bloomery run FILE (or submit FILE), which mends it",)
    return (
        f"verdi -p {profile} daemon stop",
        f"verdi -p {profile} process repair",
        f"verdi -p {profile} daemon start {_default_workers()}",
    )


# -- starting and cleaning up -----------------------------------------------------------------------------------------


def _start(workers: int | None) -> None:
    from aiida.engine.daemon.client import DaemonException  # noqa: PLC0415
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    _forget_the_dead()
    # What this process has sent to the broker before it would go on sending to one that is gone.
    get_manager().reset_runner()
    get_manager().reset_broker()
    wanted = workers or _default_workers()
    try:
        processes.client().start_daemon(number_workers=wanted, timeout=60)
    except DaemonException as error:
        why = last_line(str(error))  # of a traceback what it ends with
        raise BloomeryError(f"the daemon does not start ({why}); see its log in {processes.log_folder()}.") from error
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (len(processes.workers()) < wanted or not _broker_ready()):
        time.sleep(0.1)
    _add_roll_call()
    _end_statistics()


def _end_statistics() -> None:
    """Stop what the daemon runs to keep statistics: nobody reads them, and they take more of a core than a worker."""
    _tell_daemon("stop", {"name": "circusd-stats"})


def _add_roll_call() -> None:
    """Have the daemon run `roll_call` beside its workers, if it does not yet."""
    daemon = processes.daemon()
    if daemon is None or not processes.uses_zeromq():
        return
    arguments = ["-m", roll_call.__name__, str(processes.broker_folder()), str(daemon.pid)]
    how = {"start": True, "options": {"copy_env": True}}
    # One that is there already is not added again.
    _tell_daemon("add", {"name": "roll-call", "cmd": sys.executable, "args": arguments, **how})


def _tell_daemon(command: str, properties: dict[str, Any]) -> None:
    """Have the daemon do what all would go on without, as well as AiiDA leaves it.

    Circus does one thing at a time: what it is told while it starts a process, or looks whether all of them live, it
    refuses and forgets. That is told again, for as long as `PATIENCE`.
    """
    from aiida.engine.daemon.client import DaemonException  # noqa: PLC0415

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            answer = processes.client().call_client({"command": command, "properties": properties})
        except DaemonException:
            return
        if not str(answer.get("reason", "")).startswith(BUSY):
            return
        time.sleep(0.1)


def _broker_ready() -> bool:
    if not processes.uses_zeromq():
        return True
    return processes.broker() is not None and (processes.broker_folder() / "broker.status").is_file()


def _forget_the_dead() -> None:
    """Remove the number files of processes that are gone: the numbers may be another program's by now."""
    if processes.daemon() is None:
        Path(processes.client().circus_pid_file).unlink(missing_ok=True)
    if processes.uses_zeromq() and processes.broker() is None:
        for name in ("broker.pid", "broker.status"):
            (processes.broker_folder() / name).unlink(missing_ok=True)


def _default_workers() -> int:
    from aiida.manage.configuration import get_config_option  # noqa: PLC0415

    return int(get_config_option("daemon.default_workers"))
