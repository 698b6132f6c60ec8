"""What a potential, or a model of a property, says of a frame, in one number: disagreements, variances, energies."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.progress import Progress
from bloomery.properties.contract import FittedProperty

Quantity = Literal["forces", "energy", "stress", "energy_sigma", "extrapolation", "predicted_energy", "property"]


class Measure(NamedTuple):
    """One number for each frame."""

    quantity: Quantity
    """``forces``: disagreement of the atoms' forces in eV/Å; ``energy``: of the energy in eV/atom; ``stress``: root
    mean square over the components of the stress' in GPa; ``energy_sigma``: the engine's own predictive standard
    deviation of the energy in eV/atom; ``extrapolation``: how far atoms are outside of the ranges of the potential's
    features, in widths of these; ``predicted_energy`` in eV/atom; ``property``: standard error of a component of a
    property, in its unit."""
    over_atoms: Literal["max", "mean", "rms"] | float = "max"
    """Of quantities that atoms have: their ``max``, ``mean`` or ``rms``, or the quantile of this level."""
    property: str = ""
    """Which property; a model of it is asked, and not the potential."""

    def of(self, prediction: Prediction) -> NDArray[np.float64]:
        """Measure predicted frames, ``(N,)``; raise `InputError` if the potential does not tell."""
        counts = np.maximum(prediction.counts, 1)
        if self.quantity == "predicted_energy":
            return prediction.energy / counts
        if self.quantity == "energy":
            return prediction.energy_disagreement / counts
        if self.quantity == "energy_sigma":
            return _told(prediction.energy_sigma, "predictive variance of energies") / counts
        if self.quantity == "stress":
            stresses = _told(prediction.stresses, "stresses")
            spread = stresses.std(axis=0, ddof=1) if len(stresses) > 1 else np.zeros(stresses.shape[1:])
            return np.sqrt((spread**2).mean(axis=1)) / units.GPa
        if self.quantity == "extrapolation":
            return self._over_atoms(_told(prediction.extrapolation, "ranges of its features"), prediction.counts)
        return self._over_atoms(prediction.atom_disagreement, prediction.counts)

    def of_model(self, fitted: FittedProperty, frames: Configurations) -> NDArray[np.float64]:
        """Ask a model of the property, ``(N,)``."""
        sigma = fitted.predict(frames).sigma
        return sigma if LABELS[fitted.name].per == "frame" else self._over_atoms(sigma, frames.counts)

    def _over_atoms(self, values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Reduce values of atoms to frames; zero for a frame without atoms."""
        parts = np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []
        return np.array([self._reduce(part) if len(part) else 0.0 for part in parts], dtype=float)

    def _reduce(self, values: NDArray[np.float64]) -> float:
        match self.over_atoms:
            case "max":
                return float(values.max())
            case "mean":
                return float(values.mean())
            case "rms":
                return float(np.sqrt((values**2).mean()))
            case level:
                return float(np.quantile(values, level))


def measure(
    potential: Potential, frames: Configurations, measures: frozenset[Measure], *, chunk_atoms: int, progress: Progress
) -> dict[Measure, NDArray[np.float64]]:
    """Measure frames, ``(N,)`` each; the potential sees about ``chunk_atoms`` atoms at a time, one frame at least.

    It is an `InputError` if the potential does not know an element, or does not tell what is asked for.
    """
    if sentence := potential.unknown_element(frames):
        raise InputError(f"select: {sentence}")
    stress = any(wanted.quantity == "stress" for wanted in measures)
    found: dict[Measure, list[NDArray[np.float64]]] = {wanted: [np.zeros(0)] for wanted in measures}
    for start, end in chunks(frames.counts, chunk_atoms):
        prediction = potential.predict(frames[start:end], stress=stress)
        for wanted, parts in found.items():
            parts.append(wanted.of(prediction))
        progress("predict", end, len(frames), {})
    return {wanted: np.concatenate(parts) for wanted, parts in found.items()}


def _told(values: NDArray[np.float64] | None, what: str) -> NDArray[np.float64]:
    if values is None:
        raise InputError(f"select: the potential knows no {what}, which a selector asks for; leave that selector out.")
    return values
