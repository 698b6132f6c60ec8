"""Path-integral dynamics by i-PI: every bead of the ring polymer is a configuration.

i-PI: Litman et al., J. Chem. Phys. 161, 062504 (2024). Its thermostat PILE-G: Ceriotti, Parrinello, Markland and
Manolopoulos, J. Chem. Phys. 133, 124104 (2010). i-PI runs in this process; its beads are evaluated in one pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import product
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import ase
import numpy as np
from ase import units
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, insane
from bloomery.frames.states import repeated
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress
from bloomery.quantities import Angstrom, Femtoseconds, Kelvin
from bloomery.samplers.contract import COMPLETED, Repeats, SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import Harvest, needed, sane_starts
from bloomery.samplers.trust import TrustSettings, require_potential, too_unsure
from bloomery.seeds import derive_seed

_Kept = tuple[int, Configurations, NDArray[np.float64]]
WITHOUT_IPI = "path_integral: cannot run without i-PI; install it: pip install 'aiida-bloomery[path-integral]'."
BOX = 1000.0
"""In Å: the cell that i-PI is told where a structure has none; the potential never sees it."""


class PathIntegralSettings(TrustSettings):
    """Settings of the sampler `path_integral`."""

    temperatures: list[Annotated[Kelvin, Field(gt=0)]] = Field(default=[300.0], min_length=1)
    """Temperatures in K; every starting structure has a trajectory at each."""
    beads: int = Field(default=16, ge=2)
    """Beads of the ring polymer; hydrogen at 300 K needs about 32."""
    steps: int = Field(default=1000, ge=1)
    """Time steps of each trajectory."""
    interval: int = Field(default=50, ge=1)
    """Steps between ring polymers that are kept."""
    beads_kept: int = Field(default=4, ge=1)
    """How many beads of each are kept as frames, evenly spaced along the ring."""
    equilibration: int = Field(default=0, ge=0)
    """Steps at the beginning of which no frame is kept, except those at which the trajectory stops."""
    timestep_fs: Femtoseconds = Field(default=0.5, gt=0, le=5)
    """Time step in fs."""
    relaxation_fs: Femtoseconds = Field(default=100.0, gt=0)
    """Relaxation time of the centroid's thermostat in fs."""
    block_steps: int = Field(default=100, ge=1)
    """Ring polymers within so many steps are correlated and share a block."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """A trajectory stops when two atoms of a bead are closer than this, in Å."""
    min_relative_distance: float = Field(default=0.4, ge=0, le=1)
    """The same, as a multiple of the sum of their covalent radii."""

    @model_validator(mode="after")
    def _something_is_kept(self) -> PathIntegralSettings:
        if self.steps < max(self.interval, self.equilibration):
            raise ValueError("steps must not be fewer than interval and equilibration: no frame would be kept")
        if self.beads_kept > self.beads:
            raise ValueError(f"beads_kept is {self.beads_kept}, and there are {self.beads} beads")
        return self

    @property
    def limits(self) -> DistanceLimits:
        """Distances at which a trajectory stops."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)


class PathIntegral(TaskSampler):
    """Nuclei as quantum particles: ring polymers in the canonical ensemble, in cells that do not change."""

    name = "path_integral"
    references = (
        Paper("Y. Litman et al., J. Chem. Phys. 161, 062504 (2024)", "10.1063/5.0215869"),
        Paper("M. Ceriotti et al., J. Chem. Phys. 133, 124104 (2010)", "10.1063/1.3489925"),
    )
    Settings = PathIntegralSettings
    settings: PathIntegralSettings
    needs_potential = True

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; frames are beads, with the disagreement that the committee has on them.

        A run that was killed begins anew with the trajectory that it was at.
        """
        driver = require_potential(task.potential, task.start, self.name)
        needed("ipi.scripting", WITHOUT_IPI)
        limit = self.settings.limit(task.scale)
        cases = list(product(sane_starts(task.start, self.settings.limits, self.name), self.settings.temperatures))
        harvest = Harvest(task.checkpoint)
        per_case = self.settings.steps // self.settings.block_steps + 1
        for number, ((index, identity, atoms), temperature) in list(enumerate(cases))[harvest.done :]:
            cell = repeated(atoms, self.settings.supercell)
            ring = _Ring(cell, temperature, self.settings, driver, derive_seed(task.seed, identity, temperature))
            kept, reason = self._run(ring, limit, partial(self._tell, task.progress, number, len(cases)))
            steps = np.repeat([step for step, _, _ in kept], self.settings.beads_kept).astype(int)
            harvest.add(
                Configurations.concatenate([beads for _, beads, _ in kept]),
                {"trajectory": number, "start": index, **ring.summary(), "stop_reason": reason},
                start=index, trajectory=number, temperature=temperature, stop_reason=reason, step=steps,
                block=number * per_case + steps // self.settings.block_steps,
                disagreement=np.concatenate([values for _, _, values in kept] or [np.zeros(0)]),
            )  # fmt: skip
        return harvest.of_trajectories()

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; every bead is evaluated at every step."""
        trajectories = n_start * len(self.settings.temperatures)
        kept = self.settings.steps // self.settings.interval + 1
        return {
            "frames": trajectories * kept * self.settings.beads_kept,
            "md_steps": trajectories * self.settings.steps * self.settings.beads,
        }

    def _tell(self, progress: Progress, number: int, total: int, done: int) -> None:
        progress("sample", number * self.settings.steps + done, total * self.settings.steps, {"trajectory": number})

    def _run(self, ring: _Ring, limit: float, tell: Callable[[int], None]) -> tuple[list[_Kept], str]:
        """Run one trajectory; return step, beads and disagreement of what is kept, and why it ended."""
        kept: list[_Kept] = []
        sane = self.settings.limits
        chosen = np.linspace(0, self.settings.beads, self.settings.beads_kept, endpoint=False).astype(int)
        with ring.running():
            for step in range(self.settings.interval, self.settings.steps + 1, self.settings.interval):
                beads = ring.advance(self.settings.interval)
                if ring.failure:
                    return kept, f"step {step}: failed: {ring.failure}"
                absurd = (insane(bead.numbers, bead.positions, bead.cells[0], bead.pbc[0], sane) for bead in beads)
                broken = next(filter(None, absurd), "")
                if broken:
                    return kept, f"step {step}: {broken}"
                disagreement = ring.potential.predict(beads, stress=False).disagreement
                unsure = too_unsure(float(disagreement.max()), limit)
                if step >= self.settings.equilibration or unsure:
                    kept.append((step, beads[chosen], disagreement[chosen]))
                tell(step)
                if unsure:
                    return kept, f"step {step}: {unsure}"
        return kept, COMPLETED


