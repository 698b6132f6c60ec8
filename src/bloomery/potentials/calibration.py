"""How far a disagreement can be taken for an error: scale factors, and how often errors stay within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction

LEVELS = (0.5, 0.68, 0.9, 0.95)
NEGLIGIBLE = 1e-3
"""Share of a large sigma below which another one says nothing."""
FEWEST = 3
"""Energies, or atoms that feel a force, that a factor is taken from at least."""
FELT = 1e-4
"""eV/Å. Forces up to this are what is left of zero."""
LARGE = 0.9
"""Share of the sigmas that a large one is larger than."""


@dataclass(frozen=True)
class Calibration:
    """Factors that turn disagreements into standard errors, and the number of values they come from."""

    energy: float | None
    """What to multiply the disagreement of energies by; ``None`` where too few frames had the label."""
    force: float | None
    n_energies: int
    n_forces: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain values."""
        return dict(vars(self))


def scale_factor(errors: ArrayLike, sigmas: ArrayLike, members: int | None = None, components: int = 1) -> float:
    """Return the factor that turns sigmas into standard errors.

    - For an engine's own ``sigma``, the factor that makes errors most likely under normal distributions of width
      ``factor * sigma``: ``factor^2 = <(error / sigma)^2>``.
    - The ``sigma`` of a committee is itself uncertain, with ``f = components (M - 1)`` degrees of freedom. If reference
      and members scatter about the same mean with widths ``factor * s`` and ``s``, then ``error / sigma`` follows
      Student's t distribution with ``f`` degrees of freedom, stretched by the root of ``factor^2 + 1/M``. The estimate
      without bias is ``factor^2 = -1/M + (f - 2)/f <(error / sigma)^2>``, which for one component is
      ``-1/M + (M - 3)/(M - 1) <(error / sigma)^2>`` (Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), equation 9).
    - That estimate has a finite variance for ``f > 4`` only: for one component, more than five members. With fewer, a
      few frames on which all happen to agree decide it, and the stretch that makes the errors most likely is taken.

    Values whose ``sigma`` is `negligible` beside the others say nothing and are left out: on an atom of a perfect
    crystal members agree to the last digits, and the ratio of two rounding errors would rule the mean.

    Parameters
    ----------
    members
        Size of the committee, ``M``; ``None`` for an engine's own ``sigma``.
    components
        Of how many independent components, one error each, a ``sigma`` is the root mean square.

    Raises
    ------
    InputError
        If no ``sigma`` is above zero.
    """
    error, sigma = np.asarray(errors, dtype=float).ravel(), np.asarray(sigmas, dtype=float).ravel()
    if not (sigma > 0).any():
        raise InputError("calibration: no disagreement is above zero, so nothing can be scaled; use a committee.")
    known = sigma > negligible(sigma)
    squares = (error[known] / sigma[known]) ** 2
    if members is None:
        return float(np.sqrt(squares.mean()))
    freedom = components * (members - 1)
    stretch = (freedom - 2) / freedom * float(squares.mean()) if freedom > 4 else _student_stretch(squares, freedom)
    return float(np.sqrt(max(stretch - 1 / members, 0.0)))


def negligible(sigmas: ArrayLike) -> float:
    """Size up to which one of several sigmas is next to nothing: a thousandth of their 90th percentile."""
    values = np.asarray(sigmas, dtype=float)
    return NEGLIGIBLE * float(np.quantile(values, LARGE)) if values.size else 0.0


def _student_stretch(squares: NDArray[np.float64], freedom: int) -> float:
    """Square of the width of a Student distribution that makes values of these squares most likely.

    By expectation maximisation (Liu and Rubin, Stat. Sin. 5, 19 (1995)), which never overshoots.
    """
    stretch = float(np.median(squares)) or float(squares.mean())
    for _ in range(500):
        if stretch <= 0:
            return 0.0
        better = float(((freedom + 1) / (freedom + squares / stretch) * squares).mean())
        if abs(better - stretch) <= 1e-10 * stretch:
            return better
        stretch = better
    return stretch


def coverage(errors: ArrayLike, sigmas: ArrayLike, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Share of errors within the bounds that a normal distribution of width ``sigma`` would keep to at each level."""
    error, sigma = np.abs(np.asarray(errors, dtype=float)).ravel(), np.asarray(sigmas, dtype=float).ravel()
    return {level: float((error <= ndtri(0.5 + level / 2) * sigma).mean()) for level in levels}


def calibrate(prediction: Prediction, configurations: Configurations) -> Calibration:
    """Fit the scale factors to labelled frames that the potential has not seen (the role calibration).

    There is none from fewer than `FEWEST` energies, or atoms that feel a force, which by symmetry all may not; and none
    where errors are so small beside the disagreement that it would be zero.
    """
    energies, has_energy = configurations.label("energy")
    forces, has_forces = configurations.label("forces")
    atoms = has_forces[configurations.frame_of_atom]
    felt = int((np.linalg.norm(forces[atoms], axis=1) > FELT).sum())
    return Calibration(
        energy=_factor(
            (prediction.energy - energies)[has_energy],
            prediction.energy_disagreement[has_energy],
            prediction.members if prediction.energy_sigma is None else None,
        )
        if has_energy.sum() >= FEWEST
        else None,
        force=_factor(
            (prediction.force - forces)[atoms],
            np.repeat(prediction.atom_disagreement[atoms, None], 3, axis=1),
            prediction.members if prediction.force_sigma is None else None,
            components=3,
        )
        if felt >= FEWEST
        else None,
        n_energies=int(has_energy.sum()),
        n_forces=3 * int(atoms.sum()),
    )


def _factor(
    errors: NDArray[np.float64], sigmas: NDArray[np.float64], members: int | None, components: int = 1
) -> float | None:
    return (scale_factor(errors, sigmas, members, components) or None) if (sigmas > 0).any() else None
