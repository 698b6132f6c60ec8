"""Displacements along normal modes with the amplitudes of a temperature, at structures and along paths between them.

Frozen phonons: West and Estreicher, Phys. Rev. Lett. 96, 115504 (2006). Along a path, with the modes that are
orthogonal to it: transition tube sampling, Brezina, Beck and Marsalek, J. Chem. Theory Comput. 19, 6589 (2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import repeated, states_of
from bloomery.papers import Paper
from bloomery.potentials.contract import Potential
from bloomery.quantities import Angstrom, Kelvin
from bloomery.reference.calculators import Calculators, CalculatorSpec
from bloomery.samplers.building.contract import BuildingSettings
from bloomery.samplers.building.harmonic import Modes, Statistics, force_constants, normal_modes
from bloomery.samplers.building.paths import PathSettings, path_between, tangent_at
from bloomery.samplers.contract import Repeats, SamplerReport, Task, TaskSampler
from bloomery.samplers.dynamics.forces import CalculatorDriver, CommitteeDriver, Driver
from bloomery.samplers.origin import Harvest, identities, require_elements, require_frames, require_sane
from bloomery.seeds import derive_seed


class NormalModesSettings(BuildingSettings):
    """Settings of the sampler `normal_modes`."""

    frames: int = Field(default=10, ge=1)
    """How many frames to make of each structure, or point of a path, at each temperature."""
    temperatures: list[Annotated[Kelvin, Field(gt=0)]] = Field(default=[300.0], min_length=1)
    """Temperatures of the amplitudes in K."""
    statistics: Statistics = "classical"
    """Amplitudes of classical or of quantum oscillators; the latter move at any temperature."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell: its modes are those of the zone centre of this supercell."""
    calculator: CalculatorSpec | None = None
    """ASE calculator that gives the force constants: its name, or its name and arguments; by default the potential."""
    hessian: list[list[float]] | None = None
    """Force constants in eV/Å^2 of the single starting structure, 3 n rows of 3 n numbers, instead of finite
    differences."""
    displacement: Angstrom = Field(default=0.01, gt=0, le=0.1)
    """How far an atom is moved for the finite differences, in Å."""
    lowest_frequency: float = Field(default=0.5, gt=0)
    """Modes below this, in THz, and imaginary ones, stay at rest: their harmonic amplitudes mean nothing."""
    path: PathSettings | None = None
    """The starting structures, in their order, are stations of a path: frames are made at points of it, and displaced
    along the modes orthogonal to it. An empty mapping takes the defaults."""

    @model_validator(mode="after")
    def _one_source(self) -> NormalModesSettings:
        if self.hessian is not None and (self.calculator is not None or self.path is not None):
            raise ValueError("hessian stands for a calculator and for one structure; leave calculator and path out")
        if self.hessian is not None and {len(row) for row in self.hessian} != {len(self.hessian)}:
            raise ValueError("hessian is not a square matrix")
        return self


@dataclass(frozen=True)
class _Site:
    """A structure to be displaced: which starting structure, which point of a path, and the path's direction there."""

    atoms: ase.Atoms
    start: int
    step: int
    identity: str
    tangent: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        return f"starting structure {self.start}" + (f", point {self.step} of the path," if self.step else "")


