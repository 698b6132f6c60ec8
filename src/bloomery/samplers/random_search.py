"""Random structures of given composition, density and symmetry, brought towards rest by the potential there is.

Random search: Pickard and Needs, J. Phys.: Condens. Matter 23, 053201 (2011); as a source of training data, with frames
of the relaxations among them: Bernstein, Csanyi and Deringer, npj Comput. Mater. 5, 99 (2019). Structures of a space
group are made by PyXtal: Fredericks, Parrish, Sayre and Zhu, Comput. Phys. Commun. 261, 107810 (2021).
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Annotated, Any

import ase
import numpy as np
from ase import units
from ase.data import chemical_symbols
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pydantic import Field, field_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits
from bloomery.frames.states import without_heir
from bloomery.papers import Paper
from bloomery.quantities import Angstrom, ForceInEV, PressureInGPa
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import Harvest, identities, needed, require_frames
from bloomery.samplers.trust import TrustSettings, require_potential, too_unsure
from bloomery.seeds import derive_seed

SpaceGroup = Annotated[int, Field(ge=1, le=230)]
_Kept = tuple[int, ase.Atoms, float]
WITHOUT_PYXTAL = (
    "random_search: cannot make structures without PyXtal; install it: pip install 'aiida-bloomery[random-search]'."
)
HEAT = "electronic_temperature"
RESTED = "relaxed"
GIVEN_UP = "no such structure was found"


class RandomSearchSettings(TrustSettings):
    """Settings of the sampler `random_search`."""

    structures: int = Field(default=10, ge=1)
    """How many structures to make of the composition of each starting structure."""
    formula_units: list[Annotated[int, Field(ge=1)]] = Field(default=[2, 4, 8], min_length=1)
    """Formula units in the conventional cell; each structure draws its own number."""
    space_groups: tuple[SpaceGroup, SpaceGroup] = (1, 230)
    """First and last number of the space groups that are drawn; 1 and 1: no symmetry."""
    volumes: tuple[float, float] = (0.9, 1.3)
    """Range of the volume per atom, as a multiple of that of the starting structure; each structure draws its own."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """No two atoms may be closer than this, in Å."""
    min_relative_distance: float = Field(default=0.7, ge=0, le=1)
    """No two atoms may be closer than this multiple of the sum of their covalent radii."""
    attempts: int = Field(default=50, ge=1)
    """How often a structure is drawn anew, with another space group, before it is given up."""
    relax_steps: int = Field(default=60, ge=0)
    """Steps of the relaxation of atoms and cell with the potential; without a potential there is none."""
    relax_force: ForceInEV = Field(default=0.1, gt=0)
    """A relaxation ends when no force is above this, in eV/Å, that on the cell included."""
    pressure: PressureInGPa = 0.0
    """Pressure of the relaxation in GPa."""
    interval: int = Field(default=20, ge=1)
    """Steps of a relaxation between frames that are kept; its first and last are kept too."""

    @field_validator("space_groups", "volumes")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be a range from a smaller to a larger number, above zero")
        return value

    @property
    def limits(self) -> DistanceLimits:
        """Distances that no frame may fall below."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)


