"""Drop frames that no reference method should be asked about."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, insane
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, ForceInEV
from bloomery.selectors.contract import Picks, Pool, Selector


class SanitySettings(Settings):
    """Settings of the selector `sanity`."""

    min_distance: Angstrom = Field(default=0.0, ge=0)
    """No two atoms may be closer than this, in Å."""
    min_relative_distance: float = Field(default=0.6, ge=0, le=1)
    """No two atoms may be closer than this multiple of the sum of their covalent radii."""
    min_volume_per_atom: float | None = Field(default=None, gt=0)
    """In Å^3, of fully periodic frames."""
    max_volume_per_atom: float | None = Field(default=None, gt=0)
    """In Å^3, of fully periodic frames."""
    max_force: ForceInEV | None = Field(default=None, gt=0)
    """Largest force on an atom in eV/Å, of frames that have forces."""


class Sanity(Selector):
    """Keep frames that are finite, in a proper cell, without atoms that are too close."""

    name = "sanity"
    cleans = True
    Settings = SanitySettings
    settings: SanitySettings

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick every sane frame, in the order of the pool; all score the same."""
        limits = DistanceLimits(self.settings.min_distance, self.settings.min_relative_distance)
        offsets = pool.configurations.offsets
        atoms = map(slice, offsets[:-1], offsets[1:])
        found = [self._reason(pool.configurations, frame, own, limits) for frame, own in enumerate(atoms)]
        reasons = np.array(found, dtype=np.str_)
        return Picks.of(np.flatnonzero(reasons == ""), np.zeros(len(pool)), reasons)

    def _reason(self, frames: Configurations, frame: int, atoms: slice, limits: DistanceLimits) -> str:
        """Short text to count, of the first thing that is wrong."""
        settings, cell, pbc = self.settings, frames.cells[frame], frames.pbc[frame]
        reason = insane(frames.numbers[atoms], frames.positions[atoms], cell, pbc, limits)
        if reason:
            return "atoms too close" if reason.startswith("atoms") else reason
        if pbc.all():
            volume = abs(float(np.linalg.det(cell))) / frames.counts[frame]
            if settings.min_volume_per_atom is not None and volume < settings.min_volume_per_atom:
                return "volume too small"
            if settings.max_volume_per_atom is not None and volume > settings.max_volume_per_atom:
                return "volume too large"
        if settings.max_force is not None and "forces" in frames.labels:
            forces = frames.labels["forces"][atoms]  # zero where the frame has none
            if np.linalg.norm(forces, axis=1).max(initial=0.0) > settings.max_force:
                return "force too large"
        return ""
