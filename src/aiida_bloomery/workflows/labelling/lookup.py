"""Labels that exist already: found in a library by the content of a frame."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


def validate_library(node: ConfigurationsData | None, _: Any) -> str | None:
    """Check that there is something to look up."""
    if node is None or any(node.base.attributes.get("labels").values()):
        return None
    return "library: holds no labels; give labelled frames."


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
        cls,
        code: orm.AbstractCode,
        library: ConfigurationsData,
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
        library
            Labelled frames.
        configurations
            The frames to look up; a campaign leaves them out.
        """
        builder = cls.builder_from_settings(code, {}, configurations, protocol, overrides, options)
        builder.library = library
        return builder
