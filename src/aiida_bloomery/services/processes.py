"""Daemon, broker and workers of the loaded profile, as processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def uses_zeromq() -> bool:
    """Whether the loaded profile's broker is the one that AiiDA ships."""
    return bool(profile().process_control_backend == "core.zeromq")


def profile() -> Any:
    """The loaded profile."""
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    return get_manager().get_profile()


def client() -> Any:
    """What AiiDA speaks to the daemon with."""
    from aiida.engine.daemon.client import get_daemon_client  # noqa: PLC0415

    return get_daemon_client()


def daemon() -> Any:
    """The daemon's process, if it is alive."""
    return _alive(client().get_daemon_pid(), ("start-circus", "circusd"))


def workers() -> list[Any]:
    """Workers of the profile on this machine, also those whose daemon is gone."""
    import psutil  # noqa: PLC0415
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    tail = ["-p", profile().name, "daemon", "worker"]
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


def helpers() -> list[Any]:
    """What runs beside the workers, and outlives a daemon that is killed: circus's statistics, and the roll call."""
    import psutil  # noqa: PLC0415

    marks = {client().circus_log_file, str(broker_folder())} if uses_zeromq() else {client().circus_log_file}
    return [process for process in psutil.process_iter(["cmdline"]) if marks & set(process.info["cmdline"] or [])]


def broker() -> Any:
    """The broker's process, if it is alive."""
    words = read(broker_folder() / "broker.pid").split()
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


def broker_folder() -> Path:
    """Where the broker keeps its files."""
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    return Path(get_config().filepaths(profile())["broker_service"]["dir"])


def log_folder() -> Path:
    """Where the daemon writes its log."""
    return Path(client().daemon_log_file).parent


def read(path: Path) -> str:
    """Return the text of a file; nothing if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
