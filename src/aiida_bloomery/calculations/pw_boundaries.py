"""What is done for pw.x where a frame is not periodic. Nothing of AiiDA is imported."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.boxes import Boxes
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom


class Boundaries(Settings):
    """What is done where a frame is not periodic."""

    vacuum: Angstrom = Field(default=6.0, ge=3)
    """Empty space on either side, in Å, 3 at least. A cell vector that the frame has is kept if it leaves half as much
    in all."""
    molecules: Literal["martyna-tuckerman", "makov-payne", "none"] = "martyna-tuckerman"
    """What corrects for the images of molecules: Martyna and Tuckerman, J. Chem. Phys. 110, 2810 (1999); Makov and
    Payne, Phys. Rev. B 51, 4014 (1995), the term of the charge, in a cube; or nothing."""
    slabs: Literal["none", "dipole", "2D"] = "none"
    """For slabs: nothing; a dipole in the vacuum, Bengtsson, Phys. Rev. B 59, 12301 (1999); or an interaction that is
    cut off, Sohier, Calandra and Mauri, Phys. Rev. B 96, 075448 (2017)."""

    def boxes(self, pbc: NDArray[np.bool_]) -> Boxes:
        """How frames of such a periodicity get their box."""
        molecule, slab = not pbc.any(), pbc.sum() == 2
        twice = (molecule and self.molecules == "martyna-tuckerman") or (slab and self.slabs == "2D")
        return Boxes(self.vacuum, twice=bool(twice), cubic=self.molecules == "makov-payne")


def not_for_2d(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> str | None:
    """Return one sentence, without an end, if a slab does not lie as ``assume_isolated: 2D`` of pw.x wants it."""
    if pbc.tolist() == [True, True, False] and np.abs(cell[:2, 2]).max() < 1e-6:
        return None
    return (
        "slabs: 2D needs the surface in the plane of x and y, and the vacuum along the third cell vector; turn the "
        "slab, or choose dipole"
    )
