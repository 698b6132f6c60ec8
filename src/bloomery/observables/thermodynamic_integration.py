"""Absolute free energy of a crystal: its potential is switched to springs, of which the free energy is known, and back.

Frenkel and Ladd, J. Chem. Phys. 81, 3188 (1984), by nonequilibrium switching: Freitas, Asta and de Koning, Comput.
Mater. Sci. 112, 333 (2016). Along ``U(l) = (1 - l) U + l U_E``, with ``U_E`` the Einstein crystal of springs that hold
each atom to its site, the work that the switch does is measured forwards (``l`` from 0 to 1) and backwards, each from
its own equilibrium. Half of the difference is the free energy of the Einstein crystal over that of the potential, as
far as the response is linear; half of the sum is what was dissipated. Bennett's acceptance ratio (J. Comput. Phys. 22,
245 (1976)) makes no such assumption, and is held against it.

The centre of mass is held, and let go on paper (Polson et al., J. Chem. Phys. 112, 5339 (2000); for springs that differ
Khanna et al., J. Chem. Phys. 154, 164509 (2021)):

    A = sum_i 3 kT ln(hbar w_i / kT) + kT ln[(2 pi kT sum_i m_i^2 / (M^2 k_i))^(3/2) n / V] - W,

with ``w_i^2 = k_i / m_i``, ``M`` the mass of the supercell, ``V`` its volume and ``n`` the translations that bring it
into itself. Nuclei are classical; what quantum nuclei add is told beside it, to the order of hbar^2 (Wigner, Phys. Rev.
40, 749 (1932)): ``hbar^2 / (24 kT^2) sum_i <F_i^2> / m_i``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import ase
import numpy as np
from ase import units
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import nearest_distances
from bloomery.frames.states import repeated
from bloomery.observables.averages.committee import FEW, effective_frames, shares
from bloomery.observables.averages.curves import block_quantity
from bloomery.observables.contract import Axes, Observation, OfPotential, Quantity, array_name, together, told
from bloomery.observables.points.single_points import POTENTIAL, repeats_to, structure_names
from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import Progress
from bloomery.quantities import Femtoseconds, Kelvin
from bloomery.samplers.contract import Repeats
from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.seeds import derive_seed
from bloomery.statistics import MILLI

Array = NDArray[np.float64]

HBAR = units._hbar * units.J * units.s  # noqa: SLF001  ASE has no public name for it
"""In eV times ASE's unit of time."""
SYMMETRY = 1e-3
"""In Å: sites that a translation brings so close to each other are the same."""
REACH = 8.0
"""In Å: sites farther than this from all others belong to no crystal."""
POINTS = 200
"""Points of each curve that is kept."""


class ThermodynamicIntegrationSettings(Settings):
    """Settings of the observable `thermodynamic_integration`."""

    temperature: Kelvin = Field(default=300.0, gt=0)
    """Temperature in K."""
    supercell: Repeats | None = None
    """Repeats of each structure; by default as many as make every side `min_length`."""
    min_length: float = Field(default=10.0, gt=0)
    """Distance of opposite faces of the supercell in Å, at least."""
    timestep_fs: Femtoseconds = Field(default=1.0, gt=0)
    """Time step in fs."""
    equilibration: int = Field(default=2000, ge=100)
    """Steps before the potential is switched off; springs and model errors are taken from the second half."""
    steps: int = Field(default=5000, ge=100)
    """Steps of each switch. What is dissipated falls as one over their number."""
    trajectories: int = Field(default=4, ge=2)
    """Switches in each direction: the statistical error is that of their mean."""
    friction: float = Field(default=0.02, gt=0)
    """Friction of the thermostat in 1/fs."""
    springs: dict[str, float] = Field(default_factory=dict)
    """Springs by element in eV/Å^2; by default ``3 kT`` over the mean square displacement of its atoms."""


