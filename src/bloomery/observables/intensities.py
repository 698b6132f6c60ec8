"""What light sees of a vibration, from how dipole and polarizability change along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import constants

KM_PER_MOL = constants.N_A * constants.e**2 / (12 * constants.epsilon_0 * constants.c**2 * constants.atomic_mass) / 1000
"""What ``e^2/u`` is in km/mol: an absorption coefficient is ``N_A / (12 eps0 c^2) |dM/dQ|^2``."""


def infrared_intensity(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absorption in km/mol from changes of the dipole with mass-weighted modes, ``(..., 3)`` in e/u^(1/2)."""
    return np.asarray(KM_PER_MOL * (slopes**2).sum(axis=-1))


def raman_activity(slopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Activity in Å^4/u from changes of the polarizability with mass-weighted modes, ``(..., 3, 3)`` in Å^2/u^(1/2).

    ``45 a'^2 + 7 gamma'^2`` with ``gamma'^2 = (3/2) Tr B'^2`` of the traceless part ``B``; see D. A. Long, The Raman
    Effect (2002).
    """
    means = np.trace(slopes, axis1=-2, axis2=-1) / 3
    traceless = slopes - means[..., None, None] * np.eye(3)
    return np.asarray(45 * means**2 + 7 * 1.5 * (traceless**2).sum(axis=(-2, -1)))
