"""Turn what a single run of pw.x left into a labelled frame."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_bloomery.calculations.label_cache import FINGERPRINT_ATTRIBUTE, VERSION_ATTRIBUTE
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.parsers.pw_frame import FrameFailure, read_frame
from aiida_bloomery.parsers.pw_pack import labelled_frames


@calcfunction
def parse_pw_frame(
    configurations: ConfigurationsData, frame: orm.Int, retrieved: orm.FolderData, fingerprint: orm.Str
) -> ConfigurationsData | ExitCode:
    """Return the frame with its labels.

    Parameters
    ----------
    configurations, frame
        The frame that was labelled.
    retrieved
        The files of the `PwCalculation` that labelled it.
    fingerprint
        Of the settings, for the label cache.
    """
    source = configurations.configurations
    files = retrieved.base.repository
    names = files.list_object_names()
    result = read_frame(
        files.get_object_content(XML_FILE) if XML_FILE in names else None,
        files.get_object_content(OUTPUT_FILE) if OUTPUT_FILE in names else None,
        int(source.counts[frame.value]),
    )
    if isinstance(result, FrameFailure):
        return ExitCode(result.exit_code, result.reason)
    labelled = ConfigurationsData(
        labelled_frames(
            configurations, {frame.value: result}, {frame.value: str(retrieved.creator.uuid)}, {frame.value: ""}
        )
    )
    labelled.base.attributes.set(FINGERPRINT_ATTRIBUTE, fingerprint.value)
    labelled.base.attributes.set(VERSION_ATTRIBUTE, f"pw.x {result.version}")
    return labelled
