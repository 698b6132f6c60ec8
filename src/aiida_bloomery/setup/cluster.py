"""A computer with a queue: from a short description to an AiiDA computer, programs that run there, and codes."""

from __future__ import annotations

import getpass
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from aiida_bloomery.setup import Step, machine
from aiida_bloomery.setup.home import Home
from bloomery import __version__
from bloomery.engines.installation import DISTRIBUTION, bloomery_source
from bloomery.errors import BloomeryError, InputError
from bloomery.plugins import Settings
from bloomery.program.console import last_line

Transport = Literal["ssh", "ssh_async", "local"]
Scheduler = Literal["slurm", "pbspro", "torque", "sge", "lsf", "direct"]

PLUGINS = {
    "pw": "quantumespresso.pw",
    "ph": "quantumespresso.ph",
    "cp2k": "bloomery.cp2k_pack",
    "vasp": "bloomery.vasp_pack",
}
"""Programs that label by the keys of ``codes`` in a campaign file, and what their jobs are by default."""
BLOOMERY = "bloomery"
ENVIRONMENT = ".aiida-bloomery"
"""Folder in the user's home there with the environment of our program, unless another is named."""
POLL_INTERVAL = {"local": 1.0}
"""Seconds between two questions to the queue, by transport; elsewhere `SELDOM`: logins are watched by their owners."""
SELDOM = 10.0
PYTHON = (3, 11)


