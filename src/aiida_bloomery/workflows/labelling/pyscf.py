"""Labels of molecules by PySCF, many frames in one job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.pyscf import PyscfLabeller
from bloomery.labellers.pyscf.checks import is_installed
from bloomery.plugins import PluginSpec


class PyscfLabellingWorkChain(InProcessLabellingWorkChain):
    """Label molecules with PySCF."""

    LABELLER: ClassVar[str] = "pyscf"

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about settings, or about the first frame that cannot be computed.

        Without PySCF here that is left to the job.
        """
        if not is_installed():
            return None
        spec = PluginSpec.model_validate(inputs["parameters"].get_dict()["labeller"])
        try:
            PyscfLabeller.make(**spec.settings).check(configurations)
        except InputError as error:
            return str(error)
        return None

    @classmethod
    def get_builder_from_protocol(
        cls, code: orm.AbstractCode, settings: Mapping[str, object], *more: Any, **named: Any
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol, for the labeller's settings (``method``, ``basis``, ...).

        What else is given is as `get_builder_from_settings` has it after the settings: ``configurations``,
        ``protocol``, ``overrides``, and by name ``options``.
        """
        return cls.get_builder_from_settings(code, settings, *more, **named)
