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

from aiida_bloomery.setup.home import Home
from bloomery.errors import BloomeryError

SILENCE = 60.0
"""Seconds after which a broker that does not write its status counts as hanging; it writes every five."""

ARRIVAL = 10.0
"""Seconds that the broker may take to write a task down."""


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
    profile = _profile()
    zeromq = profile.process_control_backend == "core.zeromq"
    if profile.process_control_backend is None:
        remedy = (f"verdi profile configure-broker core.zeromq {profile.name}",)
        return Services(problems=("the profile has no broker, so nothing can be submitted",), remedy=remedy)
    daemon, workers = _daemon(), _workers()
    broker = _broker() if zeromq else None
    pending, processing = (len(tasks) for tasks in _tasks()) if zeromq else (0, 0)
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
            f"the daemon cannot be brought to life: {'; '.join(found.problems)}; see its log in {_log_folder()}."
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
    running = [process for process in (_daemon(), _broker(), *_workers(), *_statisticians()) if process is not None]
    alive = running
    if _daemon() is not None:
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


def has_task(pk: int) -> bool:
    """Whether the broker's queue holds the process: what is active and has no task will never be picked up."""
    return any(pk in tasks for tasks in _tasks())


def revive_lost() -> list[str]:
    """Give processes of our own profile a task again that have lost it, or never got one: their submitter was killed.

    AiiDA's own means of revival give them a task that is gone as soon as it is picked up, so that they would be lost
    when their worker dies; and counted as lost, and started twice, the next time somebody looks.

    Returns
    -------
    list
        What was done, one sentence each.
    """
    if not uses_zeromq() or not (lost := _lost()):
        return []
    # A task that moves in the queue while it is read can be overlooked once.
    time.sleep(2)
    lost = [pk for pk in _lost() if pk in lost]
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    get_manager().reset_broker()
    for pk in lost:
        get_manager().get_process_controller().continue_process(pk, nowait=False, no_reply=True)
    deadline = time.monotonic() + ARRIVAL
    while time.monotonic() < deadline and set(lost) & set(_lost()):
        time.sleep(0.1)
    return [f"process {pk} had no task in the queue and was given one" for pk in lost]


def _lost() -> list[int]:
    """Active processes of daemons that no worker will ever pick up.

    Only what a daemon runs has a checkpoint. A child that its parent has called again since, under the same label, is
    not missed.
    """
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.progress import ACTIVE  # noqa: PLC0415

    filters = {"attributes.process_state": {"in": list(ACTIVE)}, "attributes": {"has_key": "checkpoints"}}
    active = orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project=["id"]).all(flat=True)
    tasks: set[int] = set().union(*_tasks())
    return [pk for pk in active if pk not in tasks and not _was_called_again(pk)]


def _was_called_again(pk: int) -> bool:
    from aiida import orm  # noqa: PLC0415

    calls = {"type": {"in": ["call_calc", "call_work"]}}
    query = orm.QueryBuilder().append(orm.ProcessNode, tag="parent", project=["id"])
    query.append(
        orm.ProcessNode, filters={"id": pk}, with_incoming="parent", edge_filters=calls, edge_project=["label"]
    )
    called = query.first()
    if called is None:
        return False
    parent, label = called
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": parent}, tag="parent")
    later = {"id": {">": pk}}
    query.append(orm.ProcessNode, filters=later, with_incoming="parent", edge_filters={**calls, "label": label})
    return bool(query.count())


def uses_zeromq() -> bool:
    """Whether the loaded profile's broker is the one that AiiDA ships."""
    return bool(_profile().process_control_backend == "core.zeromq")


# -- what runs --------------------------------------------------------------------------------------------------------


def _profile() -> Any:
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    return get_manager().get_profile()


def _daemon() -> Any:
    """The daemon's process, if it is alive."""
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    return _alive(get_daemon_client().get_daemon_pid(), ("start-circus", "circusd"))


def _workers() -> list[Any]:
    """Workers of the profile on this machine, also those whose daemon is gone."""
    import psutil  # noqa: PLC0415
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    tail = ["-p", _profile().name, "daemon", "worker"]
    folder = str(Path(get_config().dirpath).resolve())
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-4:] != tail:
            continue
        try:
            where = process.environ().get("AIIDA_PATH", "~")
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
        home = Path(where).expanduser().resolve()
        if folder in {str(home), str(home / ".aiida")}:
            found.append(process)
    return sorted(found, key=lambda process: int(process.pid))


def _statisticians() -> list[Any]:
    """The helper process of the daemon, which outlives a daemon that is killed."""
    import psutil  # noqa: PLC0415
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    log = get_daemon_client().circus_log_file
    return [process for process in psutil.process_iter(["cmdline"]) if log in (process.info["cmdline"] or [])]


def _broker() -> Any:
    """The broker's process, if it is alive."""
    words = _read(_broker_folder() / "broker.pid").split()
    return _alive(int(words[-1]) if words and words[-1].isdigit() else None, ("broker",))


def _alive(pid: int | None, words: tuple[str, ...]) -> Any:
    """The process of that number, unless it is dead or another program has the number now."""
    import psutil  # noqa: PLC0415

    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        line = process.cmdline()
        if process.status() == psutil.STATUS_ZOMBIE or not any(word in line for word in words):
            return None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process


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
    status = _read(_broker_folder() / "broker.status")
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


def _tasks() -> tuple[set[int], set[int]]:
    """Processes whose tasks wait for a worker, and whose tasks a worker has.

    The files are read as they lie: AiiDA's own queue object would take tasks away from their workers.
    """
    folder = _broker_folder() / "storage" / "tasks"
    found: tuple[set[int], set[int]] = (set(), set())
    for pks, name in zip(found, ("pending", "processing"), strict=True):
        for path in (folder / name).glob("*.json"):
            pk = _task_process(_read(path))
            if pk is not None:
                pks.add(pk)
    return found


def _task_process(text: str) -> int | None:
    try:
        return int(json.loads(text)["body"]["args"]["pid"])
    except (ValueError, KeyError, TypeError):
        return None


# -- starting and cleaning up -----------------------------------------------------------------------------------------


def _start(workers: int | None) -> None:
    from aiida.engine.daemon.client import DaemonException, get_daemon_client  # noqa: PLC0415
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    _forget_the_dead()
    # What this process has sent to the broker before it would go on sending to one that is gone.
    get_manager().reset_runner()
    get_manager().reset_broker()
    try:
        get_daemon_client().start_daemon(number_workers=workers or _default_workers(), timeout=60)
    except DaemonException as error:
        raise BloomeryError(f"the daemon does not start ({error}); see its log in {_log_folder()}.") from error
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not _workers() or (uses_zeromq() and not _broker_ready())):
        time.sleep(0.1)


def _broker_ready() -> bool:
    return _broker() is not None and (_broker_folder() / "broker.status").is_file()


def _forget_the_dead() -> None:
    """Remove the number files of processes that are gone: the numbers may be another program's by now."""
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    if _daemon() is None:
        Path(get_daemon_client().circus_pid_file).unlink(missing_ok=True)
    if uses_zeromq() and _broker() is None:
        for name in ("broker.pid", "broker.status"):
            (_broker_folder() / name).unlink(missing_ok=True)


def _default_workers() -> int:
    from aiida.manage.configuration import get_config_option  # noqa: PLC0415

    return int(get_config_option("daemon.default_workers"))


def _broker_folder() -> Path:
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    return Path(get_config().filepaths(_profile())["broker_service"]["dir"])


def _log_folder() -> Path:
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    return Path(get_daemon_client().daemon_log_file).parent


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
