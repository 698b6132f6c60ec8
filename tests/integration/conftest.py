"""Whole campaigns through the command line, in a home of their own, as a user has it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase.build import bulk
from tests.integration.harness import CAMPAIGN, PROGRAMS, Home, home_in

from bloomery.program.warm import FOLDER_VARIABLE


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home that all campaigns of the session share."""
    with home_in(tmp_path_factory.mktemp("home") / "home") as made:
        yield made
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `bloomery` whose jobs share a process that waits for them, also where there is a queue.

    It has what jobs here need of their environment, and nothing of what differs from job to job.
    """
    folder = tmp_path_factory.mktemp("program")
    kept = " ".join(f'{name}="${name}"' for name in ("HOME", "PATH", "PYTHONPATH", "OMP_NUM_THREADS"))
    path = folder / "bloomery"
    path.write_text(f'#!/bin/sh\nexec env -i {kept} {FOLDER_VARIABLE}={folder}/warm {PROGRAMS}/bloomery "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def campaign_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a small campaign, with other values where the test wants them."""

    def write(**changes: Any) -> Path:
        bulk("Si", cubic=True).write(tmp_path / "si8.extxyz")
        bulk("Si").write(tmp_path / "si2.extxyz")
        content = {**CAMPAIGN, **changes}
        path = tmp_path / f"campaign-{len(list(tmp_path.glob('*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return write