class RandomSearch(TaskSampler):
    """Structures drawn at random, with the composition of the starting structures, relaxed if there is a potential."""

    name = "random_search"
    references = (
        Paper(
            "C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011)",
            "10.1088/0953-8984/23/5/053201",
        ),
        Paper("N. Bernstein et al., npj Comput. Mater. 5, 99 (2019)", "10.1038/s41524-019-0236-6"),
    )
    Settings = RandomSearchSettings
    settings: RandomSearchSettings

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; a structure with its relaxation is a trajectory."""
        require_frames(task.start, self.name)
        if task.potential is not None:
            require_potential(task.potential, task.start, self.name)
        calculator = task.potential.calculator() if task.potential is not None and self.settings.relax_steps else None
        limit = self.settings.limit(task.scale)
        harvest = Harvest(task.checkpoint)
        names, atoms = identities(task.start), task.start.without_labels().to_atoms()
        for index, start in enumerate(atoms):
            if problem := without_heir(start, ()):
                raise InputError(f"{self.name}: starting structure {index} {problem}")
        total = len(task.start) * self.settings.structures
        for number in range(harvest.done, total):
            index, copy = divmod(number, self.settings.structures)
            generator = np.random.default_rng(derive_seed(task.seed, names[index], copy))
            found, group, attempts = self._draw(atoms[index], index, generator)
            kept, reason = self._relaxed(found, calculator, limit) if found is not None else ([], GIVEN_UP)
            harvest.add(
                [frame for _, frame, _ in kept],
                {"start": index, "space_group": group, "drawn": attempts, "frames": len(kept), "stop_reason": reason},
                start=index, trajectory=number, block=number, stop_reason=reason,
                step=[step for step, _, _ in kept], disagreement=[disagreement for _, _, disagreement in kept],
            )  # fmt: skip
            task.progress("sample", number + 1, total, {"frames": harvest.n_frames})
        ends = Counter(entry["stop_reason"] for entry in harvest.report)
        numbers = {
            "frames": float(harvest.n_frames),
            "drawn": float(sum(harvest.numbers("drawn"))),
            "given_up": float(ends[GIVEN_UP]),
            RESTED: float(ends[RESTED]),
        }
        return harvest.frames, SamplerReport(numbers, harvest.report)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; steps of relaxations count as steps of dynamics."""
        steps, structures = self.settings.relax_steps, n_start * self.settings.structures
        return {"frames": structures * (steps // self.settings.interval + 2), "md_steps": structures * steps}

    def _draw(self, atoms: ase.Atoms, index: int, generator: np.random.Generator) -> tuple[ase.Atoms | None, int, int]:
        """Draw a structure; return it, its space group, and the number of draws."""
        if not atoms.pbc.all() or atoms.cell.volume <= 0:
            raise InputError(
                f"{self.name}: starting structure {index} is not periodic in all directions, so it has no density."
            )
        numbers, counts = np.unique(atoms.numbers, return_counts=True)
        unit = counts // np.gcd.reduce(counts)
        for attempt in range(1, self.settings.attempts + 1):
            group = int(generator.integers(self.settings.space_groups[0], self.settings.space_groups[1] + 1))
            wanted = unit * int(generator.choice(self.settings.formula_units))
            volume = atoms.cell.volume / len(atoms) * float(generator.uniform(*self.settings.volumes))
            found = _crystal(group, numbers, wanted, int(generator.integers(2**31)))
            if found is None:
                continue
            found.set_cell(found.cell.array * (volume * len(found) / found.cell.volume) ** (1 / 3), scale_atoms=True)
            if not self.settings.limits.broken_by(found.numbers, found.positions, found.cell.array, found.pbc):
                # The electrons' temperature is the one state that does not depend on how many there are.
                found.info = {key: atoms.info[key] for key in (HEAT,) if key in atoms.info}
                return found, group, attempt
        return None, 0, self.settings.attempts

    def _relaxed(self, atoms: ase.Atoms, calculator: Any, limit: float) -> tuple[list[_Kept], str]:
        """Relax atoms and cell; return step, frame and disagreement on the way, from the start, and why it ended."""
        if calculator is None:
            return [(0, atoms, -1.0)], ""
        kept: list[_Kept] = []
        most = self.settings.relax_steps
        reason = f"{most} steps were not enough"
        moving = atoms.copy()
        moving.calc = calculator
        movable = FrechetCellFilter(moving, scalar_pressure=self.settings.pressure * units.GPa)
        steps = FIRE(movable, logfile=None, maxstep=0.1).irun(fmax=self.settings.relax_force, steps=most)
        for step, rested in enumerate(steps):
            frame = moving.copy()
            broken = self.settings.limits.broken_by(frame.numbers, frame.positions, frame.cell.array, frame.pbc)
            if broken or not np.isfinite(calculator.results["forces"]).all():
                return kept, f"step {step}: {broken or 'a force is not finite'}"
            known = "disagreement" in calculator.implemented_properties
            disagreement = float(np.max(calculator.results["disagreement"])) if known else -1.0
            unsure = too_unsure(disagreement, limit)
            if step % self.settings.interval == 0 or unsure or rested or step == most:
                kept.append((step, frame, disagreement))
            if unsure:
                return kept, f"step {step}: {unsure}"
            if rested:
                reason = RESTED
        return kept, reason


def _crystal(group: int, numbers: Any, counts: Any, seed: int) -> ase.Atoms | None:
    """Let PyXtal fill the sites of a space group; nothing where the numbers of atoms do not fit."""
    crystal = needed("pyxtal", WITHOUT_PYXTAL).pyxtal()
    symbols = [chemical_symbols[number] for number in numbers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            crystal.from_random(3, group, symbols, [int(n) for n in counts], random_state=seed, max_count=1)
    except Exception:  # noqa: BLE001  it raises a sort of its own for each way in which atoms do not fit
        return None
    if not crystal.valid:
        return None
    atoms: ase.Atoms = crystal.to_ase()
    return ase.Atoms(atoms.numbers, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell, pbc=True)
