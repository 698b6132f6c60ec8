"""Label configurations in one process: with an ASE calculator, or with labels that exist already."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles
from aiida_bloomery.calculations.label_cache import FINGERPRINT_ATTRIBUTE, job_fingerprint, of_job
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import optional, optional_output
from bloomery.jobs.label import JOURNAL_FILE, LABELLED_FILE, LEDGER_FILE
from bloomery.plugins import Kind, PluginSpec

LIBRARY_FILE = "library.npz"


def validate_library(node: ConfigurationsData, _: object) -> str | None:
    """Check that there is something to look up."""
    labels = node.base.attributes.get("labels").values()
    return None if any(labels) else "library: holds no labels; give labelled frames."


class LabelCalculation(BloomeryCalculation):
    """Label many configurations in one job, with an ASE calculator or from a library of labelled frames."""

    VERB = "label"
    PLUGINS: ClassVar[dict[str, Kind]] = {"labeller": "labellers"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"configurations": "configurations.npz"}
    RESULT_FILES = (LABELLED_FILE, LEDGER_FILE, JOURNAL_FILE)
    # Labelling workchains send what a killed job left themselves.
    DIED = BloomeryCalculation.DIED - {300}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{labeller: {name, settings}}`."
        spec.input("configurations", valid_type=ConfigurationsData, help="Frames to label.")
        text = "Labelled frames, for the labeller `lookup`."
        optional(spec, "library", ConfigurationsData, text, validator=validate_library)
        text = "The frames that have labels now, also after a job that was killed; parents are `configurations`."
        optional_output(spec, "labelled", ConfigurationsData, text)
        optional_output(spec, "ledger", orm.Dict, "What happened to every frame.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be frames."""
        nothing = not inputs["configurations"].n_frames
        return "configurations: holds no frame, so there is nothing to label." if nothing else None

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Labeller and frames; the library is a setting of the labeller. The node gets the labels' fingerprint."""
        job: dict[str, JsonValue] = self.inputs.parameters.get_dict()
        spec = PluginSpec.model_validate(job["labeller"])
        if "library" in self.inputs:
            spec.settings["library"] = files.configurations(self.inputs.library, LIBRARY_FILE)
        job["labeller"] = {"name": spec.name, "settings": spec.settings}
        job["configurations"] = files.configurations(self.inputs.configurations, "configurations.npz")
        # Of the files that settings name as they are now: they may be others when the job is parsed.
        self.node.base.extras.set(FINGERPRINT_ATTRIBUTE, job_fingerprint(**of_job(self.inputs)))
        return job
