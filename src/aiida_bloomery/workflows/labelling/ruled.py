"""What labelling workchains share whose program's input follows from settings that all frames have, and from rules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import ase
from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.functions.isolated_atoms import isolated_atom_rules
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import Validator, optional
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from aiida_bloomery.workflows.labelling.packed import PackedLabellingWorkChain, program_ports
from bloomery.frames.configurations import Configurations


def ruled_ports(spec: ProcessSpec, namespace: str, program: str, what: str, rules: str, validator: Validator) -> None:
    """Declare the inputs of such a program: ``what`` all frames share, and the keys of its ``rules``."""
    program_ports(spec, namespace, program)
    spec.input(f"{namespace}.parameters", valid_type=orm.Dict, help=f"{what} that all frames share.")
    text = f"What makes a frame's input of them: {rules}."
    spec.input(f"{namespace}.rules", valid_type=orm.Dict, validator=validator, help=text)
    text = f"{what} that differ for frames that failed: another way to the same label."
    optional(spec, f"{namespace}.remedy", orm.Dict, text)


class RuledLabellingWorkChain(PackedLabellingWorkChain):
    """A program is told frames by ``parameters``, which all share, and ``rules``, which make each one's input of them.

    Those that failed in their pack go out in packs once more, by another way to the same label, the ``remedy``.
    Subclasses declare `ruled_ports`.
    """

    @classmethod
    @abstractmethod
    def problem(
        cls, configurations: Configurations, parameters: Mapping[str, Any], rules: Any
    ) -> tuple[int, str] | None:
        """Return the first frame that the program cannot take, and a sentence about it, without an end."""

    @classmethod
    @abstractmethod
    def write(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Any) -> object:
        """Return the input of a frame."""

    @classmethod
    @abstractmethod
    def said(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Any) -> str:
        """Say in few words what the program is asked for."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Fingerprint of the settings, with the context's ``rules``."""

    @classmethod
    def filled(cls, inputs: dict[str, Any], configurations: ConfigurationsData | None) -> ProcessBuilder:
        """Return a builder with these inputs, of which the program's are in its namespace, and perhaps frames."""
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for name, node in inputs.pop(cls.NAMESPACE).items():
            builder[cls.NAMESPACE][name] = node
        for name, node in inputs.items():
            builder[name] = node
        return builder

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame that the program cannot take."""
        if inputs.get("isolated_atoms", False):
            return None
        settings = cls._settings(inputs)
        if (found := cls.problem(configurations, *settings)) is not None:
            return f"configurations: frame {found[0]} {found[1]}."
        for name, atoms in one_of_each(configurations).items():
            try:
                cls.write(atoms, *settings)
            except (KeyError, TypeError, ValueError) as error:
                return f"parameters: the input of {name} cannot be written ({type(error).__name__}: {error})."
        return None

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Say the settings that matter of one frame of each composition."""
        settings = cls._settings(inputs)
        return [
            (f"{cls.title} for {name}", cls.said(atoms, *settings))
            for name, atoms in one_of_each(configurations).items()
        ]

    @classmethod
    def _settings(cls, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        program = inputs[cls.NAMESPACE]
        return program["parameters"].get_dict(), program["rules"].get_dict()

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        self.ctx.rules = self.program.rules
        if self.inputs.isolated_atoms.value:
            self.ctx.rules = self.call_as("isolated_atom_rules", isolated_atom_rules, self.program.rules)
        self.ctx.fingerprint = self.fingerprint()

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:  # noqa: ARG002
        """What all frames share, and what makes their inputs of it."""
        return {"parameters": self.program.parameters, "rules": self.ctx.rules}

    def run_frames(self) -> None:
        """Send the frames that failed once more, by a way to self-consistency that is slower and safer."""
        if "remedy" in self.program:
            self.submit_packs([(None, sorted(self.ctx.failed))], "again", remedy=self.program.remedy)

    def inspect_frames(self) -> None:
        """Take the labels of those that succeeded after all."""
        if "remedy" in self.program:
            self.entries_of_packs()
