"""Whether labels that somebody brings are of the method that labels: some frames are labelled again and compared.

Energies are compared after a least-squares shift for each element, since programs, pseudopotentials and authors differ
in what they count energies from; forces and stresses as they are. The limits are such that PBE and LDA are told apart:
on silicon of RMS force 4.1 eV/Å pw.x gives 57 meV/Å and 5.9 meV/atom between both, and 225 meV/Å and 16 meV/atom
between a mesh of 2x2x2 k-points at 24 Ry and one of 3x3x3 at 30 Ry. What is one method, with settings that are
converged, is far below.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import units
from numpy.typing import NDArray
from pydantic import Field

from bloomery.campaign.validation import Part
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import composition, fit_energy_reference
from bloomery.statistics import MILLI

FORCES_SHARE, FORCES_LEAST = 0.01, 0.01
"""Forces may differ by this share of their root mean square, and by so many eV/Å at least."""
ENERGY_SHARE, ENERGY_LEAST = 0.005, 0.001
"""Energies may differ, after the shift, by this share of how far they spread, and by so many eV/atom at least."""
STRESS_SHARE, STRESS_LEAST = 0.04, 0.3
"""Stresses may differ by this share of their root mean square, and by so many GPa at least."""
NO_SHIFT = 0.001
"""A shift of energies below so many eV/atom in every frame is none."""
NEAR_FACTOR = 0.03
"""A factor is that of a unit if it is this near, relative to it."""
UNITS = {
    "Ha/bohr": units.Ha / units.Bohr,
    "Ry/bohr": units.Ry / units.Bohr,
    "Ha/Å": units.Ha,
    "Ry/Å": units.Ry,
    "eV/bohr": 1 / units.Bohr,
    "kcal/mol/Å": units.kcal / units.mol,
    "kJ/mol/Å": units.kJ / units.mol,
    "meV/Å": MILLI**-1,
    "the opposite sign": -1.0,
}
"""What forces may have been left in: how many eV/Å one is."""


class Compared(Part):
    """Labels of frames that were labelled again beside those that they came with."""

    n_frames: int = 0
    forces: float | None = None
    """Root mean square difference of the components in eV/Å; ``forces_rms`` is that of the new ones."""
    forces_rms: float | None = None
    factor: float | None = None
    """By which the forces that came have to be multiplied to be nearest to the new ones."""
    energy: float | None = None
    """Root mean square difference in eV/atom after the shift; ``None`` where the shift explains anything."""
    energy_spread: float | None = None
    """How far the new energies spread, in eV/atom, after such a shift of their own."""
    shift: dict[str, float] = Field(default={})
    """What is added to the energies that came, in eV for each atom of an element; empty if nothing need be."""
    shift_is_known: bool = True
    """Whether these frames determine it for all frames that came."""
    stress: float | None = None
    """Root mean square difference of the components in GPa; ``stress_rms`` is that of the new ones."""
    stress_rms: float | None = None

    @property
    def told(self) -> str:
        """What came of it, in a few words."""
        parts = []
        if self.forces is not None:
            parts.append(f"forces within {self.forces * MILLI:.3g} meV/Å")
        if self.energy is not None:
            parts.append(f"energies within {self.energy * MILLI:.3g} meV/atom")
        if self.shift:
            moved = ", ".join(f"{value:+.6g} eV for {element}" for element, value in self.shift.items())
            parts.append(f"energies moved by {moved}")
        return f"{self.n_frames} of them labelled again as a check: {', '.join(parts)}"

    def mistakes(self) -> Iterator[str]:
        """Say what does not fit, with its numbers, and what it may be; nothing where all does."""
        if _beyond_limit(self.forces, FORCES_LEAST, FORCES_SHARE, self.forces_rms):
            rms, difference = (f"{(value or 0) * MILLI:.4g} meV/Å" for value in (self.forces_rms, self.forces))
            yield f"forces differ by {difference} where their RMS is {rms}{_told_factor(self.factor)}"
        if _beyond_limit(self.energy, ENERGY_LEAST, ENERGY_SHARE, self.energy_spread):
            yield f"energies differ by {(self.energy or 0) * MILLI:.4g} meV/atom after a shift for each element"
        if _beyond_limit(self.stress, STRESS_LEAST, STRESS_SHARE, self.stress_rms):
            yield f"stresses differ by {self.stress:.3g} GPa where their RMS is {self.stress_rms:.3g} GPa"
        if self.shift and not self.shift_is_known:
            yield "energies are counted from elsewhere, and the frames that were labelled again do not tell from where"


def _beyond_limit(difference: float | None, least: float, share: float, size: float | None) -> bool:
    """Whether a difference is more than is allowed, for values of a size; not, if nothing is known of it."""
    return difference is not None and difference > max(least, share * (size or 0.0))


def _told_factor(factor: float | None) -> str:
    """Name the factor between both, and the unit or sign that it is, if it is one."""
    if factor is None or abs(factor - 1) < NEAR_FACTOR:
        return ""
    found = next((name for name, size in UNITS.items() if abs(factor / size - 1) < NEAR_FACTOR), None)
    hint = "" if found is None else f", as of {found}" if found.startswith("the ") else f", as from {found} to eV/Å"
    return f" (a factor of {factor:.4g}{hint})"


def compare(given: Configurations, again: Configurations, whole: Configurations) -> Compared:
    """Compare frames as they came with the same frames labelled again, in the same order.

    Parameters
    ----------
    whole
        All frames that came with them: the energies of each must follow from the shift that is found.
    """
    found: dict[str, object] = {"n_frames": len(given)}
    for name, unit in (("forces", 1.0), ("stress", units.GPa)):
        old, new = _both(given, again, name)
        if len(new):
            found[name], found[f"{name}_rms"] = _rms(new - old) / unit, _rms(new) / unit
            if name == "forces" and old.any():
                found["factor"] = float((old * new).sum() / (old**2).sum())
    return Compared.model_validate(found | _energies(given, again, whole))


def _both(given: Configurations, again: Configurations, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of a label in both, of frames that have it in both."""
    frames = given.has(name) & again.has(name)
    rows = frames[given.frames_of(name)]
    return given.label(name)[0][rows], again.label(name)[0][rows]


