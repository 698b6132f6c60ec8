"""Labels that exist already: found in a library by the content of a frame."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.label import validate_library
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


class LookupLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with the labels of a library."""

    LABELLER: ClassVar[str] = "lookup"

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the library."""
        super().define(spec)
        spec.input("library", valid_type=ConfigurationsData, validator=validate_library, help="Labelled frames.")

    @classmethod
    def get_builder_from_protocol(
        cls, code: orm.AbstractCode, library: ConfigurationsData, *more: Any, **named: Any
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol, for a library of labelled frames.

        What else is given is as `get_builder_from_settings` has it after the settings: ``configurations``,
        ``protocol``, ``overrides``, and by name ``options``.
        """
        builder = cls.get_builder_from_settings(code, {}, *more, **named)
        builder.library = library
        return builder
