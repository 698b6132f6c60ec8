"""Label configurations in one process: with an ASE calculator, or with labels that exist already."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.jobs.label import JOURNAL_FILE, LABELLED_FILE, LEDGER_FILE
from bloomery.plugins import Kind, PluginSpec

LIBRARY_FILE = "library.npz"


def validate_library(node: ConfigurationsData | None, _: object) -> str | None:
    """Check that there is something to look up."""
    if node is None or any(node.base.attributes.get("labels").values()):
        return None
    return "library: holds no labels; give labelled frames."


class LabelCalculation(BloomeryCalculation):
    """Label many configurations in one job, with an ASE calculator or from a library of labelled frames."""

    VERB = "label"
    PLUGINS: ClassVar[dict[str, Kind]] = {"labeller": "labellers"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"configurations": "configurations.npz"}
    RESULT_FILES = (LABELLED_FILE, LEDGER_FILE, JOURNAL_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{labeller: {name, settings}}`."
        spec.input(
            "configurations", valid_type=ConfigurationsData, serializer=orm.to_aiida_type, help="Frames to label."
        )
        spec.input(
            "library",
            valid_type=ConfigurationsData,
            required=False,
            validator=validate_library,
            help="Labelled frames, for the labeller `lookup`.",
        )
        spec.output(
            "labelled",
            valid_type=ConfigurationsData,
            required=False,
            help="The frames that have labels now, also after a job that was killed; parents are `configurations`.",
        )
        spec.output("ledger", valid_type=orm.Dict, required=False, help="What happened to every frame.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be frames."""
        if not inputs["configurations"].n_frames:
            return "configurations: holds no frame, so there is nothing to label."
        return None

    def job_fields(self, files: JobFiles, folder: Folder) -> dict[str, JsonValue]:  # noqa: ARG002
        """Labeller and frames; the library is a setting of the labeller."""
        spec = PluginSpec.model_validate(self.inputs.parameters.get_dict()["labeller"])
        settings = dict(spec.settings)
        if "library" in self.inputs:
            settings["library"] = files.configurations(self.inputs.library, LIBRARY_FILE)
        return {
            **self.inputs.parameters.get_dict(),
            "labeller": {"name": spec.name, "settings": settings},
            "configurations": files.configurations(self.inputs.configurations, "configurations.npz"),
        }
