"""An environment of its own for each engine or foundation of another package: its requirements, and how it is made.

A plug-in lists what it needs in ``requirements.txt`` in its own folder, pinned; ``constraints.txt`` beside it, where
there is one, pins the rest. A third party's does the same. A foundation may share the environment of an engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bloomery import __version__
from bloomery.errors import BloomeryError, InputError
from bloomery.plugins import Kind, PackagedPlugin, load_plugin, registered
from bloomery.seeds import digest_of

DISTRIBUTION = "aiida-bloomery"
REQUIREMENTS_FILE, CONSTRAINTS_FILE = "requirements.txt", "constraints.txt"
STAMP_FILE = ".bloomery-engine"
LAST_LINES = 6

_ASK = """
import importlib.util, json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[2:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps({"module": importlib.util.find_spec(sys.argv[1]) is not None, "versions": found}))
"""


@dataclass(frozen=True)
class Environment:
    """A Python environment in which an engine or a foundation runs."""

    folder: Path
    """With ``bin/python`` and ``bin/bloomery``."""
    made: bool
    """Whether something was installed now."""
    versions: dict[str, str]
    """Of bloomery and of the plug-in's package."""

    @property
    def program(self) -> Path:
        """Its ``bloomery``: what an AiiDA code points to."""
        return self.folder / "bin" / "bloomery"


def engines_with_environment() -> list[str]:
    """Names of the registered engines that need an environment of their own."""
    return [name for name in registered("engines") if needs_environment(name)]


def foundations_with_environment() -> list[str]:
    """Names of the registered foundations that need an environment of their own, and no engine's."""
    names = registered("foundations")
    return [name for name in names if needs_environment(name, "foundations") and not shared_with(name, "foundations")]


def needs_environment(name: str, kind: Kind = "engines") -> bool:
    """Whether a plug-in needs a package that is not part of bloomery."""
    return bool(_plugin(name, kind).package)


def shared_with(name: str, kind: Kind = "engines") -> str:
    """Return the engine in whose environment a plug-in runs; empty if it has one of its own, or needs none."""
    return str(getattr(_plugin(name, kind), "environment", ""))


def requirements(name: str, kind: Kind = "engines") -> Path:
    """Return the file with a plug-in's requirements; `InputError` if it needs none, or does not say what it needs."""
    plugin = _plugin(name, kind)
    if not plugin.package:
        raise InputError(f"{_called(plugin)} runs in bloomery's own environment; it needs no set-up.")
    if shared := shared_with(name, kind):
        return requirements(shared)
    spec = find_spec(plugin.__module__)
    file = Path(spec.origin).parent / REQUIREMENTS_FILE if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        raise InputError(
            f"{_called(plugin)} does not say what to install; install {plugin.package} into an environment of your "
            "own, and give it with --environment."
        )
    return file


def make_environment(name: str, folder: Path, python: str | None = None, kind: Kind = "engines") -> Environment:
    """Make a plug-in's environment, by default with the interpreter that runs this, unless it is there and complete.

    Raises
    ------
    InputError
        If the interpreter cannot make an environment.
    BloomeryError
        If a package cannot be installed; the last lines of pip are told.
    """
    plugin, file = _plugin(name, kind), requirements(name, kind)
    constraints = file.with_name(CONSTRAINTS_FILE)
    source = bloomery_source()
    stamp = _stamp(file, constraints, source)
    place = folder / STAMP_FILE
    if place.is_file() and place.read_text(encoding="utf-8") == stamp:
        return Environment(folder, False, _ask(plugin, folder))
    interpreter = python or sys.executable
    if not (folder / "bin" / "python").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = _run(interpreter, "-m", "venv", str(folder))
        if done.returncode:
            raise InputError(f"{interpreter}: cannot make an environment in {folder} ({_said(done)}).")
    # torch first and by its pin: a later resolution would take any build of it.
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    first = [line for line in lines if line.startswith("torch==")]
    if first:
        _install(folder, plugin, first)
    bounds = ["-c", str(constraints)] if constraints.is_file() else []
    _install(folder, plugin, [*bounds, "-r", str(file), *source])
    place.write_text(stamp, encoding="utf-8")
    return Environment(folder, True, _ask(plugin, folder))


