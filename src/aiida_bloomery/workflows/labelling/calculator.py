"""Labels from any ASE calculator, many frames in one job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


class CalculatorLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with an ASE calculator."""

    LABELLER: ClassVar[str] = "calculator"

    @classmethod
    def get_builder_from_protocol(
        cls, code: orm.AbstractCode, calculator: str | Mapping[str, object], *more: Any, **named: Any
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol, for an ASE calculator by its name, or its name and arguments.

        What else is given is as `get_builder_from_settings` has it after the settings: ``configurations``,
        ``protocol``, ``overrides``, and by name ``options``.
        """
        return cls.get_builder_from_settings(code, {"calculator": calculator}, *more, **named)