class ThermodynamicIntegration(OfPotential):
    """Absolute free energy of a crystal by switching its potential to springs and back (Frenkel and Ladd)."""

    name = "thermodynamic_integration"
    title = "Free energy"
    references = (
        Paper("D. Frenkel and A. J. C. Ladd, J. Chem. Phys. 81, 3188 (1984)", "10.1063/1.448024"),
        Paper("R. Freitas, M. Asta and M. de Koning, Comput. Mater. Sci. 112, 333 (2016)",
              "10.1016/j.commatsci.2015.10.050"),
    )  # fmt: skip
    axes = Axes("λ", "energy of the springs over that of the potential")
    Settings = ThermodynamicIntegrationSettings
    settings: ThermodynamicIntegrationSettings
    quantities: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("free_energy", "static_energy"), "eV/atom"),
        **dict.fromkeys(("thermal_free_energy", "quantum_correction", "dissipated"), "meV/atom"),
        **dict.fromkeys(("statistical_error", "model_error"), "meV/atom"),
        "estimates_differ": "kT",
        "displacement": "Å",
    }
    headline = ("free_energy", "thermal_free_energy", "quantum_correction")
    without_potential = "needs a potential to drive the dynamics; give one."

    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Switch each of the structures, which are crystals at rest."""
        if not len(configurations):
            raise InputError(f"{self.name}: there is no structure; give at least one.")
        self.require_elements(potential, configurations)
        bare = configurations.without_labels()
        summary: dict[str, Any] = {}
        arrays: dict[str, NDArray[Any]] = {}
        obstacles = []
        for index, (atoms, key) in enumerate(zip(bare.to_atoms(), structure_names(bare), strict=True)):
            where = f"{self.name}: structure {index} ({atoms.get_chemical_formula()})"
            try:
                sites = self._sites(atoms)
            except InputError as error:
                raise InputError(f"{where} {error}") from error
            switch = _Switch(potential, sites, self.settings, derive_seed(seed, index))
            try:
                switch.run(progress)
            except _NoCrystalError as error:
                obstacles.append(f"{where} {error}")
                summary[key] = {"n_atoms": len(sites.numbers), "obstacles": {POTENTIAL: str(error)}}
                continue
            quantities, doubts = switch.measured()
            summary[key] = {"n_atoms": len(sites.numbers), POTENTIAL: told(quantities)}
            summary[key] |= {"warnings": doubts} if doubts else {}
            for name, curve in switch.curves().items():
                arrays[array_name(key, POTENTIAL, name)] = curve
        if not arrays:
            raise InputError(obstacles[0])
        kinds = {name: "1" if name.endswith("_x") else "meV/atom" for name in arrays}
        return Observation(summary, arrays, kinds)

    def _sites(self, atoms: ase.Atoms) -> _Sites:
        settings = self.settings
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise InputError("is not periodic in all directions: only a crystal has sites that springs can hold.")
        if not len(atoms):
            raise InputError("holds no atom.")
        unknown = sorted(set(settings.springs) - set(atoms.get_chemical_symbols()))
        if unknown:
            raise InputError(f"holds no {unknown[0]}, which `springs` names; remove it.")
        wrong = [element for element, spring in settings.springs.items() if not spring > 0]
        if wrong:
            raise InputError(f"`springs` of {wrong[0]} must be above zero, in eV/Å^2.")
        cell = repeated(atoms, settings.supercell or repeats_to(atoms.cell.array, settings.min_length))
        frame = Configurations.from_atoms([cell], info_keys=[])
        if len(cell) < 2:
            raise InputError("is a single atom in its supercell; give `supercell` or a larger `min_length`.")
        return _Sites(frame, translations(cell), min(nearest_distances(frame, REACH).values(), default=REACH))


class _NoCrystalError(Exception):
    """The structure does not stay what it is; the message says how, as a clause."""


def translations(atoms: ase.Atoms) -> int:
    """How many translations bring a crystal into itself, lattice vectors of its cell counted as one.

    `InputError`, a clause, says if spglib is not installed, or finds no symmetry at all.
    """
    try:
        import spglib  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "cannot be measured without spglib; install it: pip install 'aiida-bloomery[phonons]'."
        ) from error
    kinds = np.unique(np.column_stack([atoms.numbers, atoms.get_masses()]), axis=0, return_inverse=True)[1]
    crystal: Any = (atoms.cell.array, atoms.get_scaled_positions(), kinds.ravel() + 1)
    with warnings.catch_warnings():
        # It says that one day it will raise where it returns nothing now.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry(crystal, symprec=SYMMETRY)
    if found is None:
        raise InputError("has no symmetry that spglib can find: are two atoms at one place?")
    return int((found["rotations"] == np.eye(3, dtype=int)).all(axis=(1, 2)).sum())


@dataclass(frozen=True)
class _Sites:
    """Where the atoms of a supercell belong."""

    frame: Configurations
    translations: int
    nearest: float
    """Smallest distance of two sites in Å."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        return self.frame.numbers