class NormalModes(TaskSampler):
    """Harmonic displacements of crystals and molecules; give structures that are at rest."""

    name = "normal_modes"
    references = (Paper("J. S. Smith, O. Isayev and A. E. Roitberg, Chem. Sci. 8, 3192 (2017)", "10.1039/C6SC05720A"),)
    Settings = NormalModesSettings
    settings: NormalModesSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.needs_potential = self.settings.calculator is None and self.settings.hessian is None

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; each frame is a trajectory of its own, and its step the point of the path."""
        require_frames(task.start, self.name)
        driver = self._driver(task.start, task.potential)
        harvest = Harvest(task.checkpoint)
        sites = list(self._sites(task.start, task.potential))
        each = len(self.settings.temperatures) * self.settings.frames
        for number, site in enumerate(sites[harvest.done :], start=harvest.done):
            modes, summary = self._modes(site, driver)
            frames: list[ase.Atoms] = []
            temperatures: list[float] = []
            for temperature in self.settings.temperatures:
                made = list(self._displaced(site, modes, temperature, task.seed))
                frames += made
                temperatures += [temperature] * len(made)
                summary[f"frames at {temperature:g} K"] = len(made)
            order = harvest.n_frames + np.arange(len(frames))
            harvest.add(
                frames, summary,
                start=site.start, step=site.step, temperature=temperatures, trajectory=order, block=order,
            )  # fmt: skip
            task.progress("sample", number + 1, len(sites), {"frames": harvest.n_frames})
        numbers = {
            "frames": float(harvest.n_frames),
            "given_up": float(len(sites) * each - harvest.n_frames),
            "largest_force": max(harvest.numbers("largest_force")),
        }
        return harvest.frames, SamplerReport(numbers, harvest.report)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; no molecular dynamics."""
        path = self.settings.path
        sites = n_start if path is None else max(1, (n_start - 1) * path.images)
        return {"frames": sites * len(self.settings.temperatures) * self.settings.frames, "md_steps": 0}

    def _driver(self, start: Configurations, potential: Potential | None) -> Driver | None:
        if self.settings.hessian is not None:
            return None
        if self.settings.calculator is not None:
            self.settings.calculator.check_frames(start, f"{self.name}: starting structures: ")
            return CalculatorDriver(Calculators(self.settings.calculator))
        if potential is None:
            raise InputError(
                "normal_modes: needs a potential for its force constants; train one, or give a calculator."
            )
        require_elements(potential, start, self.name)
        return CommitteeDriver(potential)

    def _sites(self, start: Configurations, potential: Potential | None) -> Iterator[_Site]:
        """Structures to displace: the starting structures, or points of the paths between them."""
        atoms = [repeated(each, self.settings.supercell) for each in start.without_labels().to_atoms()]
        for index, each in enumerate(atoms):
            require_sane(index, each, self.settings.limits, self.name)
        names = identities(start)
        given = self.settings.calculator
        made = None if given is None else Calculators(given)
        path = self.settings.path
        if path is None:
            for index, each in enumerate(atoms):
                yield _Site(each, index, 0, names[index])
            return
        if len(atoms) < 2:
            raise InputError(f"{self.name}: there is one starting structure, and a path needs two at least.")
        for index in range(len(atoms) - 1):
            # From either side the same path, to the last bit.
            ends = sorted((index, index + 1), key=lambda end: names[end])
            calculator = None if potential is None else potential.calculator
            if made is not None:
                calculator = partial(made.of, states_of(atoms[ends[0]]))
            try:
                images = path_between(atoms[ends[0]], atoms[ends[1]], path, calculator)
            except InputError as error:
                raise InputError(f"{self.name}: starting structure {index + 1} {error}") from error
            for place, image in enumerate(images):
                nearest = ends[0] if 2 * place < len(images) else ends[1]
                identity = "|".join([*(names[end] for end in ends), str(place)])
                yield _Site(image, nearest, place, identity, tangent_at(images, place))

    def _modes(self, site: _Site, driver: Driver | None) -> tuple[Modes, dict[str, object]]:
        """The modes that move, and what the report says of them."""
        n = len(site.atoms)
        if driver is not None:
            try:
                matrix, force = force_constants(site.atoms, driver, self.settings.displacement)
            except InputError as error:
                raise InputError(f"{self.name}: {site.name} {error}") from error
        else:
            matrix, force = np.array(self.settings.hessian), 0.0
            if matrix.shape != (3 * n, 3 * n) or site.start:
                raise InputError(
                    f"{self.name}.hessian: has {len(matrix)} rows, and is for one structure of {len(matrix) / 3:g} "
                    f"atoms; {site.name} has {n} (supercell included)."
                )
            matrix = (matrix + matrix.T) / 2
        every = normal_modes(site.atoms, matrix, site.tangent)
        modes = every.above(self.settings.lowest_frequency)
        summary: dict[str, object] = {
            "start": site.start,
            "point": site.step,
            "modes": len(modes.squares),
            "left_at_rest": len(every.squares) - len(modes.squares),
            "imaginary": int((every.frequencies < -self.settings.lowest_frequency).sum()),
            "highest_frequency": float(every.frequencies.max(initial=0.0)),
            "largest_force": force,
        }
        return modes, summary

    def _displaced(self, site: _Site, modes: Modes, temperature: float, seed: int) -> Iterator[ase.Atoms]:
        """Frames at one temperature; those that cannot be drawn are left out."""
        widths = modes.widths(temperature, self.settings.statistics)

        def make(generator: np.random.Generator) -> ase.Atoms:
            frame = site.atoms.copy()
            frame.positions += modes.displacements(widths * generator.normal(size=len(widths)))
            return frame

        for copy in range(self.settings.frames):
            generator = np.random.default_rng(derive_seed(seed, site.identity, temperature, copy))
            frame, _ = self.settings.draw(make, generator)
            if frame is not None:
                yield frame
