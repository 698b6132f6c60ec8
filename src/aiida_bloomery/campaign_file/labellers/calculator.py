"""The labeller `calculator`: any ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from aiida_bloomery.campaign_file.labellers.contract import LabellerPart
from bloomery.calculators import CalculatorSpec
from bloomery.errors import BloomeryError
from bloomery.quantities import Seconds

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file.model import Code
    from aiida_bloomery.campaign_file.resolve import Campaign


class Part(LabellerPart):
    """Labels from an ASE calculator, many frames in one job."""

    code_key: ClassVar[str] = "label"

    calculator: CalculatorSpec
    """Its name (``emt``, ``stillinger_weber``, ``module:Class``), or its name and arguments."""
    frame_timeout: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after this time, in s; by default never."""

    def check(self, campaign: Campaign) -> None:
        """See that the calculator can be made."""
        try:
            self.calculator.make()
        except BloomeryError as error:
            raise campaign.source.error(("labelling", "calculator", "calculator"), str(error)) from error

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> dict[str, Any]:  # noqa: ARG002
        """Inputs of the workchain."""
        settings = {"calculator": self.calculator.model_dump(), "frame_timeout_s": self.frame_timeout}
        return labeller_inputs("calculator", settings, self, code, entry)


def labeller_inputs(name: str, settings: dict[str, Any], part: LabellerPart, code: Any, entry: Code) -> dict[str, Any]:
    """Inputs that labellers in one process share."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.campaign_file.codes import job_options  # noqa: PLC0415

    given = {key: value for key, value in settings.items() if value is not None}
    inputs = {
        "code": code,
        "parameters": orm.Dict({"labeller": {"name": name, "settings": given}}),
        "options": orm.Dict(job_options(entry, code)),
    }
    if part.max_failed_share is not None:
        inputs["max_failed_share"] = orm.Float(part.max_failed_share)
    return inputs