def protocol(steps: int) -> Array:
    """The share of the springs after each step, ``(steps + 1,)``: slow at both ends (de Koning and Antonelli 1996)."""
    time = np.linspace(0, 1, steps + 1)
    return np.asarray(time**5 * (70 * time**4 - 315 * time**3 + 540 * time**2 - 420 * time + 126))


def acceptance_ratio(forwards: Array, backwards: Array, thermal: float) -> float:
    """Free energy difference from as many works in either direction, in the unit of ``thermal``, by Bennett's ratio."""
    from scipy.optimize import brentq  # noqa: PLC0415  half a second to import
    from scipy.special import expit  # noqa: PLC0415

    def excess(difference: float) -> float:
        up, down = (forwards - difference) / thermal, (backwards + difference) / thermal
        return float(expit(-up).sum() - expit(-down).sum())

    ends = np.concatenate([forwards, -backwards])
    return float(brentq(excess, ends.min() - 50 * thermal, ends.max() + 50 * thermal))


def einstein(springs: Array, masses: Array, temperature: float, volume: float, n: int) -> float:
    """Free energy in eV of a crystal that equals springs once its centre of mass is held; see the module.

    ``springs`` in eV/Å^2 and ``masses`` in u, ``(A,)``; ``volume`` in Å^3; ``n`` translations.
    """
    thermal = units.kB * temperature
    frequencies = np.sqrt(springs / masses)
    wandering = float((masses**2 / springs).sum() / masses.sum() ** 2)
    held = 1.5 * np.log(2 * np.pi * thermal * wandering) + np.log(n / volume)
    return float(thermal * (3 * np.log(HBAR * frequencies / thermal).sum() + held))