def _energies(given: Configurations, again: Configurations, whole: Configurations) -> dict[str, object]:
    """What `Compared` says of energies."""
    chosen = np.flatnonzero(given.has("energy") & again.has("energy") & (given.counts > 0))
    if not len(chosen):
        return {}
    frames, labelled = given[chosen], again[chosen]
    off = frames.with_labels(energy=labelled.label("energy")[0] - frames.label("energy")[0])
    shift = fit_energy_reference(off)
    shares = composition(frames, frames.elements) / frames.counts[:, None]
    rank = int(np.linalg.matrix_rank(shares, tol=1e-6))
    found: dict[str, object] = {}
    if len(chosen) > rank:
        found["energy"] = _beyond(off, rank)
        found["energy_spread"] = _beyond(labelled, rank)
    if np.abs(shares @ np.array([shift[element] for element in frames.elements])).max() > NO_SHIFT:
        all_shares = composition(whole, frames.elements) / np.maximum(whole.counts, 1)[:, None]
        foreign = set(whole.elements) - set(frames.elements)
        together = int(np.linalg.matrix_rank(np.concatenate([shares, np.unique(all_shares, axis=0)]), tol=1e-6))
        found |= {"shift": shift, "shift_is_known": not foreign and together == rank}
    return found


def _beyond(frames: Configurations, rank: int) -> float:
    """Root mean square of the energies in eV/atom beyond what a shift for each element explains."""
    reference = fit_energy_reference(frames)
    counts = composition(frames, frames.elements)
    rest = frames.label("energy")[0] - counts @ np.array([reference[element] for element in frames.elements])
    return float(np.sqrt(((rest / frames.counts) ** 2).sum() / (len(frames) - rank)))


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))
