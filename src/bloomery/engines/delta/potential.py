"""A potential that is the sum of a baseline and a potential of another engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, Unpack

from bloomery.engines.delta.baseline import Baseline
from bloomery.errors import InputError
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Common, Details, Potential, load_potential, reference_energies
from bloomery.potentials.prediction import Prediction, zeros

DIFFERENCE_FOLDER = "difference"
REACH = 6.0
"""Å. What a baseline alone tells as its cutoff: nobody asks how far it reaches."""


class DeltaPotential(Potential):
    """Members share the baseline, and differ in what is added to it.

    Parameters
    ----------
    difference
        The potential of the difference. Its cutoff is told as that of the sum; the baseline may reach farther. Without
        one the potential is the baseline, with an energy for each element.
    """

    engine = "delta"
    above_reference = False
    takes_empty_frames = True
    own_entries = ("baseline",)

    def __init__(self, *, difference: Potential | None, baseline: Baseline, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        self.difference, self.baseline = difference, baseline
        self.members, self.cutoff, self.dtype = 1, REACH, "float64"
        if difference is not None:
            self.members, self.cutoff, self.dtype = difference.members, difference.cutoff, difference.dtype
            self.chunk_atoms, self.learns_rotations = difference.chunk_atoms, difference.learns_rotations
        if baseline.foundation.precision == "float32":
            self.dtype = "float32"

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Add both up."""
        found = self._atoms_alone(part) if self.difference is None else self.difference.predict(part, stress=stress)
        return self._with_baseline(found, part)

    def evaluate_mean(self, part: Configurations, *, stress: bool) -> Prediction:
        """Add both up, of the difference the mean of the members."""
        if self.difference is None:
            return self.evaluate(part, stress=stress)
        return self._with_baseline(self.difference.predict_mean(part, stress=stress), part)

    def _atoms_alone(self, part: Configurations) -> Prediction:
        _, forces, stresses = zeros(1, part)
        return Prediction(part.counts, reference_energies(part, self.energy_reference)[None], forces, stresses)

    def _with_baseline(self, found: Prediction, part: Configurations) -> Prediction:
        values = self.baseline.evaluate(part)
        return replace(
            found,
            energies=found.energies + values.energy,
            forces=found.forces + values.forces,
            stresses=None if found.stresses is None else found.stresses + values.stress,
        )

    def feature_name(self, element: str, feature: int) -> str:
        """Say what a feature of the difference's potential is."""
        if self.difference is None:
            return super().feature_name(element, feature)
        return self.difference.feature_name(element, feature)

    def as_float64(self) -> Self | None:
        """Return the sum with a difference in float64, unless the baseline is in float32."""
        if self.baseline.foundation.precision == "float32":
            return None
        if self.difference is None:
            return self
        precise = self.difference.as_float64()
        return None if precise is None else type(self)(difference=precise, baseline=self.baseline, **self.common)

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write the difference's potential into a folder of its own; the baseline is told, its weights are not kept."""
        if self.difference is not None:
            self.difference.save(folder / DIFFERENCE_FOLDER)
        return {"baseline": self.baseline.spec.model_dump(mode="json")}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read the difference's potential, and the baseline's weights where they are."""
        alone = common.get("details", Details()).get("settings", {}).get("engine", "") is None
        device = str(common.get("device", "cpu"))
        difference = None if alone else load_potential(folder / DIFFERENCE_FOLDER, device)
        try:
            baseline = Baseline(FoundationSpec.model_validate(content["baseline"]))
        except InputError as error:
            raise InputError(f"{folder}: its baseline cannot be had: {error}") from error
        return cls(difference=difference, baseline=baseline, **common)
