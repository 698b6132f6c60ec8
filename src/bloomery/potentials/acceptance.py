"""The physics that a potential must pass before it may drive anything.

Energies and forces of a potential are computed by different code, and potentials are known whose energies are right and
whose forces are wrong, without a word. Therefore forces and stresses are held against finite differences of the
potential's own energy, and the laws that energies obey are tried on frames of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.transform import Rotation

from bloomery.errors import RefusedPotentialError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential, reference_energies
from bloomery.potentials.prediction import Prediction
from bloomery.seeds import derive_seed

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
STENCIL = ((-2.0, 1 / 12), (-1.0, -8 / 12), (1.0, 8 / 12), (2.0, -1 / 12))
"""Four points around the middle: the error of the derivative is of fourth order in the step."""
LOOKED_AT = 256
"""At most this many frames are predicted to find those worth checking."""


class AcceptanceSettings(Settings):
    """What is checked, on how much, and how strictly."""

    frames: int = Field(default=4, ge=1)
    """Frames of the data that are checked: half of them those with the largest forces."""
    directions: int = Field(default=8, ge=1)
    """Directions in which all atoms of a frame are moved at once to difference the energy."""
    tolerance: float = Field(default=1e-6, gt=0)
    """Largest error that passes, relative to the root mean square of the forces, for potentials in float64."""
    single_tolerance: float = Field(default=1e-3, gt=0)
    """The same for what is computed in float32; 1 meV/Å passes at least."""
    learned_tolerance: float = Field(default=0.1, gt=0)
    """The same under rotation for potentials that learn this symmetry from rotated frames instead of having it."""


@dataclass(frozen=True)
class Check:
    """One check: the largest error found, the limit, and the frame where it was found."""

    name: str
    what: str
    value: float
    limit: float
    unit: str
    frame: int

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit; a value that is not a number never is."""
        return bool(self.value <= self.limit)

    def to_dict(self) -> dict[str, object]:
        """Return plain values; none where the error is not a number."""
        value = self.value if np.isfinite(self.value) else None
        return {"value": value, "limit": self.limit, "unit": self.unit, "frame": self.frame, "passed": self.passed}


@dataclass(frozen=True)
class AcceptanceReport:
    """All checks of one potential, in the order in which they were made."""

    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, object]:
        """Return plain values: name to value, limit, unit, frame and outcome."""
        return {"passed": self.passed, "checks": {check.name: check.to_dict() for check in self.checks}}

    def raise_if_refused(self) -> None:
        """Raise `RefusedPotentialError`, with one sentence about the first failed check, if there is one."""
        for check in self.checks:
            if not check.passed:
                raise RefusedPotentialError(
                    f"the potential is refused: {check.what} is off by {check.value:.3g} {check.unit} in frame "
                    f"{check.frame}, the limit is {check.limit:.3g} {check.unit}; do not use it."
                )


def check_potential(
    potential: Potential, configurations: Configurations, settings: AcceptanceSettings | None = None, seed: int = 0
) -> AcceptanceReport:
    """Try the physics of a potential on frames of the data. No frames, no checks."""
    settings = settings or AcceptanceSettings()
    random = np.random.default_rng(derive_seed(seed, "acceptance"))
    bare = configurations.without_labels().without_states()  # atoms change places, and frames are doubled
    frames, origin, finite = _choose(potential, bare, settings, random)
    checks = [finite] if len(frames) else []
    if len(frames) and finite.passed:
        checks += [
            replace(check, frame=int(origin[check.frame])) for check in _trials(potential, frames, settings, random)
        ]
    return AcceptanceReport(checks)


