"""An ssh server of the tests' own on this machine, with keys of its own; nobody's home is touched."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.servers import PATHS, free_ports
from tests.waiting import wait_until

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
AcceptEnv *
Subsystem sftp internal-sftp
"""

CLIENT = """\
Host 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/key
  UserKnownHostsFile {home}/.ssh/known_hosts
"""

PROGRAMS = ("sshd", "ssh-keygen")


@dataclass(frozen=True)
class Server:
    """A server, and the home of a user who may log in by `127.0.0.1`."""

    folder: Path
    home: Path

    def start(self) -> None:
        """Start it."""
        program = shutil.which("sshd", path=PATHS)
        assert program is not None
        subprocess.run([program, "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "log")], check=True)
        wait_until(self._pid, "the server's number")

    def stop(self) -> None:
        """End it, and all connections to it."""
        pid = self._pid()
        if not pid:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(pid)
            sessions = [one for one in server.children(recursive=True) if one.name().startswith("sshd")]
            for process in (server, *sessions):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        (self.folder / "sshd.pid").unlink(missing_ok=True)

    def _pid(self) -> int:
        file = self.folder / "sshd.pid"
        return int(file.read_text() or 0) if file.exists() else 0


@contextmanager
def sshd_in(folder: Path) -> Iterator[Server]:
    """Start a server, and write what a client needs into a home; end it with the block."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (port,) = free_ports(1)
    (folder / "sshd_config").write_text(CONFIGURATION.format(port=port, folder=folder))
    host = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}\n")
    (home / ".ssh" / "config").write_text(CLIENT.format(port=port, user=getpass.getuser(), folder=folder, home=home))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = Server(folder, home)
    server.start()
    try:
        yield server
    finally:
        server.stop()