class ProgramThere(Settings):
    """A program on the cluster. Short form: its path."""

    path: str
    """Where it is; a name is enough if the modules put it on the path."""
    modules: list[str] = Field(default=[])
    """Modules to load before it."""
    before: str = ""
    """Lines of shell before it, after the modules."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @property
    def prepend(self) -> str:
        """Lines of shell before the program."""
        return _lines(*(f"module load {shlex.quote(name)}" for name in self.modules), self.before)


class Cluster(Settings):
    """What is told of a cluster."""

    label: str
    """Its name in AiiDA."""
    host: str
    """Host name of the login node; ``localhost`` for the queue of this machine."""
    scheduler: Scheduler
    """Its queue."""
    work: str
    """Folder in which jobs run, as an absolute path; ``{username}`` stands for the user there."""
    transport: Transport | None = None
    """How it is reached: ``ssh``, unless it is this machine."""
    user: str | None = None
    """User there; by default as ssh has it."""
    port: int = Field(default=22, ge=1, le=65535)
    """Port of ssh."""
    key: Path | None = None
    """File with the key for ssh; by default those that ssh looks for."""
    cores: int = Field(default=1, ge=1)
    """Cores of a node."""
    mpirun: str | None = None
    """How MPI programs are started, with ``{tot_num_mpiprocs}``; ``srun`` with Slurm, otherwise ``mpirun``."""
    before: str = ""
    """Lines of shell that every job begins with."""
    queue: str | None = None
    """Queue or partition that jobs go to."""
    account: str | None = None
    """Account that they are booked on."""
    programs: dict[str, ProgramThere] = Field(default={})
    """Programs there by their keys in a campaign file: ``pw``, ``ph``, ``cp2k``, ``vasp``, and ``bloomery`` if it is
    there."""
    python: str = "python3"
    """Python with which the environment of ``bloomery`` is made there, if no program ``bloomery`` is named."""
    environment: str | None = None
    """Folder of that environment there; by default ``.aiida-bloomery`` in the home."""
    extras: list[str] = Field(default=["torch"])
    """Extras of this package that are installed in it."""
    packages: list[str] = Field(default=[])
    """What pip installs before, in the place of what it would choose, such as another build of torch."""

    @field_validator("label")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", value):
            raise ValueError("must be of letters, digits, dots, dashes and underscores")
        if value == machine.COMPUTER:
            raise ValueError("is the label of this machine without a queue; choose another")
        return value

    @field_validator("work", "environment")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError("must be an absolute path")
        return value

    @field_validator("mpirun")
    @classmethod
    def _with_number(cls, value: str | None) -> str | None:
        if value is not None and "{tot_num_mpiprocs}" not in value:
            raise ValueError("must say where the number of processes goes, as in 'srun -n {tot_num_mpiprocs}'")
        return value

    @field_validator("programs")
    @classmethod
    def _known_programs(cls, value: dict[str, ProgramThere]) -> dict[str, ProgramThere]:
        unknown = sorted(set(value) - {*PLUGINS, BLOOMERY})
        if unknown:
            raise ValueError(f"there is no program {unknown[0]!r}; the programs are {', '.join([*PLUGINS, BLOOMERY])}")
        return value

    @property
    def reached_by(self) -> Transport:
        """How it is reached."""
        return self.transport or ("local" if self.host == "localhost" else "ssh")

    @property
    def start(self) -> str:
        """How MPI programs are started."""
        usual = "srun -n {tot_num_mpiprocs}" if self.scheduler == "slurm" else "mpirun -np {tot_num_mpiprocs}"
        return self.mpirun or usual

    def options(self, **more: object) -> dict[str, object]:
        """Where a job goes, as ``codes`` of a campaign file has it."""
        given = {"queue": self.queue, "account": self.account}
        return {**more, **{name: value for name, value in given.items() if value is not None}}


def add_cluster(home: Home, cluster: Cluster) -> Iterator[Step]:
    """Make computer, programs and codes, step by step; what is there is left alone. The profile is loaded.

    Raises
    ------
    InputError
        If there is a computer of that label that is another, or something there is not as it is told.
    BloomeryError
        If it cannot be reached, or nothing can be installed there.
    """
    computer, made = _computer(cluster)
    yield Step.of(f"computer {cluster.label}", f"{cluster.host} by {computer.transport_type}", made=made)
    yield _configured(computer, cluster)
    yield _tested(home, computer)
    if BLOOMERY not in cluster.programs:
        folder, made, version = _installed(computer, cluster)
        yield Step.of(f"environment {folder}", version, made=made)
        yield _code(computer, BLOOMERY, f"{folder}/bin/bloomery", "")
    for name, there in cluster.programs.items():
        yield _code(computer, name, _found(computer, cluster, name, there), there.prepend)


def _computer(cluster: Cluster) -> tuple[Any, bool]:
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import NotExistent  # noqa: PLC0415

    told = {
        "hostname": cluster.host,
        "transport_type": f"core.{cluster.reached_by}",
        "scheduler_type": f"core.{cluster.scheduler}",
    }
    try:
        computer, made = orm.Computer.collection.get(label=cluster.label), False
    except NotExistent:
        computer, made = orm.Computer(label=cluster.label, workdir=cluster.work, **told).store(), True
    for name, value in told.items():
        if getattr(computer, name) != value:
            raise InputError(
                f"label: there is a computer {cluster.label!r} whose {name} is {getattr(computer, name)!r} and not "
                f"{value!r}; choose another label, or remove it with `verdi computer delete {cluster.label}`."
            )
    _settings(computer, cluster)
    return computer, made


def _settings(computer: Any, cluster: Cluster) -> None:
    """Tell the computer what may change."""
    computer.set_workdir(cluster.work)
    computer.set_mpirun_command(shlex.split(cluster.start))
    computer.set_prepend_text(cluster.before)
    computer.set_default_mpiprocs_per_machine(1)
    computer.set_minimum_job_poll_interval(POLL_INTERVAL.get(cluster.reached_by, SELDOM))
    if cluster.scheduler == "direct":
        computer.set_property(machine.CORES_PROPERTY, cluster.cores)


def _configured(computer: Any, cluster: Cluster) -> Step:
    """Tell AiiDA how to open a connection."""
    wanted: dict[str, Any] = {"use_login_shell": cluster.reached_by != "local", "safe_interval": 0.0}
    if cluster.reached_by == "ssh":
        # AiiDA would look for a name in ssh's configuration when it is asked, not here.
        wanted |= _of_ssh(cluster.host)
        wanted |= {"username": cluster.user} if cluster.user else {}
        wanted |= {"port": cluster.port} if cluster.port != 22 else {}
        wanted |= {"key_filename": str(cluster.key.expanduser().resolve())} if cluster.key else {}
        wanted |= {"look_for_keys": cluster.key is None, "allow_agent": True, "load_system_host_keys": True}
        wanted |= {"key_policy": "RejectPolicy", "timeout": 60, "compress": True, "safe_interval": 5.0}
    elif cluster.reached_by == "ssh_async":
        wanted |= {"host": f"{cluster.user}@{cluster.host}" if cluster.user else cluster.host, "safe_interval": 5.0}
    there = computer.get_configuration() if computer.is_configured else None
    if there is not None and all(there.get(name) == value for name, value in wanted.items()):
        return Step.of("connection", _as_whom(wanted), made=False)
    computer.configure(**wanted)
    return Step.of("connection", _as_whom(wanted), made=True)


def _of_ssh(host: str) -> dict[str, Any]:
    """What ssh's own configuration says of a host, as AiiDA takes it."""
    from aiida.transports.plugins.ssh import parse_sshconfig  # noqa: PLC0415

    config = parse_sshconfig(host)
    found: dict[str, Any] = {"username": config.get("user", getpass.getuser()), "port": int(config.get("port", 22))}
    files = [path for name in config.get("identityfile", []) if (path := Path(name).expanduser()).is_file()]
    if files:
        found["key_filename"] = str(files[0])
    if "proxyjump" in config:
        found["proxy_jump"] = config["proxyjump"]
    if "proxycommand" in config:
        found["proxy_command"] = config["proxycommand"]
    return found


