"""The errors on the probe that a campaign can be told to bring down: where they stand, their units and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from bloomery.plugins import Settings
from bloomery.quantities import Unit

Quantity = Literal["energy", "forces", "stress"]
Compared = Literal["forces", "energy"]


@dataclass(frozen=True)
class Target:
    """An error that can be a target."""

    quantity: Quantity
    """Where it stands in a summary of errors."""
    statistic: Literal["rmse", "relative_rmse"]
    """Where it stands there."""
    unit: str
    """Of the error; ``1`` for a share of the root mean square force."""
    words: str
    """What texts call it."""
    short: str
    """The same where there is little room."""

    @property
    def is_share(self) -> bool:
        """Whether it is relative to the forces."""
        return self.unit == "1"

    @property
    def measure(self) -> str:
        """What follows its value in a sentence."""
        return "of the forces" if self.is_share else self.unit


TARGETS: dict[str, Target] = {
    "energy": Target("energy", "rmse", "meV/atom", "energy RMSE", "energy"),
    "forces": Target("forces", "rmse", "meV/Å", "force RMSE", "force"),
    "relative_forces": Target("forces", "relative_rmse", "1", "force RMSE relative to the RMS force", "force"),
    "stress": Target("stress", "rmse", "GPa", "stress RMSE", "stress"),
}
"""By the name that stop rules know them by."""
COMPARED: tuple[Compared, ...] = ("forces", "energy")
"""What learning curves are drawn of and potentials are compared by; forces first, where there are any."""


class ErrorLimits(Settings):
    """Limits on errors on the probe. What counts is the upper bound of each error's 95 % interval."""

    energy: Annotated[float, Unit("meV/atom"), Field(gt=0)] | None = None
    """RMSE of the energy, in meV/atom."""
    forces: Annotated[float, Unit("meV/Å"), Field(gt=0)] | None = None
    """RMSE of the force components, in meV/Å."""
    relative_forces: Annotated[float, Unit("1"), Field(gt=0, lt=1)] | None = None
    """RMSE of the force components as a share of their root mean square."""
    stress: Annotated[float, Unit("GPa"), Field(gt=0)] | None = None
    """RMSE of the stress components, in GPa."""

    @property
    def given(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: limit for name in TARGETS if (limit := getattr(self, name)) is not None}
