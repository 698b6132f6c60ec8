"""The labeller `calculator`: any ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from aiida_bloomery.campaign_file.labellers.contract import LabellerPart
from bloomery.errors import BloomeryError
from bloomery.quantities import Seconds
from bloomery.reference.calculators import CalculatorSpec

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

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> dict[str, Any]:
        """Inputs of the workchain."""
        settings = {"calculator": self.calculator.model_dump(), "frame_timeout_s": self.frame_timeout}
        return in_process_inputs("calculator", settings, self, campaign, code, entry)


def in_process_inputs(
    name: str, settings: dict[str, Any], part: LabellerPart, campaign: Campaign, code: Any, entry: Code
) -> dict[str, Any]:
    """Inputs of the workchains whose labeller runs in one process of `bloomery`."""
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    from aiida_bloomery.campaign_file.codes import job_options  # noqa: PLC0415

    given = {key: value for key, value in settings.items() if value is not None}
    overrides = {} if part.max_failed_share is None else {"max_failed_share": part.max_failed_share}
    workchain: Any = WorkflowFactory(f"bloomery.labelling.{name}")
    builder = workchain.builder_from_settings(
        code, given, None, campaign.file.protocol, overrides, job_options(entry, code)
    )
    return {port: builder[port] for port in ("code", "parameters", "max_failed_share", "options")}
