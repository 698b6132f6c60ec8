"""What dynamics by a labeller's own program are: structures go in; frames that have labels already come out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import optional, optional_output
from aiida_bloomery.workflows.once import SubmitsOnce
from bloomery.errors import BloomeryError
from bloomery.plugins import PluginSpec


class ReferenceMdWorkChain(SubmitsOnce):
    """Run a sampler that the labeller drives with its own program, such as `reference_md`.

    Subclasses are registered as ``bloomery.reference_md.LABELLER``. Their further inputs are called like those of the
    labelling workchain of the same name, and are handed on from it.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the inputs and outputs that all have."""
        super().define(spec)
        spec.input("structures", valid_type=ConfigurationsData, help="Starting structures.")
        text = "`{sampler: {name: reference_md, settings}}`."
        spec.input("parameters", valid_type=orm.Dict, validator=cls.validate_parameters, help=text)
        spec.input("seed", valid_type=orm.Int, help="Of the starting velocities.")
        optional(spec, "max_failed_share", orm.Float, "Of the labelling; without a meaning here.")
        optional_output(spec, "frames", ConfigurationsData, "Frames with origin and labels.")
        optional_output(spec, "report", orm.Dict, "What came of each trajectory.")

    @classmethod
    def validate_parameters(cls, node: orm.Dict, _: Any) -> str | None:
        """Check the sampler's settings."""
        try:
            cls.check_sampler(PluginSpec.model_validate(node["sampler"]))
        except (BloomeryError, KeyError, ValueError) as error:
            return f"parameters: {error}"
        return None

    @classmethod
    @abstractmethod
    def check_sampler(cls, spec: PluginSpec) -> None:
        """See that the program can follow a sampler's settings, which name no calculator.

        Raises
        ------
        InputError
            If it cannot.
        """
