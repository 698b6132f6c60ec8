"""The labeller `calculator`: any ASE calculator."""

from __future__ import annotations

from pydantic import Field

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from bloomery.quantities import Seconds
from bloomery.reference.calculators import CalculatorSpec


class Part(InProcessPart):
    """Labels from an ASE calculator, many frames in one job."""

    calculator: CalculatorSpec
    """Its name (``emt``, ``stillinger_weber``, ``module:Class``), or its name and arguments."""
    frame_timeout: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after this time, in s; by default never."""

    def check(self, campaign: Campaign) -> None:
        """See that the calculator can be made, and knows the elements."""
        with campaign.source.at(campaign.labeller_key("calculator")):
            self.calculator.check(campaign.structures.elements)

    def labeller_settings(self) -> dict[str, object]:
        """All that it shares, by the names that it has there."""
        timeout = {} if self.frame_timeout is None else {"frame_timeout_s": self.frame_timeout}
        return {"calculator": self.calculator.model_dump(), **timeout}