class _Switch:
    """Trajectories of one structure, one copy after the other: ``T`` forwards, and ``T`` backwards."""

    def __init__(
        self, potential: Potential, sites: _Sites, settings: ThermodynamicIntegrationSettings, seed: int
    ) -> None:
        self.potential, self.sites, self.settings, self.seed = potential, sites, settings, seed
        self.thermal = units.kB * settings.temperature
        self.masses = sites.frame.masses
        self.works = np.zeros(2 * settings.trajectories)

    def run(self, progress: Progress) -> None:
        """Equilibrate and switch; `_NoCrystalError` says if an atom leaves its site, or something diverges."""
        settings, copies = self.settings, self.settings.trajectories
        total = settings.equilibration + settings.steps
        dynamics = self._dynamics(copies, "equilibration")
        prediction = self._predict(dynamics.frames)
        energies: list[Array] = []
        squares, pulls = np.zeros(len(self.masses)), np.zeros(len(self.masses))
        for step in range(1, settings.equilibration + 1):
            dynamics.move(prediction.force)
            prediction = self._predict(dynamics.frames)
            dynamics.settle(prediction.force)
            if step > settings.equilibration // 2:
                energies.append(prediction.energies)
                squares += (self._displacements(dynamics.positions) ** 2).sum(axis=2).mean(axis=0)
                pulls += (prediction.force**2).sum(axis=1).reshape(copies, -1).mean(axis=0)
            progress("equilibrate", step, total, {})
        self._look(dynamics.positions)
        self._learn(np.concatenate(energies, axis=1), squares / len(energies), pulls / len(energies))
        self._go(dynamics, progress)

    def _learn(self, energies: Array, squares: Array, pulls: Array) -> None:
        """Take springs, quantum correction and model errors from the equilibrium of the potential.

        That is the members' energies of all frames, ``(M, frames)``, and mean squares of each atom's displacement and
        force, ``(A,)``.
        """
        self.static = self.potential.predict(self.sites.frame, stress=False).energies[:, 0]
        self.quantum = float(HBAR**2 / (24 * self.thermal**2) * (pulls / self.masses).sum())
        self.displacement = float(np.sqrt(squares.mean()))
        self.springs = np.empty(len(self.masses))
        for number in np.unique(self.sites.numbers):
            of_element = self.sites.numbers == number
            given = self.settings.springs.get(chemical_symbols[number])
            self.springs[of_element] = given or 3 * self.thermal / squares[of_element].mean()
        deviations = energies - energies.mean(axis=0)
        spread = deviations - deviations.mean(axis=1, keepdims=True)
        # The second cumulant of each member's energy over the mean's is its free energy over the mean's.
        self.members = deviations.mean(axis=1) - (spread**2).mean(axis=1) / (2 * self.thermal)
        self.effective = float(effective_frames(shares(-spread / self.thermal)).min())

    def _go(self, hot: Langevin, progress: Progress) -> None:
        """Switch both ways side by side, and add up the work that each step of the switch does."""
        settings, copies = self.settings, self.settings.trajectories
        lambdas = protocol(settings.steps)
        total = settings.equilibration + settings.steps
        dynamics = self._dynamics(2 * copies, "switch")
        positions = np.concatenate([hot.positions, self._of_springs(copies)])
        dynamics.frames = replace(dynamics.frames, positions=positions)
        dynamics.velocities[: len(hot.velocities)] = hot.velocities
        backwards = np.arange(2 * copies) >= copies
        place = np.zeros((settings.steps + 1, 2 * copies))
        place[:] = np.where(backwards, lambdas[::-1, None], lambdas[:, None])
        self.path = place
        self.slopes = np.zeros((settings.steps, 2 * copies))
        gap, forces = self._evaluate(dynamics, place[0])
        for step in range(1, settings.steps + 1):
            # The switch comes first, at the place where the atoms are: so the work is that of Crooks' theorem.
            self.slopes[step - 1] = gap
            self.works += (place[step] - place[step - 1]) * gap
            dynamics.move(forces)
            gap, forces = self._evaluate(dynamics, place[step])
            dynamics.settle(forces)
            progress("switch", settings.equilibration + step, total, {})
        self._look(dynamics.positions)

    def measured(self) -> tuple[dict[str, Quantity], list[str]]:
        """All numbers of the structure, and sentences about them."""
        settings, copies, n = self.settings, self.settings.trajectories, len(self.masses)
        frame = self.sites.frame
        forwards, backwards = self.works[:copies], self.works[copies:]
        difference = block_quantity((forwards - backwards) / 2, np.ones(copies), "eV")
        base = einstein(
            self.springs, self.masses, settings.temperature, float(frame.volumes[0]), self.sites.translations
        )
        total, static = base - difference.value, float(self.static.mean())
        apart = abs(acceptance_ratio(forwards, backwards, self.thermal) - difference.value)
        statistical = difference.error
        model, thermal_model, doubts = self._model_errors()
        quantities = {
            "free_energy": Quantity(total / n, "eV/atom", _over(together(statistical, model), n)),
            "static_energy": Quantity(static / n, "eV/atom"),
            "thermal_free_energy": Quantity(
                MILLI * (total - static) / n, "meV/atom", _over(together(statistical, thermal_model), n / MILLI)
            ),
            "quantum_correction": Quantity(MILLI * self.quantum / n, "meV/atom"),
            "dissipated": Quantity(MILLI * float((forwards + backwards).mean()) / 2 / n, "meV/atom"),
            "estimates_differ": Quantity(apart / self.thermal, "kT"),
            "displacement": Quantity(self.displacement, "Å"),
            **{
                f"spring_{chemical_symbols[number]}": Quantity(
                    float(self.springs[frame.numbers == number][0]), "eV/Å^2"
                )
                for number in np.unique(frame.numbers)
            },
        }
        for name, error in (("statistical_error", statistical), ("model_error", model)):
            if error is not None:
                quantities[name] = Quantity(MILLI * error / n, "meV/atom")
        if apart > max(self.thermal, 2 * (statistical or 0.0)):
            doubts.append(
                f"The switch is too fast: its two estimates are {apart / self.thermal:.1f} kT apart. Give more `steps`."
            )
        return quantities, doubts

    def curves(self) -> dict[str, Array]:
        """Mean slope in meV/atom against the share of the springs, for either direction."""
        rows = np.linspace(0, len(self.slopes) - 1, min(POINTS, len(self.slopes))).round().astype(int)
        half, found = self.settings.trajectories, {}
        for name, part in (("forwards", slice(0, half)), ("backwards", slice(half, None))):
            found[f"{name}_x"] = self.path[rows, part].mean(axis=1)
            found[name] = MILLI * self.slopes[rows, part].mean(axis=1) / len(self.masses)
        return found

    # -- pieces ---------------------------------------------------------------------------------------------------

    def _dynamics(self, copies: int, part: str) -> Langevin:
        settings = self.settings
        frames = Configurations.concatenate([self.sites.frame] * copies)
        seeds = [derive_seed(self.seed, part, copy) for copy in range(copies)]
        beginning = Beginning(frames, [settings.temperature] * copies, seeds, settings.timestep_fs)
        return Langevin(beginning, friction=settings.friction)

    def _predict(self, frames: Configurations) -> Prediction:
        prediction = self.potential.predict(frames, stress=False)
        if not (np.isfinite(prediction.energies).all() and np.isfinite(prediction.forces).all()):
            raise _NoCrystalError(
                f"has no finite energy any more at {self.settings.temperature:g} K; see the observable nve_stability."
            )
        return prediction

    def _displacements(self, positions: Array) -> Array:
        """From the sites in Å, ``(copies, A, 3)``."""
        return positions.reshape(-1, len(self.masses), 3) - self.sites.frame.positions

    def _evaluate(self, dynamics: Langevin, share: Array) -> tuple[Array, Array]:
        """How far the springs' energy is above the potential's in eV, ``(2 T,)``, and the forces of the mixture."""
        prediction = self._predict(dynamics.frames)
        away = self._displacements(dynamics.positions)
        held = 0.5 * (self.springs * (away**2).sum(axis=2)).sum(axis=1)
        pulls = (-self.springs[:, None] * away).reshape(-1, 3)
        each = share[dynamics.owner][:, None]
        return held - prediction.energy, (1 - each) * prediction.force + each * pulls

    def _of_springs(self, copies: int) -> Array:
        """Positions in the ensemble of the springs, exactly, with the centre of mass where that of the sites is."""
        generator = np.random.default_rng(derive_seed(self.seed, "springs"))
        width = np.sqrt(self.thermal / self.springs)
        away = width[:, None] * generator.standard_normal((copies, len(self.masses), 3))
        shift = np.einsum("a,cad->cd", self.masses, away) / (self.masses**2 / self.springs).sum()
        away -= (self.masses / self.springs)[:, None] * shift[:, None]
        return np.asarray((self.sites.frame.positions + away).reshape(-1, 3))

    def _look(self, positions: Array) -> None:
        """See that all atoms are at their sites."""
        farthest = float(np.sqrt((self._displacements(positions) ** 2).sum(axis=2).max()))
        if farthest > 0.5 * self.sites.nearest:
            raise _NoCrystalError(
                f"has an atom {farthest:.2f} Å from its site at {self.settings.temperature:g} K, where the next site "
                f"is {self.sites.nearest:.2f} Å away: it melts, diffuses, or was not at rest. Take a lower temperature "
                "or a structure that is at rest."
            )

    def _model_errors(self) -> tuple[float | None, float | None, list[str]]:
        """What the committee says of the free energy and of its thermal part, in eV; a sentence where it cannot."""
        if len(self.members) < 2:
            return None, None, []
        if self.effective < FEW:
            sentence = (
                f"No error of the potential is told: {self.effective:.1f} frames would carry the ensemble of one of "
                "its members. Take a smaller supercell or a better potential."
            )
            return None, None, [sentence]
        thermal = self.members - (self.static - self.static.mean())
        return float(np.std(self.members, ddof=1)), float(np.std(thermal, ddof=1)), []


def _over(error: float | None, factor: float) -> float | None:
    return None if error is None else error / factor
