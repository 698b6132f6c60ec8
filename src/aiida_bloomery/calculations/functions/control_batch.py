"""Bring the labels of the control arm together: those that it shares with the campaign, and those of its own."""

from __future__ import annotations

from typing import Any

from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.collect_labels import found_labels, with_found_labels
from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData


@calcfunction
def control_batch(
    control: ConfigurationsData, shared: ConfigurationsData, own: ConfigurationsData | None = None
) -> dict[str, Any]:
    """Return `batch`, the frames of the control arm that have labels; nothing if none has.

    Parameters
    ----------
    control
        What the control arm chose: roles and origin are these.
    shared
        The labelled frames of the campaign in the same iteration.
    own
        Labelled frames that only the control arm wanted.
    """
    nodes = [shared] if own is None else [shared, own]
    found = found_labels(control.hashes, nodes)
    frames = [index for index, content in enumerate(control.hashes) if content in found]
    if not frames:
        return {}
    batch = ConfigurationsData(with_found_labels(control, frames, found))
    versions = sorted({node.base.attributes.get(VERSION_ATTRIBUTE, "") for node in nodes} - {""})
    batch.base.attributes.set(VERSION_ATTRIBUTE, ", ".join(versions))
    return {"batch": batch}
