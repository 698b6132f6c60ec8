"""What `run` and `test` do on a bare machine: the packages that they install, and what they say where they may not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["bash", "basename", "cat", "chmod", "cksum", "cut", "dirname", "env", "grep", "ls", "mkdir", "mktemp"]
TOOLS += ["readlink", "rm", "sed", "tail", "tr", "true"]


class Machine:
    """A folder of programs that is the whole path: a machine as bare as a test wants it."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.folder = folder
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
        self.has("id", "echo 1000")

    def has(self, name: str, script: str = "exit 0") -> None:
        """Give the machine a program."""
        path = self.programs / name
        path.write_text(f"#!{self.programs / 'bash'}\n{script}\n")
        path.chmod(0o755)

    def has_python(self) -> None:
        (self.programs / "python3").symlink_to(sys.executable)

    def call(self, function: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Call a function of the script that both share."""
        script = (
            f'set -euo pipefail; project={ROOT}; log=$(mktemp); source "$project/scripts/environment.sh"; {function}'
        )
        environment = {"PATH": str(self.programs), "HOME": str(self.folder), "ESPRESSO_PSEUDO": "", **variables}
        return subprocess.run(
            [str(self.programs / "bash"), "-c", script], env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_bare_machine_lacks_everything(machine: Machine) -> None:
    missing = machine.call("missing_packages").stdout.split()
    assert {"python3", "python3-venv", "procps", "quantum-espresso", "libopenblas0-serial"} <= set(missing)


def test_machine_with_everything_lacks_nothing(machine: Machine) -> None:
    machine.has_python()
    machine.has("ps")
    machine.has("pw.x")
    (machine.folder / "Si.UPF").touch()
    assert machine.call("missing_packages", ESPRESSO_PSEUDO=str(machine.folder)).stdout == ""


def test_old_python_is_passed_over(machine: Machine) -> None:
    machine.has("python3", "exit 1")  # says no when it is asked whether it is new enough
    assert machine.call("find_python").returncode == 1
    assert "python3.11 python3.11-venv" in " ".join(machine.call("missing_packages").stdout.split())
    (machine.programs / "python3.12").symlink_to(sys.executable)
    assert machine.call("find_python").stdout.strip() == str(machine.programs / "python3.12")


def test_program_in_a_variable_counts(machine: Machine) -> None:
    machine.has("my-pw.x")
    assert machine.call("has_pw").returncode == 1
    assert machine.call("has_pw", PW=str(machine.programs / "my-pw.x")).returncode == 0


@pytest.mark.parametrize("how", ["root", "sudo"])
def test_missing_packages_are_installed_where_that_is_allowed(machine: Machine, how: str) -> None:
    machine.has_python()
    machine.has("ps")
    if how == "root":
        machine.has("id", "echo 0")
    else:
        machine.has("sudo", '[ "$1" = -n ] && shift; exec "$@"')
    machine.has("apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {machine.folder}/calls')
    done = machine.call("install_packages", ESPRESSO_PSEUDO=str(machine.folder))
    assert done.returncode == 0, done.stderr
    update, install = (machine.folder / "calls").read_text().splitlines()
    assert update == "noninteractive update -q"
    assert install.startswith("noninteractive install -q -y")
    assert install.endswith("quantum-espresso libopenblas0-serial")


def test_without_rights_one_message_says_how_to_get_it(machine: Machine) -> None:
    machine.has_python()
    machine.has("ps")
    machine.has("sudo", "exit 1")  # asks for a password
    machine.has("apt-get", "exit 100")
    done = machine.call("install_packages", ESPRESSO_PSEUDO=str(machine.folder))
    assert done.returncode == 0  # campaigns with another labeller work without pw.x
    for way in ("apt-get install", "quantum-espresso", "conda-forge", "module load", "PW=/path/to/pw.x"):
        assert way in done.stderr


def test_without_python_nothing_goes_on(machine: Machine) -> None:
    done = machine.call("install_packages; echo went on")
    assert done.returncode == 1
    assert "went on" not in done.stdout
    assert "python3-venv" in done.stderr


def test_failed_installation_shows_its_last_lines(machine: Machine) -> None:
    machine.has_python()
    machine.has("id", "echo 0")
    machine.has("apt-get", "echo 'E: the mirror is away'; exit 100")
    done = machine.call("install_packages")
    assert "E: the mirror is away" in done.stderr


@pytest.mark.parametrize("outcome", ["exit 0", "exit 100"])
def test_compiler_is_installed_where_that_is_allowed(machine: Machine, outcome: str) -> None:
    assert machine.call("install_compiler").returncode == 0, "without rights torch does the work"
    machine.has("id", "echo 0")
    machine.has("apt-get", f'echo "$*" >> {machine.folder}/calls; [ "$1" = update ] || {outcome}')
    done = machine.call("install_compiler")
    assert done.returncode == 0, done.stderr
    assert (machine.folder / "calls").read_text().splitlines()[1].endswith("gcc libc6-dev")
    assert ("more slowly" in done.stderr) == (outcome != "exit 0")
    machine.has("gcc")
    assert not machine.call("install_compiler").stderr


@pytest.mark.parametrize("outcome", ["exit 0", "exit 100"])
def test_what_tests_need_is_installed_where_that_is_allowed(machine: Machine, outcome: str) -> None:
    assert machine.call("install_for_tests").returncode == 0, "without rights those tests are skipped"
    machine.has("id", "echo 0")
    machine.has("apt-get", f'echo "$*" >> {machine.folder}/calls; [ "$1" = update ] || {outcome}')
    done = machine.call("install_for_tests")
    assert done.returncode == 0, done.stderr
    update, *installs = (machine.folder / "calls").read_text().splitlines()
    assert update == "update -q"
    assert installs == [f"install -q -y --no-install-recommends {name}" for name in ("cp2k", "chromium")]
    assert done.stderr.count("are skipped") == (0 if outcome == "exit 0" else 2)
    machine.has("cp2k.psmp")
    machine.has("chromium")
    assert machine.call("install_for_tests").stderr == ""


def test_stamp_changes_with_what_is_installed(machine: Machine) -> None:
    first = machine.call("stamp_of aiida").stdout
    assert first == machine.call("stamp_of aiida").stdout
    assert first != machine.call("stamp_of dev").stdout
    assert first != machine.call("stamp_of aiida", BLOOMERY_VENV="/elsewhere").stdout


@pytest.mark.parametrize("script", ["run", "test"])
def test_help_needs_nothing(machine: Machine, script: str) -> None:
    done = subprocess.run(
        [str(machine.programs / "bash"), str(ROOT / script), "--help"],
        env={"PATH": str(machine.programs), "HOME": str(machine.folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"./{script}" in done.stdout