def _as_whom(configuration: dict[str, Any]) -> str:
    user = configuration.get("username")
    return f"as {user}" if user else str(configuration.get("host", "on this machine"))


def _tested(home: Home, computer: Any) -> Step:
    """Let AiiDA test the computer: the connection, the queue, copying files."""
    _ask(computer, "true")  # says why, where the tests would not
    program = Path(sys.executable).parent / "verdi"
    command = [str(program), *(["-p", home.profile] if home.profile else []), "computer", "test", computer.label]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = [line.strip(" *") for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    failed = [line for line in lines if "[FAILED]" in line or line.startswith(("Critical", "Error"))]
    if done.returncode or failed:
        said = " ".join((failed or lines or ["nothing"])[:2])
        raise BloomeryError(
            f"computer {computer.label}: AiiDA's tests failed ({said}); `verdi computer test {computer.label} "
            "--print-traceback` tells more. Mend the connection, and run this again."
        )
    return Step("tests of AiiDA", "there", f"{sum('[OK]' in line for line in lines)} passed")


def _ask(computer: Any, script: str) -> tuple[int, str, str]:
    """Run lines of shell there; return status, output and error.

    Raises
    ------
    BloomeryError
        If it cannot be reached.
    """
    try:
        with computer.get_transport() as transport:
            found: tuple[int, str, str] = transport.exec_command_wait(f"bash -lc {shlex.quote(script)}")
            return found
    except Exception as error:  # transports raise whatever their libraries do
        raise BloomeryError(
            f"computer {computer.label}: cannot be reached ({type(error).__name__}: {error})."
        ) from error


def _lines(*parts: str) -> str:
    """Lines of shell, of those parts that there are."""
    return "\n".join(part for part in parts if part)


def _found(computer: Any, cluster: Cluster, name: str, there: ProgramThere) -> str:
    """Absolute path of a program."""
    command = _lines(cluster.before, there.prepend, f"command -v {shlex.quote(there.path)}")
    status, output, problem = _ask(computer, command)
    path = last_line(output)
    if status or not path.startswith("/"):
        hint = last_line(problem) if problem.strip() else "it is not on the path"
        raise InputError(
            f"programs.{name}: {there.path!r} is not on {computer.label} ({hint}); correct the path, or the modules "
            "that are loaded before it."
        )
    return path


def _code(computer: Any, name: str, path: str, prepend: str) -> Step:
    lines = _lines(prepend, "export OMP_NUM_THREADS=1" if name in PLUGINS else "")
    node, made = machine.install_code(computer, name, Path(path), PLUGINS.get(name), lines)
    return Step.of(f"code {node.full_label}", path, made=made)


# -- our own program there --------------------------------------------------------------------------------------------


def _installed(computer: Any, cluster: Cluster) -> tuple[str, bool, str]:
    """Install the package without AiiDA in an environment there, unless it is: folder, whether, and its version."""
    folder = cluster.environment
    if folder is None:
        status, output, _ = _ask(computer, 'echo "$HOME"')
        if status or not last_line(output).startswith("/"):
            raise InputError("environment: the home folder there is not known; name a folder for the environment.")
        folder = f"{last_line(output)}/{ENVIRONMENT}"
    place = shlex.quote(folder)
    status, output, _ = _ask(computer, f"{place}/bin/bloomery --version")
    if not status and last_line(output).split()[-1] == __version__:
        return folder, False, f"bloomery {__version__}"
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {PYTHON})"
    python = shlex.quote(cluster.python)
    status, output, problem = _ask(computer, _lines(cluster.before, f"{python} -c {shlex.quote(check)}"))
    if status:
        raise InputError(
            f"python: {cluster.python!r} on {computer.label} is no Python of {PYTHON[0]}.{PYTHON[1]} or later with "
            f"venv ({last_line(output, problem)}); name one that is, or load its module in `before`."
        )
    with tempfile.TemporaryDirectory() as here:
        wheel = _wheel(Path(here))
        _put(computer, wheel, folder)
    extras = f"[{','.join(cluster.extras)}]" if cluster.extras else ""
    file = f"{folder}/{wheel.name}"
    pip = f"{place}/bin/python -m pip install -q --disable-pip-version-check"
    # A wheel of the same version may be another: it is installed anyway, and then what it needs.
    install = _lines(
        cluster.before,
        "set -e",
        f"{python} -m venv {place}",
        f"{pip} {shlex.join(cluster.packages)}" if cluster.packages else "",
        f"{pip} --force-reinstall --no-deps {shlex.quote(file)}",
        f"{pip} {shlex.quote(file + extras)}",
    )
    status, output, problem = _ask(computer, install)
    if status:
        raise BloomeryError(
            f"computer {computer.label}: the package cannot be installed in {folder} ({last_line(output, problem)}); "
            "install it there by hand, and name its program under programs: bloomery."
        )
    status, output, problem = _ask(computer, f"{place}/bin/bloomery --version")
    if status:
        raise BloomeryError(f"computer {computer.label}: {folder}/bin/bloomery does not start ({last_line(problem)}).")
    return folder, True, last_line(output)


def _wheel(folder: Path) -> Path:
    """Build a wheel of this very package."""
    source = [part for part in bloomery_source() if part != "-e"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "-w",
        str(folder),
    ]
    done = subprocess.run([*command, *source], capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise BloomeryError(f"no wheel of {DISTRIBUTION} can be built here ({last_line(done.stdout, done.stderr)}).")
    return found[0]


def _put(computer: Any, file: Path, folder: str) -> None:
    """Copy a file into a folder there."""
    try:
        with computer.get_transport() as transport:
            transport.makedirs(folder, ignore_existing=True)
            transport.put(str(file), f"{folder}/{file.name}")
    except Exception as error:  # transports raise whatever their libraries do
        raise BloomeryError(
            f"computer {computer.label}: {folder} cannot be written ({type(error).__name__}: {error})."
        ) from error
