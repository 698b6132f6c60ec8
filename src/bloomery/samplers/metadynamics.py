"""Well-tempered metadynamics by PLUMED: hills fill the wells of collective variables where dynamics has been.

Barducci, Bussi and Parrinello, Phys. Rev. Lett. 100, 020603 (2008). PLUMED: Tribello, Bonomi, Branduardi, Camilloni and
Bussi, Comput. Phys. Commun. 185, 604 (2014). It runs in this process, through ASE's wrapper; the dynamics is that of
`md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
from ase import units
from pydantic import Field, field_validator, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.quantities import Unit
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.dynamics.forces import FORCES, CommitteeDriver, Driver, Evaluation, Wanted
from bloomery.samplers.dynamics.running import Conduct, run_all
from bloomery.samplers.dynamics.trajectories import Trajectory, trajectories
from bloomery.samplers.md import MolecularDynamicsSettings
from bloomery.samplers.origin import Harvest
from bloomery.samplers.trust import require_potential

HOW_TO_GET_IT = (
    "metadynamics: cannot run without PLUMED; install its kernel (conda install -c conda-forge plumed), point the "
    "environment variable PLUMED_KERNEL at its libplumedKernel.so, and pip install plumed."
)


class Variable(Settings):
    """A collective variable, or what others are made of."""

    define: str = Field(pattern=r"^[A-Z][A-Z0-9_]*( [^\n\r#;{}]*)?$")
    """PLUMED's action with its keywords, such as ``DISTANCE ATOMS=1,2``; atoms count from 1, lengths are in Å."""
    width: float | None = Field(default=None, gt=0)
    """Width of a hill along it, in Å or in rad, as the variable is; without one there are no hills along it."""

    @field_validator("define")
    @classmethod
    def _defines(cls, value: str) -> str:
        action, *words = value.split()
        if action in {"INCLUDE", "LOAD", "UNITS", "METAD"}:
            raise ValueError(f"the action {action} defines no variable")
        if any(word.startswith(("LABEL=", "FILE=")) for word in words):
            raise ValueError("the keywords LABEL and FILE cannot be set; the label is the key")
        return value


class MetadynamicsSettings(MolecularDynamicsSettings):
    """Settings of the sampler `metadynamics`."""

    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], Variable]
    """Collective variables by their labels, in PLUMED's words; those that others use come first."""
    height: Annotated[float, Unit("eV")] = Field(default=0.05, gt=0)
    """Height of the first hills in eV."""
    pace: int = Field(default=50, ge=1)
    """Steps between hills."""
    biasfactor: float = Field(default=10.0, gt=1)
    """How much hotter the variables become in the end: hills shrink as they pile up."""

    @model_validator(mode="after")
    def _can_be_biased(self) -> MetadynamicsSettings:
        if not any(variable.width for variable in self.variables.values()):
            raise ValueError("variables: give at least one a width")
        if self.ensemble != "nvt" or self.stages or self.stabilise is not None:
            raise ValueError("metadynamics runs in the ensemble nvt, without stages and without stabilise")
        return self

    def lines(self, temperature: float, hills: Path) -> list[str]:
        """Return PLUMED's input, in Å, eV and fs, for a temperature in K and a file for the hills."""
        biased = {label: variable.width for label, variable in self.variables.items() if variable.width}
        widths = ",".join(f"{width:.10g}" for width in biased.values())
        hill = (
            f"METAD LABEL=bloomery_hills ARG={','.join(biased)} SIGMA={widths} HEIGHT={self.height:.10g} "
            f"PACE={self.pace} BIASFACTOR={self.biasfactor:.10g} TEMP={temperature:.10g} FILE={hills}"
        )
        return [
            f"UNITS LENGTH=A TIME=fs ENERGY={units.mol / units.kJ:.12g}",
            *(f"{label}: {variable.define}" for label, variable in self.variables.items()),
            hill,
        ]


