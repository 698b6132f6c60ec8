"""Labels from any ASE calculator, many frames in one job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec
from bloomery.reference.calculators import CalculatorSpec


class CalculatorLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with an ASE calculator."""

    LABELLER: ClassVar[str] = "calculator"

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame whose state the calculator cannot be told.

        A calculator that is not installed here is left to the job.
        """
        spec = PluginSpec.model_validate(inputs["parameters"].get_dict()["labeller"])
        calculator = CalculatorSpec.model_validate(spec.settings["calculator"])
        if not calculator.is_installed:
            return None
        try:
            calculator.check_frames(configurations, "configurations: ")
        except InputError as error:
            return str(error)
        return None

    @classmethod
    def get_builder_from_protocol(
        cls, code: orm.AbstractCode, calculator: str | Mapping[str, object], *more: Any, **named: Any
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol, for an ASE calculator by its name, or its name and arguments.

        What else is given is as `get_builder_from_settings` has it after the settings: ``configurations``,
        ``protocol``, ``overrides``, and by name ``options``.
        """
        return cls.get_builder_from_settings(code, {"calculator": calculator}, *more, **named)
