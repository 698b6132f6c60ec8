"""Infrared spectrum from a trajectory: how the dipole moves, or the current.

The absorption of an isotropic sample is the autocorrelation of the dipole's changes, ``<M'(0) . M'(t)>``; see
McQuarrie, Statistical Mechanics, chapter 21, and Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013). In a periodic
cell the dipole has branches, and its change has none: it is the current, ``sum_i Z_i v_i`` with the Born effective
charges. Areas are absorption coefficients in km/mol of whole frames, as programs print them for normal modes: for a
harmonic mode ``N_A / (12 eps0 c^2) |dM/dQ|^2``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.labels import Property
from bloomery.observables.averages.motion import Motion
from bloomery.observables.averages.spectra import Moving, Spectrum, changes_of
from bloomery.observables.intensities import KM_PER_MOL
from bloomery.papers import Paper


class Infrared(Spectrum):
    """Infrared absorption, from dipoles or Born effective charges along a trajectory."""

    name = "infrared"
    title = "Infrared spectrum"
    references = (
        *Spectrum.references,
        Paper("M. Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013)", "10.1039/C3CP44302G"),
    )
    properties = ("dipole", "born_effective_charges")
    unit = "km/mol"

    def moving(self, name: Property, values: NDArray[np.float64], motion: Motion) -> Moving:
        """Changes of the dipole, or the current, in e·Å/fs."""
        if name == "dipole":
            return {"infrared": changes_of(values, motion.interval)}
        length, n = motion.positions.shape[:2]
        velocities = changes_of(motion.positions, motion.interval).reshape(length - 2, n, 3)
        charges = values.reshape(length, n, 3, 3)[1:-1]
        return {"infrared": np.einsum("tnab,tnb->ta", charges, velocities)}

    def curves_of(self, powers: Mapping[str, NDArray[np.float64]]) -> Mapping[str, NDArray[np.float64]]:
        """The one there is."""
        return {"infrared": KM_PER_MOL * powers["infrared"]}
