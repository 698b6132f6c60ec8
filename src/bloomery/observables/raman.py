"""Raman spectrum from a trajectory: how the polarizability moves.

Isotropic and anisotropic activities are autocorrelations of the changes of a third of the trace, ``a``, and of the
traceless part, ``B``, of the polarizability: ``45 <a'(0) a'(t)>`` and ``7 (3/2) <Tr B'(0) B'(t)>``; see Thomas et al.,
Phys. Chem. Chem. Phys. 15, 6608 (2013). Areas are activities in Å^4/u of whole frames, as programs print them for
normal modes, ``45 a'^2 + 7 gamma'^2``. A spectrometer sees them times ``(nu_0 - nu)^4 / nu (1 - exp(-h c nu / kT))``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.labels import Property
from bloomery.observables.averages.motion import Motion
from bloomery.observables.averages.spectra import Moving, Spectrum, changes_of
from bloomery.papers import Paper


class Raman(Spectrum):
    """Raman activity, isotropic and anisotropic, from polarizabilities along a trajectory."""

    name = "raman"
    title = "Raman spectrum"
    references = (
        *Spectrum.references,
        Paper("M. Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013)", "10.1039/C3CP44302G"),
    )
    properties = ("polarizability",)
    unit = "Å^4/u"

    def moving(self, name: Property, values: NDArray[np.float64], motion: Motion) -> Moving:  # noqa: ARG002
        """Changes of the mean polarizability, and of what differs from it, in Å^3/fs."""
        mean = np.trace(values, axis1=1, axis2=2) / 3
        traceless = values - mean[:, None, None] * np.eye(3)
        return {
            "isotropic": changes_of(mean, motion.interval),
            "anisotropic": changes_of(traceless, motion.interval),
        }

    def curves_of(self, powers: Mapping[str, NDArray[np.float64]]) -> Mapping[str, NDArray[np.float64]]:
        """Both parts as they count, and their sum."""
        isotropic, anisotropic = 45 * powers["isotropic"], 7 * 1.5 * powers["anisotropic"]
        return {"raman": isotropic + anisotropic, "isotropic": isotropic, "anisotropic": anisotropic}
