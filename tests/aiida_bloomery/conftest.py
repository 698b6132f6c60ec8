"""An AiiDA profile in memory, the program `bloomery` on this machine, and tiny real nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.configurations import Configurations

pytest_plugins = "aiida.tools.pytest_fixtures"


@pytest.fixture(scope="session")
def profile(aiida_profile):
    """The ephemeral profile, shared by all tests of a session."""
    return aiida_profile


@pytest.fixture(scope="session")
def computer(profile, tmp_path_factory):
    """This machine, without a queue and without a login shell for every command."""
    machine = orm.Computer(
        label="here",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(tmp_path_factory.mktemp("work")),
    ).store()
    machine.set_minimum_job_poll_interval(0.0)
    machine.set_default_mpiprocs_per_machine(1)
    machine.configure(use_login_shell=False, safe_interval=0.0)
    return machine


@pytest.fixture(scope="session")
def bloomery_code(computer):
    """The program `bloomery` of this environment."""
    return orm.InstalledCode(
        label="bloomery",
        computer=computer,
        filepath_executable=str(Path(sys.executable).parent / "bloomery"),
        default_calc_job_plugin="bloomery.sample",
    ).store()


def silicon(n_frames: int = 3, rattle: float = 0.05, seed: int = 0) -> Configurations:
    """Rattled cells of eight silicon atoms, as they come from anywhere."""
    frames = []
    for index in range(n_frames):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(rattle, seed=1000 * seed + index)
        frames.append(atoms)
    return Configurations.from_atoms(frames)


def labelled_silicon(n_frames: int = 3, rattle: float = 0.05, seed: int = 0) -> Configurations:
    """The same, with labels of a harmonic toy: numbers of the right shape and size."""
    frames = silicon(n_frames, rattle, seed).snapped()
    rng = np.random.default_rng(seed)
    return frames.with_labels(
        energy=-40.0 + 0.1 * rng.normal(size=n_frames),
        forces=rng.normal(size=(frames.n_atoms, 3)),
        stress=0.01 * rng.normal(size=(n_frames, 6)),
    )


@pytest.fixture
def frames(profile):
    """A stored node of three silicon cells."""
    return ConfigurationsData(silicon()).store()