class _Ring:
    """A ring polymer in i-PI, driven by a potential."""

    def __init__(
        self, atoms: ase.Atoms, temperature: float, settings: PathIntegralSettings, potential: Potential, seed: int
    ) -> None:
        self.atoms, self.temperature, self.settings = atoms, temperature, settings
        self.potential, self.seed = potential, seed
        self.failure = ""
        self.energies: list[float] = []
        self.simulation: Any = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make the simulation, in a folder of its own: i-PI writes files where it runs."""
        with TemporaryDirectory() as folder, chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scripting = needed("ipi.scripting", WITHOUT_IPI)
            self.simulation = scripting.InteractiveSimulation(self._input(scripting))
            (forcefield,) = self.simulation.fflist.values()
            forcefield.driver = self._evaluate
            # It has taken over the signals that end a process: whoever started this one wants them obeyed at once.
            import_module("ipi.utils.softexit").softexit.reset()
            try:
                yield
            finally:
                forcefield.stop()

    def advance(self, steps: int) -> Configurations:
        """Go on by so many steps; return the beads."""
        self.simulation.run(steps, write_outputs=False)
        self.energies.append(float(self.simulation.properties("kinetic_cv") + self.simulation.properties("potential")))
        return self._beads([bead.positions for bead in self.simulation.get_structures()])

    def summary(self) -> dict[str, object]:
        """Temperature, ring polymers, and the mean energy by the centroid-virial estimator in eV, where it is known."""
        energies = np.array(self.energies)
        mean = {"mean_energy": float(energies.mean())} if len(energies) and np.isfinite(energies).all() else {}
        return {"temperature": self.temperature, "beads": self.settings.beads, "rings": len(energies), **mean}

    def _input(self, scripting: Any) -> str:
        boxed = self.atoms.copy()
        if boxed.has("masses"):
            boxed.arrays["mass"] = boxed.get_masses()  # the name under which i-PI looks for other than its own
        boxed.set_cell(np.eye(3) * BOX)  # i-PI wants a cell of its own orientation; the potential is given the true one
        timestep, tau = self.settings.timestep_fs * units.fs, self.settings.relaxation_fs * units.fs
        motion = scripting.motion_nvt_xml(timestep, thermostat="pile_g", tau=tau, fixcom=False)
        forces = f"<ffdirect name='potential'><pes>dummy</pes><batch_size>{self.settings.beads}</batch_size></ffdirect>"
        text: str = scripting.simulation_xml(
            [boxed] * self.settings.beads, forces, motion, temperature=self.temperature, output="<output/>"
        )
        return text.replace("<system>", f"<prng><seed>{self.seed}</seed></prng><system>", 1)

    def _evaluate(self, _: Any, positions: list[NDArray[np.float64]]) -> list[tuple[Any, ...]]:
        """Energies and forces of all beads, in atomic units; a failure is kept, and ends the trajectory."""
        try:
            prediction = self.potential.predict(self._beads([bead * units.Bohr for bead in positions]), stress=False)
            energies = prediction.energy / units.Ha
            forces = prediction.force.reshape(len(positions), -1, 3) * (units.Bohr / units.Ha)
        except Exception as error:  # noqa: BLE001  the other trajectories are not to be lost
            self.failure = self.failure or f"{type(error).__name__}: {error}"
            energies, forces = np.zeros(len(positions)), np.zeros((len(positions), len(self.atoms), 3))
        return [(float(energy), force, np.zeros((3, 3)), "") for energy, force in zip(energies, forces, strict=True)]

    def _beads(self, positions: list[NDArray[np.float64]]) -> Configurations:
        beads = Configurations.from_atoms([self.atoms] * len(positions), info_keys=[])
        return replace(beads, positions=np.concatenate(positions))
