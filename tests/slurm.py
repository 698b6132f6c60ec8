"""A Slurm of the tests' own on this machine: Debian's daemons in a folder, several nodes, nothing of the system's."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.servers import PATHS, free_ports
from tests.waiting import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
MpiDefault=none
ReturnToService=2
InactiveLimit=0
KillWait=2
MinJobAge=300
SlurmctldTimeout=10
SlurmdTimeout=20
MessageTimeout=20
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}
PartitionName=normal Nodes=ALL Default=YES MaxTime=60 State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A Slurm that runs."""

    folder: Path
    nodes: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What commands that speak with it need."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATHS}

    def call(self, *words: str, check: bool = True) -> str:
        """Run one of its commands; return what it printed."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """States of the nodes."""
        lines = self.call("sinfo", "--noheader", "--Node", "--format", "%N %T", check=False).splitlines()
        return dict(line.split() for line in lines)

    def start(self, program: str, *words: str) -> None:
        """Start a daemon, which goes to the background by itself."""
        self.call(program, *words)

    def kill(self, program: str) -> None:
        """Kill a daemon of this Slurm at once."""
        for process in self.processes(program):
            process.kill()

    def cut(self, job: str) -> None:
        """Kill all processes of a job, and what looks after them."""
        victims: dict[int, psutil.Process] = {}
        while found := {process.pid: process for process in self._of_job(job) if process.pid not in victims}:
            # Stopped first: one that is killed alone is a command that ended, and its shell goes on with the next.
            for process in found.values():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
            victims |= found
        for process in victims.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @staticmethod
    def _of_job(job: str) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["environ", "name"]):
            if (process.info["environ"] or {}).get("SLURM_JOB_ID") == job:
                yield process
                with contextlib.suppress(psutil.NoSuchProcess):
                    yield from (parent for parent in process.parents() if parent.name() == "slurmstepd")

    def lose(self, node: str, job: str) -> None:
        """Take a node away with the job that it runs, as when its power is cut."""
        for process in self.processes("slurmd"):
            if node in process.cmdline():
                process.kill()
        self.cut(job)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def find(self, node: str) -> None:
        """Let it come back."""
        self.start("slurmd", "-N", node, "-f", f"{self.folder}/slurm.conf")
        # It returns to service by itself when it has registered, if not before it is told to.
        self.call("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        wait_until(lambda: self.states().get(node) in {"idle", "mixed", "allocated"}, "the node's return")

    def processes(self, program: str) -> list[psutil.Process]:
        """Daemons of this Slurm."""
        return [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == program and str(self.folder) in " ".join(process.info["cmdline"] or [])
        ]


@contextmanager
def slurm_in(folder: Path, *, nodes: int = 2, cpus: int = 2) -> Iterator[Slurm]:
    """Start controller and nodes, each with so many processors whatever the machine has; end them with the block."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    names = tuple(f"node{number}" for number in range(1, nodes + 1))
    control, *ports = free_ports(nodes + 1)
    lines = [
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
        "RealMemory=100 State=UNKNOWN"
        for name, port in zip(names, ports, strict=True)
    ]
    (folder / "state").mkdir()
    for name in names:
        (folder / f"spool.{name}").mkdir()
    where = {"folder": folder, "host": socket.gethostname(), "port": control, "user": getpass.getuser()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**where, nodes="\n".join(lines)))
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    slurm = Slurm(folder, names)
    try:
        files = {"key": "key", "pid": "pid", "log": "log", "seed": "seed"}
        options = [f"--{name}-file={folder}/munge.{ending}" for name, ending in files.items()]
        slurm.start("munged", f"--socket={folder}/munge.socket", "--force", *options)
        slurm.start("slurmctld", "-f", f"{folder}/slurm.conf")
        for name in names:
            slurm.start("slurmd", "-N", name, "-f", f"{folder}/slurm.conf")
        wait_until(lambda: set(slurm.states().values()) == {"idle"}, "idle nodes")
        yield slurm
    finally:
        for program in ("slurmd", "slurmctld", "munged"):
            slurm.kill(program)