class Metadynamics(TaskSampler):
    """Dynamics with a history-dependent bias on collective variables, one trajectory after the other."""

    name = "metadynamics"
    references = (
        Paper(
            "A. Barducci, G. Bussi and M. Parrinello, Phys. Rev. Lett. 100, 020603 (2008)",
            "10.1103/PhysRevLett.100.020603",
        ),
        Paper("G. A. Tribello et al., Comput. Phys. Commun. 185, 604 (2014)", "10.1016/j.cpc.2013.09.018"),
    )
    Settings = MetadynamicsSettings
    settings: MetadynamicsSettings
    needs_potential = True

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; a run that was killed begins anew with the trajectory that it was at."""
        plumed()
        driver = CommitteeDriver(require_potential(task.potential, task.start, self.name))
        prepared = trajectories(task.start, self.settings, task.seed, self.name)
        for item in prepared:
            if item.frame.pbc.any() and not item.frame.pbc.all():
                raise InputError(
                    f"metadynamics: starting structure {item.start} is periodic in some directions only; PLUMED needs "
                    "all or none."
                )
        brake = self.settings.brake(task.scale, self.name)
        harvest = Harvest(task.checkpoint)
        blocks = 0 if not harvest.done else int(harvest.frames.info["block"].max(initial=-1)) + 1
        for number, item in list(enumerate(prepared))[harvest.done :]:
            with biased(driver, item, self.settings) as both:
                frames, report = run_all([item], Conduct(self.settings, both, brake))
            info = frames.info
            harvest.add(
                frames.without_info(*info),
                {**report.trajectories[0], "trajectory": number},
                start=item.start, trajectory=number, block=blocks + info["block"], step=info["step"],
                temperature=item.temperature, disagreement=info["disagreement"], stop_reason=item.stop_reason,
            )  # fmt: skip
            blocks += len(set(info["block"].tolist()))
            task.progress("sample", number + 1, len(prepared), {"trajectory": number})
        return harvest.of_trajectories()

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; ``max_frames`` holds for each trajectory."""
        bounds = self.settings.plan(n_start)
        if self.settings.max_frames is not None:
            bounds["frames"] = self.settings.max_frames * n_start * self.settings.trajectories_each
        return bounds


class PlumedDriver:
    """What another driver says of one trajectory, with the forces of PLUMED's bias; each call is a step."""

    batch_atoms = 1

    def __init__(self, driver: Driver, calculator: Any) -> None:
        self.driver, self.calculator, self.step = driver, calculator, 0

    def __call__(self, frames: Configurations, wanted: Wanted = FORCES) -> Evaluation:
        """Evaluate the next step."""
        evaluation = self.driver(frames, wanted)
        if not evaluation.failures and len(frames):
            _, forces, _ = self.calculator.compute_bias(np.ascontiguousarray(frames.positions), self.step, 0.0)
            evaluation.forces = evaluation.forces + forces
        self.step += 1
        return evaluation


@contextmanager
def biased(driver: Driver, trajectory: Trajectory, settings: MetadynamicsSettings) -> Iterator[PlumedDriver]:
    """Let PLUMED act on a trajectory from its beginning; what it writes is in a folder that does not stay.

    `InputError` says if PLUMED does not understand the variables.
    """
    (atoms,) = trajectory.frame.to_atoms()
    if not atoms.pbc.any():
        atoms.cell = np.zeros((3, 3))  # PLUMED takes a cell to be periodic
    with TemporaryDirectory() as folder:
        try:
            calculator = plumed()(
                calc=None,
                input=settings.lines(trajectory.temperature, Path(folder) / "HILLS"),
                timestep=settings.timestep_fs * units.fs,
                atoms=atoms,
                kT=units.kB * trajectory.temperature,
                log=str(Path(folder) / "log"),
            )
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InputError(f"metadynamics.variables: PLUMED does not understand them: {reason}") from error
        with calculator:
            yield PlumedDriver(driver, calculator)


@cache
def plumed() -> Any:
    """Return ASE's wrapper of PLUMED; `InputError` says how to get PLUMED's own wrapper and its kernel."""
    try:
        from ase.calculators.plumed import Plumed  # noqa: PLC0415
        from plumed import Plumed as Kernel  # noqa: PLC0415

        Kernel().finalize()
    except (ImportError, RuntimeError, OSError) as error:
        raise InputError(HOW_TO_GET_IT) from error
    return Plumed
