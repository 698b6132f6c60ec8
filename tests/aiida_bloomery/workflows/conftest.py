"""pw.x on this machine, and wrappers around it that count its starts and misbehave where they are told to."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.setup.pseudopotentials import find_folder
from aiida_bloomery.workflows.labelling.quantumespresso import QuantumEspressoLabellingWorkChain
from bloomery.frames.configurations import Configurations

PW = shutil.which("pw.x")

# The cheapest physics that is physics: 0.1 s a frame.
CHEAP = {"parameters": {"SYSTEM": {"ecutwfc": 8.0, "ecutrho": 32.0, "degauss": 0.03}}}
MESH = {"mesh": [1, 1, 1], "offset": [0.5, 0.5, 0.5]}


class WrappedPw:
    """A code that runs a shell snippet, then pw.x, and keeps a log of the real starts."""

    def __init__(self, computer: orm.Computer, folder: Path, snippet: str = "") -> None:
        self.log = folder / "starts"
        self.folder = folder
        script = folder / "pw.x"
        script.write_text(
            f"#!/bin/bash\nhere=$(basename $PWD)\nlog={self.log}\nmarks={folder}\n{snippet}\n"
            f'echo "$here" >> $log\nexec {PW} "$@"\n'
        )
        script.chmod(0o755)
        self.code = orm.InstalledCode(
            label=f"pw-{time.monotonic_ns()}",
            computer=computer,
            filepath_executable=str(script),
            default_calc_job_plugin="quantumespresso.pw",
        ).store()

    def starts(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture(scope="session")
def pw_computer(profile, tmp_path_factory):
    """This machine with two cores declared."""
    machine = orm.Computer(
        label="two-cores",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(tmp_path_factory.mktemp("pw")),
    ).store()
    machine.set_minimum_job_poll_interval(0.1)
    machine.set_default_mpiprocs_per_machine(1)
    machine.set_property("bloomery_cores", 2)
    machine.configure(use_login_shell=False, safe_interval=0.0)
    return machine


@pytest.fixture
def wrapped_pw(pw_computer, tmp_path):
    """Make a code around pw.x: ``wrapped_pw(snippet)``."""
    return lambda snippet="": WrappedPw(pw_computer, tmp_path, snippet)


@pytest.fixture(scope="session")
def silicon_upf(profile):
    folder = find_folder()
    path = folder / "Si.pbe-rrkj.UPF" if folder else None
    if path is None or not path.exists():
        pytest.skip("there is no Si.pbe-rrkj.UPF")
    with path.open("rb") as handle:
        return DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()


@pytest.fixture
def dimers(profile):
    """Make a node of rattled primitive cells: ``dimers(n, seed)``."""

    def make(n_frames: int = 3, seed: int = 0) -> ConfigurationsData:
        frames = []
        for index in range(n_frames):
            atoms = bulk("Si")
            atoms.rattle(0.1, rng=np.random.default_rng([seed, index]))
            frames.append(atoms)
        roles = np.array(["train", "probe", "calibration"])[np.arange(n_frames) % 3]
        return ConfigurationsData(Configurations.from_atoms(frames).with_info(role=roles)).store()

    return make


@pytest.fixture
def labelling(silicon_upf):
    """Make a builder: ``labelling(code, configurations, **overrides)``."""

    def make(code, configurations, **overrides):
        return QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
            code, configurations, "fast", {**CHEAP, **overrides}, pseudos={"Si": silicon_upf}, kpoints=MESH
        )

    return make
