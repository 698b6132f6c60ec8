"""Environments of engines: what they are made of, and what is said where one cannot be used."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bloomery import __version__
from bloomery.engines import installation as environments
from bloomery.engines.installation import (
    DISTRIBUTION,
    adopt_environment,
    bloomery_source,
    engines_with_environment,
    make_environment,
    needs_environment,
    requirements,
)
from bloomery.errors import BloomeryError, InputError
from bloomery.plugins import load_plugin, registered

ROOT = Path(__file__).resolve().parents[3]


def pins(file: Path) -> dict[str, Requirement]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


@pytest.mark.parametrize("engine", engines_with_environment())
def test_requirements_pin_the_engine_and_do_not_contradict_its_constraints(engine: str) -> None:
    file = requirements(engine)
    asked = pins(file)
    assert canonicalize_name(load_plugin("engines", engine).package) in asked
    bounds = file.with_name("constraints.txt")
    for name, requirement in asked.items():
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        assert str(pins(bounds)[name].specifier) == str(requirement.specifier)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for ours in map(Requirement, project["dependencies"]):
        (specifier,) = pins(bounds)[canonicalize_name(ours.name)].specifier
        assert Version(specifier.version) in ours.specifier


@pytest.mark.parametrize("engine", registered("engines"))
def test_settings_are_known_where_the_engine_is_not_installed(engine: str) -> None:
    plugin = load_plugin("engines", engine)
    assert plugin.Settings.model_json_schema()["properties"]
    if plugin.missing() is not None:
        with pytest.raises(InputError, match=rf"engine '{engine}' needs the package .* setup --engine {engine}"):
            plugin.load("anywhere")


def test_the_embedded_engine_needs_no_environment() -> None:
    assert not needs_environment("hdnnp")
    with pytest.raises(InputError, match="'hdnnp' runs in bloomery's own environment"):
        requirements("hdnnp")


def test_a_checkout_installs_itself() -> None:
    assert bloomery_source() == ["-e", str(ROOT)]


def test_a_folder_that_is_no_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no bin/python; give the folder of a virtual or conda environment"):
        adopt_environment("gap", tmp_path)


def test_an_environment_without_the_engine_is_refused() -> None:
    if load_plugin("engines", "gap").missing() is None:
        pytest.skip("gap is installed here")
    with pytest.raises(InputError, match="has no package quippy-ase; install it there, or leave --environment out"):
        adopt_environment("gap", Path(sys.prefix))


def test_an_environment_that_is_complete_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of these tests stands in for one of the engine; what would change it is not to be called."""
    calls = []
    monkeypatch.setattr(environments, "_install", lambda *arguments: calls.append(arguments))
    versions = {DISTRIBUTION: __version__, "quippy-ase": "0"}
    monkeypatch.setattr(environments, "_query", lambda *_: {"module": True, "versions": versions})
    (tmp_path / "gap" / "bin").mkdir(parents=True)
    (tmp_path / "gap" / "bin" / "python").symlink_to(sys.executable)
    first = make_environment("gap", tmp_path / "gap")
    assert first.made
    assert [arguments[2][-2:] for arguments in calls] == [bloomery_source()]
    second = make_environment("gap", tmp_path / "gap")
    assert not second.made
    assert len(calls) == 1
    assert second.program == tmp_path / "gap" / "bin" / "bloomery"


def test_what_pip_says_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "gap" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").write_text("#!/bin/sh\necho 'ERROR: no network' >&2\nexit 1\n", encoding="utf-8")
    (broken / "python").chmod(0o755)
    with pytest.raises(BloomeryError, match=r"engine 'gap': pip could not install .* \(ERROR: no network\)"):
        make_environment("gap", tmp_path / "gap")


def test_an_interpreter_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/bin/false: cannot make an environment in .*gap"):
        make_environment("gap", tmp_path / "gap", python="/bin/false")
