"""What a baseline says of frames: a foundation, evaluated frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.foundations.contract import Facts, Foundation, FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.reference.calculators import reference_values


@dataclass(frozen=True)
class Values:
    """Energies in eV ``(N,)``, forces in eV/Å ``(A, 3)`` and stresses in eV/Å^3 ``(N, 6)``, zero without full cell."""

    energy: NDArray[np.float64]
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


class Baseline:
    """A foundation that has been read."""

    facts: Facts
    """What is known of it."""
    spec: FoundationSpec
    """Its name and settings, with the digest of the weights."""

    def __init__(self, spec: FoundationSpec) -> None:
        self.foundation: Foundation = spec.foundation()
        self._made, self.facts = self.foundation.read()
        settings = dict(spec.settings)
        if self.facts.digest and "digest" in type(self.foundation.settings).model_fields:
            settings["digest"] = self.facts.digest
        self.spec = FoundationSpec(name=spec.name, settings=settings)

    def evaluate(self, frames: Configurations, told: Callable[[int], None] = lambda _: None) -> Values:
        """Evaluate all frames; an empty one has no energy.

        Parameters
        ----------
        told
            Is called with the number of frames that are done.

        Raises
        ------
        InputError
            If an element is not covered, or the model fails for a frame, which is named.
        """
        self.foundation.refuse(frames.elements, self.facts.elements)
        n = len(frames)
        found = Values(np.zeros(n), np.zeros((frames.n_atoms, 3)), np.zeros((n, 6)))
        full, offsets = frames.pbc.all(axis=1) & (frames.volumes > 0), frames.offsets
        for frame, atoms in enumerate(frames.without_labels().to_atoms()):
            if len(atoms):
                atoms.calc = self.foundation.calculator_for(self._made, frames.state_of(frame))
                try:
                    values = reference_values(atoms)
                except Exception as error:
                    raise InputError(
                        f"frame {frame}: the baseline {self.foundation.name} ({self.foundation.model}) fails "
                        f"({type(error).__name__}: {error}); leave the frame out, or take another baseline."
                    ) from error
                if full[frame] and "stress" not in values:
                    raise InputError(
                        f"frame {frame}: is periodic, and the baseline {self.foundation.name} "
                        f"({self.foundation.model}) computes no stress; take one that does."
                    )
                found.energy[frame] = values["energy"]
                found.forces[offsets[frame] : offsets[frame + 1]] = values["forces"]
                found.stress[frame] = values["stress"] if full[frame] else 0.0
            told(frame + 1)
        return found
