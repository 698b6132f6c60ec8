"""The daemon and the broker of a profile: looking after our own, saying what to do about a user's.

AiiDA's daemon (circus) starts the ZeroMQ broker and the workers. When the broker is killed the daemon starts another,
but the workers stay connected to the one that is gone: everything looks alive and nothing moves. That shows in the
processes' ages: the broker must be older than every worker.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiida_bloomery.services import processes, queue
from aiida_bloomery.services.queue import ARRIVAL, has_task, revive_lost
from aiida_bloomery.setup.home import Home
from bloomery.errors import BloomeryError

__all__ = ["ARRIVAL", "Services", "ensure", "has_task", "inspect", "repair", "revive_lost", "stop"]

SILENCE = 60.0
"""Seconds after which a broker that does not write its status counts as hanging; it writes every five."""


@dataclass(frozen=True)
class Services:
    """The state of a profile's daemon and broker.

    Parameters
    ----------
    daemon
        Process id of the daemon; ``None`` if it does not run.
    workers
        Process ids of its workers.
    broker
        Process id of the broker; ``None`` if it does not run, or is not a process of this machine.
    pending, processing
        Tasks in the broker's queue: waiting for a worker, and with one.
    problems
        What is wrong, one sentence each.
    remedy
        Commands that mend it.
    """

    daemon: int | None = None
    workers: tuple[int, ...] = ()
    broker: int | None = None
    pending: int = 0
    processing: int = 0
    problems: tuple[str, ...] = ()
    remedy: tuple[str, ...] = field(default=())

    @property
    def healthy(self) -> bool:
        """Whether a process that is submitted now would run."""
        return not self.problems


def inspect(home: Home) -> Services:
    """Look at daemon and broker of the loaded profile."""
    profile = processes.profile()
    zeromq = profile.process_control_backend == "core.zeromq"
    if profile.process_control_backend is None:
        remedy = (f"verdi profile configure-broker core.zeromq {profile.name}",)
        return Services(problems=("the profile has no broker, so nothing can be submitted",), remedy=remedy)
    daemon, workers = processes.daemon(), processes.workers()
    broker = processes.broker() if zeromq else None
    pending, processing = (len(tasks) for tasks in queue.tasks()) if zeromq else (0, 0)
    problems = list(_problems(daemon, workers, broker, zeromq=zeromq))
    return Services(
        daemon=daemon.pid if daemon else None,
        workers=tuple(worker.pid for worker in workers),
        broker=broker.pid if broker else None,
        pending=pending,
        processing=processing,
        problems=tuple(problems),
        remedy=_remedy(home, profile.name) if problems else (),
    )


def ensure(home: Home, workers: int | None = None) -> list[str]:
    """See to it that daemon and broker of our own profile run and can reach each other; mend them if not.

    Returns
    -------
    list
        What was done, one sentence each.

    Raises
    ------
    BloomeryError
        If they cannot be brought to life, or the profile is the user's and something is wrong with it.
    """
    found = inspect(home)
    if found.healthy:
        return []
    if not home.own:
        raise BloomeryError(
            f"profile {home.profile or 'default'}: {'; '.join(found.problems)}; it is yours, so run: "
            f"{'; '.join(found.remedy)}."
        )
    done = []
    if found.daemon is None and not found.workers and found.broker is None:
        _start(workers)
        done.append("started the daemon")
    else:
        done = [f"mended the daemon: {problem}" for problem in found.problems]
        repair(home, workers)
    found = inspect(home)
    if not found.healthy:
        raise BloomeryError(
            f"the daemon cannot be brought to life: {'; '.join(found.problems)}; see its log in "
            f"{processes.log_folder()}."
        )
    return done


def repair(home: Home, workers: int | None = None) -> None:
    """Start daemon, broker and workers of our own profile anew, and see that every active process has a task."""
    stop(home)
    _start(workers)
    revive_lost()


def stop(home: Home) -> bool:
    """Stop the daemon of our own profile. Its processes stay where they are and go on when it starts again.

    Returns
    -------
    bool
        Whether there was anything to stop.

    Raises
    ------
    BloomeryError
        If the profile is the user's.
    """
    import psutil  # noqa: PLC0415

    if not home.own:
        raise BloomeryError(
            f"profile {home.profile}: it is yours, so its daemon is left alone; run `verdi daemon stop`."
        )
    from aiida.engine.daemon.client import DaemonException, get_daemon_client  # noqa: PLC0415

    # Running jobs are not the daemon's children: they go on, and are looked after when it is back.
    running = [
        process
        for process in (processes.daemon(), processes.broker(), *processes.workers(), *processes.statisticians())
        if process is not None
    ]
    alive = running
    if processes.daemon() is not None:
        with contextlib.suppress(DaemonException):
            get_daemon_client().stop_daemon(wait=True, timeout=30)
        _, alive = psutil.wait_procs(running, timeout=5)
    for process in alive:
        process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
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
    from aiida.engine.daemon.client import DaemonException, get_daemon_client  # noqa: PLC0415
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    _forget_the_dead()
    # What this process has sent to the broker before it would go on sending to one that is gone.
    get_manager().reset_runner()
    get_manager().reset_broker()
    wanted = workers or _default_workers()
    try:
        get_daemon_client().start_daemon(number_workers=wanted, timeout=60)
    except DaemonException as error:
        raise BloomeryError(f"the daemon does not start ({error}); see its log in {processes.log_folder()}.") from error
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (
        len(processes.workers()) < wanted or (processes.uses_zeromq() and not _broker_ready())
    ):
        time.sleep(0.1)


def _broker_ready() -> bool:
    return processes.broker() is not None and (processes.broker_folder() / "broker.status").is_file()


def _forget_the_dead() -> None:
    """Remove the number files of processes that are gone: the numbers may be another program's by now."""
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    if processes.daemon() is None:
        Path(get_daemon_client().circus_pid_file).unlink(missing_ok=True)
    if processes.uses_zeromq() and processes.broker() is None:
        for name in ("broker.pid", "broker.status"):
            (processes.broker_folder() / name).unlink(missing_ok=True)


def _default_workers() -> int:
    from aiida.manage.configuration import get_config_option  # noqa: PLC0415

    return int(get_config_option("daemon.default_workers"))
