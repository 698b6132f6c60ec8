"""What sites run AiiDA with: PostgreSQL and RabbitMQ of the tests' own, in a folder, nothing of the system's."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.servers import PATHS, free_ports
from tests.waiting import wait_until

USER = "postgres"
"""Who runs the database where root runs the tests: it refuses to run as root. Debian's package makes this user."""


def program(name: str) -> str | None:
    """Where a program is; Debian keeps those of the database server apart, by its version, and those of RabbitMQ."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = ":".join([*map(str, folders), "/usr/lib/rabbitmq/bin", PATHS])
    return shutil.which(name, path=path)


def lacking() -> str:
    """Which programs are not installed."""
    wanted = ["initdb", "pg_ctl", "rabbitmq-server", "epmd", *(["runuser"] if os.geteuid() == 0 else [])]
    absent = [name for name in wanted if program(name) is None]
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            absent.append(f"the user {USER}")
    return ", ".join(absent)


@dataclass(frozen=True)
class SiteServices:
    """A database server and a message broker that run."""

    folder: Path
    database_port: int
    broker_port: int
    environment: dict[str, str]

    def database(self, *words: str) -> None:
        """Call ``pg_ctl``."""
        options = f"-p {self.database_port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self.as_user("pg_ctl", "-D", f"{self.folder}/database", "-l", f"{self.folder}/log", "-o", options, "-w", *words)

    def as_user(self, name: str, *words: str) -> None:
        """Call a program of the database's, as a user who is not root."""
        path = program(name)
        assert path is not None
        other = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        # What it starts keeps files open that it inherits.
        with (self.folder / "calls").open("a") as log:
            subprocess.run([*other, path, *words], stdout=log, stderr=log, cwd=self.folder, check=True, timeout=120)

    def brokers(self) -> list[psutil.Process]:
        """The broker's process."""
        found = []
        for process in psutil.process_iter(["environ", "name"]):
            of_ours = (process.info["environ"] or {}).get("RABBITMQ_NODE_PORT") == str(self.broker_port)
            if of_ours and process.info["name"] == "beam.smp":
                found.append(process)
        return found

    def start_broker(self) -> None:
        """Start the broker, and return when it listens."""
        path = program("rabbitmq-server")
        assert path is not None
        with (self.folder / "broker.log").open("a") as log:
            subprocess.Popen([path], env={**os.environ, **self.environment}, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self._listens, "the message broker", interval=0.2)

    def _listens(self) -> bool:
        connections = []
        for process in self.brokers():
            with contextlib.suppress(psutil.NoSuchProcess):  # those of its start come and go
                connections += process.net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == self.broker_port for one in connections)

    def kill_broker(self) -> None:
        """Kill the broker, as when its machine's power is cut."""
        for process in self.brokers():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
                process.wait()


@contextmanager
def site_services() -> Iterator[SiteServices]:
    """Start both; end them with the block."""
    folder = Path(tempfile.mkdtemp(prefix="site-"))
    database_port, broker_port, between, names = free_ports(4)
    environment = {
        "HOME": str(folder / "broker"),
        "PATH": PATHS,
        "RABBITMQ_NODENAME": "tests@localhost",
        "RABBITMQ_NODE_PORT": str(broker_port),
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_MNESIA_BASE": str(folder / "broker" / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "broker" / "log"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "broker" / "plugins"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "broker" / "advanced.config"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
    }
    services = SiteServices(folder, database_port, broker_port, environment)
    (folder / "broker").mkdir()
    (folder / "broker" / "plugins").write_text("[].\n")
    # By default it takes tasks away from workers that have them for half an hour, as those of long processes do.
    (folder / "broker" / "advanced.config").write_text("[{rabbit, [{consumer_timeout, undefined}]}].\n")
    try:
        folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        services.as_user("initdb", "-D", f"{folder}/database", "-A", "trust", "-U", "aiida", "--no-sync")
        services.database("start")
        services.as_user("createdb", "-h", "127.0.0.1", "-p", str(database_port), "-U", "aiida", "aiida")
        services.start_broker()
        yield services
    finally:
        services.kill_broker()
        epmd = program("epmd")
        if epmd is not None:
            subprocess.run([epmd, "-port", str(names), "-kill"], capture_output=True, check=False)
        with contextlib.suppress(subprocess.CalledProcessError):
            services.database("-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
