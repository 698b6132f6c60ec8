"""The labeller `calculator`: any ASE calculator."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import DEFAULT_CODE, entry_of
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from bloomery.frames.labels import Property
from bloomery.labellers.calculator import require_properties
from bloomery.quantities import Seconds
from bloomery.reference.calculators import CalculatorSpec


class Part(InProcessPart):
    """Labels from an ASE calculator, many frames in one job."""

    calculator: CalculatorSpec
    """Its name (``emt``, ``stillinger_weber``, ``module:Class``), or its name and arguments."""
    frame_timeout: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after this time, in s; by default never."""

    properties: tuple[Property, ...] = ()
    """Properties beyond the energy that frames are labelled with too, such as ``[dipole, charges]``."""

    def check(self, campaign: Campaign) -> None:
        """See that the calculator can be made, and knows elements and states, unless it is elsewhere."""
        if self._elsewhere(campaign):
            return
        with campaign.source.at(campaign.labeller_key("calculator")):
            self.calculator.check(campaign.structures.elements)
            for name, frames in campaign.named_frames:
                self.calculator.check_frames(frames, f"{name}: ")
        with campaign.source.at(campaign.labeller_key("properties")):
            require_properties(self.calculator, self.properties)

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Say that a calculator was not seen."""
        where = campaign.labeller_words
        if code := self._elsewhere(campaign):
            package = self.calculator.name.partition(":")[0]
            yield f"{where}: {package} is not installed here, so nothing of it is seen; {code} needs it."

    def _elsewhere(self, campaign: Campaign) -> str | None:
        """The code that labels, if the file names one and the calculator is not in this environment."""
        code = entry_of(campaign, self.code_key()).code
        return None if self.calculator.is_installed or code == DEFAULT_CODE else code

    def labeller_settings(self) -> dict[str, object]:
        """All that it shares, by the names that it has there."""
        timeout = {} if self.frame_timeout is None else {"frame_timeout_s": self.frame_timeout}
        properties = {"properties": list(self.properties)} if self.properties else {}
        return {"calculator": self.calculator.model_dump(), **timeout, **properties}
