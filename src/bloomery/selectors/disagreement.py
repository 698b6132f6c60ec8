"""Keep frames on which the committee disagrees, but not so much that the frame itself must be absurd.

Query by committee (Seung, Opper and Sompolinsky, COLT 1992) with two bounds, as in Zhang et al., Phys. Rev. Materials
3, 023804 (2019). Bounds relative to errors found so far follow the potential as it improves. Expected errors are
disagreements times a factor that labelled frames have shown (Imbalzano et al., J. Chem. Phys. 154, 074102 (2021)).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.papers import SCHRAN_2020
from bloomery.potentials.scale import Scale
from bloomery.quantities import ForceInEV
from bloomery.selectors.contract import Pool
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import Window, WindowSettings, measured


class DisagreementSettings(WindowSettings):
    """Settings of the selector `disagreement`."""

    over_atoms: Literal["max", "mean", "rms"] | Annotated[float, Field(ge=0, le=1)] = "max"
    """Which number of a frame's atoms counts: the largest, the mean, the root mean square, or a quantile by its level,
    such as 0.9. Of all but the largest the potential is asked anew."""
    lower: ForceInEV | None = Field(default=None, ge=0)
    """Keep frames with a disagreement of at least this, in eV/Å."""
    upper: ForceInEV | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in eV/Å."""
    relative_lower: float | None = Field(default=None, ge=0)
    """Lower bound as a multiple of the potential's force error on the probe; of several the highest counts."""
    relative_upper: float | None = Field(default=None, gt=0)
    """Upper bound as a multiple of the potential's force error on the probe; of several the lowest counts."""
    expected_error: ForceInEV | None = Field(default=None, ge=0)
    """Keep frames that are expected to be wrong by at least this, in eV/Å per force component: the disagreement times
    the calibration factor of the potential. Before the first calibration the disagreement is taken as it is, and the
    funnel says so."""
    max_expected_error: ForceInEV | None = Field(default=None, gt=0)
    """Keep frames that are expected to be wrong by at most this, in eV/Å."""

    @model_validator(mode="after")
    def _window(self) -> Self:
        for lower, upper in (
            (self.lower, self.upper),
            (self.relative_lower, self.relative_upper),
            (self.expected_error, self.max_expected_error),
        ):
            if lower is not None and upper is not None and lower >= upper:
                raise ValueError(f"the lower bound {lower:g} must be below the upper bound {upper:g}")
        return self


class Disagreement(Window):
    """Keep a window of the disagreement of a frame's forces."""

    name = "disagreement"
    references = (SCHRAN_2020,)
    Settings = DisagreementSettings
    settings: DisagreementSettings

    @property
    def needs_disagreement(self) -> bool:
        """The largest, which samplers may have found already."""
        return self.settings.over_atoms == "max"

    @property
    def measures(self) -> frozenset[Measure]:
        """Any other number of the atoms."""
        return frozenset() if self.needs_disagreement else frozenset({Measure("forces", self.settings.over_atoms)})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """Disagreement in eV/Å."""
        if not self.needs_disagreement:
            return measured(pool, Measure("forces", self.settings.over_atoms), self.name)
        if pool.disagreement is None:
            raise InputError("disagreement: the disagreement of the pool is not known; give a potential.")
        return pool.disagreement

    def remark(self, pool: Pool) -> str:
        """Say if an expected error is none yet."""
        expects = self.settings.expected_error is not None or self.settings.max_expected_error is not None
        calibrated = pool.scale is not None and pool.scale.is_calibrated
        return ", not calibrated yet" if expects and not calibrated else ""

    def window(self, pool: Pool) -> tuple[float, float]:
        """Bounds in eV/Å."""
        settings, scale = self.settings, pool.scale or Scale()
        relative = settings.relative_lower is not None or settings.relative_upper is not None
        if relative and scale.error is None:
            raise InputError(
                "disagreement: the potential's force error on the probe is not known, so there is nothing that "
                "relative bounds are relative to; give lower and upper in eV/Å."
            )
        error = scale.error or 0.0
        lowers = (settings.lower, _times(settings.relative_lower, error), _without(settings.expected_error, scale))
        uppers = (settings.upper, _times(settings.relative_upper, error), _without(settings.max_expected_error, scale))
        return (
            max((bound for bound in lowers if bound is not None), default=0.0),
            min((bound for bound in uppers if bound is not None), default=np.inf),
        )


def _times(bound: float | None, error: float) -> float | None:
    return None if bound is None else bound * error


def _without(expected: float | None, scale: Scale) -> float | None:
    return None if expected is None else scale.disagreement(expected)