def _choose(
    potential: Potential, configurations: Configurations, settings: AcceptanceSettings, random: np.random.Generator
) -> tuple[Configurations, NDArray[np.int64], Check]:
    """Pick frames, half of them by their largest force, so that every element is there; and whether all is finite."""
    filled = random.permutation(np.flatnonzero(configurations.counts > 0))[:LOOKED_AT]
    looked = configurations[filled]
    prediction = potential.predict(looked)
    largest = np.zeros(len(looked))
    np.maximum.at(largest, looked.frame_of_atom, np.abs(prediction.forces).max(axis=(0, 2)))
    odd = ~np.isfinite(largest) | ~np.isfinite(prediction.energies).all(axis=0)
    if prediction.stresses is not None:
        odd |= ~np.isfinite(prediction.stresses).all(axis=(0, 2))
    first = int(filled[np.argmax(odd)]) if odd.any() else 0
    share = float(odd.mean()) if len(odd) else 0.0
    finite = Check("finite", "the share of predictions that are not finite", share, 0.0, "", first)
    ranking = np.argsort(-np.where(odd, 0.0, largest), kind="stable")
    chosen = list(ranking[: (settings.frames + 1) // 2])
    chosen += [frame for frame in range(len(looked)) if frame not in chosen][: settings.frames - len(chosen)]
    for number in np.unique(looked.numbers):
        holders = np.unique(looked.frame_of_atom[looked.numbers == number])
        if not np.isin(holders, chosen).any():
            chosen.append(int(holders[0]))
    return looked[chosen], filled[chosen], finite


@dataclass(frozen=True)
class _Trial:
    """A potential on frames that are not empty, what it says of them, and what errors are held against."""

    potential: Potential
    frames: Configurations
    middle: Prediction
    random: np.random.Generator
    limit: float
    """Of forces in eV/Å, and of energies per atom in eV: 1 Å turns one into the other."""
    tension: float
    """Limit of stresses in eV/Å^3."""
    turning: float
    """Like ``limit``, under rotation."""
    steps: tuple[float, ...]
    """Of finite differences in Å."""

    def slope(self, path: Callable[[float], Configurations], step: float) -> NDArray[np.float64]:
        """Derivative of the energies of all members along a path of frames at its middle, ``(M, N)``."""
        points = Configurations.concatenate([path(place * step) for place, _ in STENCIL])
        energies = self.potential.predict(points, stress=False).energies
        energies = energies - reference_energies(points, self.potential.energy_reference)
        parts = energies.reshape(len(energies), len(STENCIL), -1)
        return np.tensordot(parts, [weight for _, weight in STENCIL], axes=(1, 0)) / step

    def difference(
        self,
        path: Callable[[float], Configurations],
        expected: NDArray[np.float64],
        scale: NDArray[np.float64],
        limit: float,
    ) -> NDArray[np.float64]:
        """Largest error over members of the expected derivative, divided by ``scale``, ``(N,)``.

        Further steps are tried where one fails: large curvature spoils long steps, and a wrong force fails at all.
        """
        best = np.full(len(scale), np.inf)
        for step in self.steps:
            errors = np.abs(self.slope(path, step) - expected).max(axis=0) / scale
            best = np.fmin(best, errors)
            if (best <= limit).all():
                break
        return best

    def differences(self, directions: int) -> Iterator[Check]:
        """Forces along random directions of all atoms together, and stresses, against differences of the energy."""
        frames, middle = self.frames, self.middle
        errors = np.zeros(len(frames))
        size = np.sqrt(frames.counts)
        for _ in range(directions):
            # Each atom moves by about one step.
            move = self.random.normal(size=frames.positions.shape)
            move *= (size / np.sqrt(_sums((move**2).sum(axis=1), frames)))[frames.frame_of_atom][:, None]
            expected = -_sums((middle.forces * move).sum(axis=2), frames)
            errors = np.maximum(errors, self.difference(partial(_displaced, frames, move), expected, size, self.limit))
        what = "the force against finite differences of the energy"
        yield _worst("forces", what, errors, self.limit, "eV/Å", np.arange(len(frames)))
        full = np.flatnonzero(_full(frames))
        if middle.stresses is None or not len(full):
            return
        part, volumes = frames[full], frames.volumes[full]
        errors = np.zeros(len(full))
        for component, (a, b) in enumerate(VOIGT):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5
            strain[b, a] += 0.5
            expected = middle.stresses[:, full, component] * volumes
            found = self.difference(partial(_strained, part, strain), expected, volumes, self.tension)
            errors = np.maximum(errors, found)
        what = "the stress against finite differences of the energy"
        yield _worst("stress", what, errors, self.tension, "eV/Å^3", full)

    def symmetries(self) -> Iterator[Check]:
        """Rotation, translation by any vector and by whole cells, order of the atoms, and twice the frame."""
        frames, middle = self.frames, self.middle
        rotation = Rotation.random(rng=self.random).as_matrix()
        turned = replace(frames, positions=frames.positions @ rotation, cells=frames.cells @ rotation)
        yield from self.same("rotation", turned, middle.forces @ rotation, self.turning)
        whole = self.random.integers(-1, 2, size=(frames.n_atoms, 3)) * frames.pbc[frames.frame_of_atom]
        images = np.einsum("ai,aij->aj", whole, frames.cells[frames.frame_of_atom])
        moved = replace(frames, positions=frames.positions + self.random.normal(size=3) + images)
        yield from self.same("translation", moved, middle.forces, self.limit)
        order = np.argsort(frames.frame_of_atom + self.random.uniform(size=frames.n_atoms), kind="stable")
        mixed = replace(frames, positions=frames.positions[order], numbers=frames.numbers[order])
        yield from self.same("permutation", mixed, middle.forces[:, order], self.limit)
        yield from self.extensivity()

    def same(self, name: str, changed: Configurations, expected: NDArray[np.float64], limit: float) -> Iterator[Check]:
        """Changed frames have the same energies, and the expected forces."""
        frames, found = self.frames, self.potential.predict(changed, stress=False)
        energies = np.abs(found.energies - self.middle.energies).max(axis=0) / frames.counts
        what = f"the energy per atom under {name}"
        yield _worst(f"{name}_energy", what, energies, limit, "eV", np.arange(len(frames)))
        forces = np.abs(found.forces - expected).max(axis=(0, 2))
        yield _worst(f"{name}_forces", f"the force under {name}", forces, limit, "eV/Å", frames.frame_of_atom)

    def extensivity(self) -> Iterator[Check]:
        """Twice the frame is twice the energy: a supercell along a periodic direction, else a copy out of reach."""
        frames, middle = self.frames, self.middle
        doubled = Configurations.concatenate([_twice(frame, self.potential.cutoff) for frame in frames])
        found = self.potential.predict(doubled, stress=False)
        energies = np.abs(found.energies - 2 * middle.energies).max(axis=0) / (2 * frames.counts)
        what = "the energy per atom of twice the frame"
        yield _worst("extensivity_energy", what, energies, self.limit, "eV", np.arange(len(frames)))
        pairs = found.forces.reshape(len(found.forces), -1, 3)
        copies = np.concatenate([np.tile(np.arange(first, last), 2) for first, last in pairwise(frames.offsets)])
        forces = np.abs(pairs - middle.forces[:, copies]).max(axis=(0, 2))
        what = "the force in twice the frame"
        yield _worst("extensivity_forces", what, forces, self.limit, "eV/Å", frames.frame_of_atom[copies])


def _trials(
    potential: Potential, frames: Configurations, settings: AcceptanceSettings, random: np.random.Generator
) -> Iterator[Check]:
    double = potential if potential.dtype == "float64" else potential.as_float64()
    tried = potential if double is None else double
    middle = tried.predict(frames)
    rms = float(np.sqrt((middle.force**2).mean()))
    single = max(1e-3, settings.single_tolerance * rms)
    # The floor is for frames at rest, where forces are nothing but rounding.
    limit = single if double is None else settings.tolerance * max(rms, 1e-2)
    full = _full(frames)
    tension = limit * (float((frames.counts[full] / frames.volumes[full]).max()) if full.any() else 0.0)
    if double is not None and middle.stress is not None and full.any():
        tension = max(tension, settings.tolerance * float(np.sqrt((middle.stress[full] ** 2).mean())))
    turning = max(single, settings.learned_tolerance * rms) if tried.learns_rotations else limit
    # A potential of few frames can be so curved where it has none that only the shortest steps are straight.
    steps = (0.03, 0.01, 0.003) if double is None else (3e-4, 1e-3, 1e-4, 3e-5, 1e-5)
    trial = _Trial(tried, frames, middle, random, limit, tension, turning, steps)
    yield from trial.differences(settings.directions)
    yield from trial.symmetries()
    if double is not None and double is not potential:
        error = np.abs(potential.predict(frames).forces - middle.forces).max(axis=(0, 2))
        yield _worst("float32", "the force in float32 against float64", error, single, "eV/Å", frames.frame_of_atom)


def _worst(
    name: str, what: str, errors: NDArray[np.float64], limit: float, unit: str, frames: NDArray[np.int64]
) -> Check:
    """Make a check of the largest error; one that is not a number is the largest."""
    if not len(errors):
        return Check(name, what, 0.0, limit, unit, 0)
    worst = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    return Check(name, what, float(errors[worst]), limit, unit, int(frames[worst]))


def _full(frames: Configurations) -> NDArray[np.bool_]:
    return frames.pbc.all(axis=1) & (frames.volumes > 0)


def _sums(values: NDArray[np.float64], frames: Configurations) -> NDArray[np.float64]:
    """Sums over the atoms of each frame, ``(..., A)`` to ``(..., N)``; no frame is empty."""
    return np.add.reduceat(values, frames.offsets[:-1], axis=-1)


def _displaced(frames: Configurations, move: NDArray[np.float64], step: float) -> Configurations:
    return replace(frames, positions=frames.positions + step * move)


def _strained(frames: Configurations, strain: NDArray[np.float64], step: float) -> Configurations:
    deformation = np.eye(3) + step * strain
    return replace(frames, positions=frames.positions @ deformation, cells=frames.cells @ deformation)


def _twice(frame: Configurations, cutoff: float) -> Configurations:
    axis = int(np.argmax(frame.pbc[0]))
    cells = frame.cells.copy()
    if frame.pbc[0, axis]:
        shift = frame.cells[0, axis]
        cells[0, axis] *= 2
    else:
        shift = np.array([np.ptp(frame.positions[:, 0]) + 2 * cutoff + 10.0, 0.0, 0.0])
    return replace(
        frame,
        counts=frame.counts * 2,
        numbers=np.tile(frame.numbers, 2),
        positions=np.concatenate([frame.positions, frame.positions + shift]),
        cells=cells,
    )
