"""Labels from any ASE calculator, many frames in one job."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


class CalculatorLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with an ASE calculator."""

    LABELLER: ClassVar[str] = "calculator"

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        calculator: str | dict[str, Any],
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        *,
        options: dict[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        code
            The program `bloomery`.
        calculator
            Name of the ASE calculator, or its name and arguments.
        configurations
            The frames; a campaign leaves them out.
        """
        return cls.builder_from_settings(code, {"calculator": calculator}, configurations, protocol, overrides, options)