def adopt_environment(name: str, folder: Path, kind: Kind = "engines") -> Environment:
    """Take an environment of the user's: what is missing of bloomery is added, the plug-in's package must be there.

    Raises
    ------
    InputError
        If it is no environment, or has no such package.
    """
    plugin = _plugin(name, kind)
    if not (folder / "bin" / "python").exists():
        raise InputError(f"{folder}: has no bin/python; give the folder of a virtual or conda environment.")
    found = _query(plugin, folder)
    if plugin.module and not found["module"]:
        raise InputError(
            f"{folder}: has no package {plugin.package}; install it there, or leave --environment out to have one made."
        )
    made = found["versions"].get(DISTRIBUTION) != __version__ or not (folder / "bin" / "bloomery").exists()
    if made:
        _install(folder, plugin, bloomery_source())
    return Environment(folder, made, _ask(plugin, folder))


def bloomery_source() -> list[str]:
    """Arguments of pip that install this very bloomery: from its checkout, its wheel, or by its version."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file() and (checkout / "src" / "bloomery").is_dir():
        return ["-e", str(checkout)]
    try:
        # What pip notes of a file that it was given (PEP 610).
        noted = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        noted = None
    url = json.loads(noted).get("url", "") if noted else ""
    if url.startswith("file://") and Path(url.removeprefix("file://")).exists():
        return [url.removeprefix("file://")]
    return [f"{DISTRIBUTION}=={__version__}"]


def _plugin(name: str, kind: Kind) -> type[PackagedPlugin]:
    return load_plugin(kind, name)


def _called(plugin: type[PackagedPlugin]) -> str:
    return f"{plugin.role} {plugin.name!r}"


def _stamp(file: Path, constraints: Path, source: list[str]) -> str:
    parts = [file.read_bytes(), constraints.read_bytes() if constraints.is_file() else b"", __version__.encode()]
    if source[0] == "-e":
        # The dependencies of the checkout: they may change while its version does not.
        parts.append((Path(source[1]) / "pyproject.toml").read_bytes())
    return digest_of(*parts, *source, size=12, end=b"\0")


def _install(folder: Path, plugin: type[PackagedPlugin], arguments: list[str]) -> None:
    done = _run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments)
    if done.returncode:
        raise BloomeryError(
            f"{_called(plugin)}: pip could not install {' '.join(arguments)} into {folder} ({_said(done)}); mend "
            "what it says, and run this again."
        )


def _ask(plugin: type[PackagedPlugin], folder: Path) -> dict[str, str]:
    """Versions of bloomery and the plug-in's package in an environment; `BloomeryError` if one of them is not there."""
    found = _query(plugin, folder)
    # A plug-in without a module of its own runs whatever its environment has.
    wanted = [DISTRIBUTION, plugin.package] if plugin.module else [DISTRIBUTION]
    missing = [name for name in wanted if name not in found["versions"]]
    if plugin.module and not found["module"] and plugin.package not in missing:
        missing.append(plugin.package)
    if missing:
        raise BloomeryError(
            f"{folder}: has no {' and no '.join(missing)}; remove the folder, and run `aiida-bloomery setup "
            f"--{plugin.role} {plugin.name}` again."
        )
    return found["versions"]


def _query(plugin: type[PackagedPlugin], folder: Path) -> dict[str, Any]:
    names = [name for name in (DISTRIBUTION, plugin.package) if name]
    done = _run(folder / "bin" / "python", "-c", _ASK, plugin.module or "json", *names)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise BloomeryError(f"{folder}: its Python does not run ({_said(done)}).") from error


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    # Packages of this environment must not be taken for those of the other.
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=clean)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    text = (done.stderr or done.stdout).splitlines()
    lines = [line.strip() for line in text if line.strip() and not line.startswith("WARNING")]
    return " | ".join(lines[-LAST_LINES:]) or f"status {done.returncode}"


def main(arguments: list[str]) -> None:
    """Make environments from a script: ``python -m bloomery.engines.installation FOLDER [NAME ...]``."""
    folder, *names = arguments
    kinds: dict[str, Kind] = dict.fromkeys(foundations_with_environment(), "foundations")
    for name in names or [*engines_with_environment(), *kinds]:
        environment = make_environment(name, Path(folder).absolute() / name, kind=kinds.get(name, "engines"))
        print(name, environment.folder, "made" if environment.made else "there", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BloomeryError as error:
        sys.exit(f"Error: {error}")
