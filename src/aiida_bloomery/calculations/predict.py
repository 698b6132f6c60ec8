"""Predict energies, forces and stresses of configurations with a potential."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, unknown_elements
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.jobs.predict import PREDICTION_FILE


class PredictCalculation(BloomeryCalculation):
    """Predict energies, forces and stresses of configurations with every member of a potential."""

    VERB = "predict"
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"potential": "potential", "configurations": "configurations.npz"}
    RESULT_FILES = (PREDICTION_FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{stress: bool}`: whether stresses are wanted."
        spec.inputs["parameters"].default = lambda: orm.Dict({"stress": True})
        spec.inputs["parameters"].required = False
        spec.input("potential", valid_type=PotentialData, help="What predicts.")
        spec.input("configurations", valid_type=ConfigurationsData, help="Frames to predict.")
        text = "`counts` (N), `energies` (M, N) in eV, `forces` (M, A, 3) in eV/Å, `stresses` (M, N, 6) in eV/Å^3."
        spec.output("prediction", valid_type=orm.ArrayData, help=text)
        spec.output("report", valid_type=orm.Dict, help="Sizes, versions and seconds.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """The potential must know all elements."""
        return unknown_elements(inputs["potential"], inputs["configurations"], "configurations")

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Potential and frames."""
        job = self.inputs.parameters.get_dict() | self.potential_fields(files)
        return {**job, "configurations": files.configurations(self.inputs.configurations, "configurations.npz")}
