"""Submit jobs that learn a property, on a campaign's data set or on files with labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file.codes import DEFAULT_CODE
from aiida_bloomery.submission.models import campaign_with_data_set, filled, local_code, stored
from bloomery.errors import InputError
from bloomery.frames.labels import Property
from bloomery.plugins import PluginSpec
from bloomery.program.plain_files import frames_with
from bloomery.properties.evaluation import PropertyErrors


def property_builder(names: Sequence[str], wanted: Property, model: PluginSpec, *, seed: int) -> Any:
    """Gather the inputs of a job that learns a property from files with labelled frames, or from a campaign.

    Raises
    ------
    InputError
        If there is no such file or campaign, it has no data set yet, no frame has the label, or the property is not
        defined for one.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.plugins import CalculationFactory  # noqa: PLC0415

    inputs: dict[str, Any] = {
        "seed": orm.Int(seed),
        "parameters": orm.Dict({"property": wanted, "model": model.model_dump()}),
    }
    missing = [name for name in names if not Path(name).is_file()]
    if not missing:
        inputs["code"] = local_code(DEFAULT_CODE)
        inputs["batches"] = {
            f"batch_{index:03d}": stored(frames_with(wanted, [name])) for index, name in enumerate(names)
        }
    elif len(names) > 1:
        raise InputError(f"{missing[0]}: there is no such file; give files with labelled frames, or one campaign.")
    else:
        inputs |= _of_campaign(names[0], wanted)
    builder = CalculationFactory("bloomery.learn").get_builder()
    return filled(builder, inputs, "learn", f"{wanted} of {' '.join(names)}"[:200])


def _of_campaign(name: str, wanted: Property) -> dict[str, Any]:
    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415

    campaign = campaign_with_data_set(name)
    batches = campaigns.data_set(campaign)
    if not any(batch.base.attributes.get("labels").get(wanted) for batch in batches.values()):
        raise InputError(
            f"campaign {name} has no label {wanted}; set `properties: [{wanted}]` of its labeller where it has this "
            "key, or `relabel` it with one that has."
        )
    return {"code": campaign.inputs.codes["bloomery"], "batches": batches}


@dataclass(frozen=True)
class Learnt:
    """How a job that learns a property stands."""

    active: bool
    message: str
    """Why it failed; empty if it did not."""
    model: int | None
    """PK of the model."""
    n_frames: int
    errors: dict[str, PropertyErrors]
    """By role."""


def learnt(pk: int) -> Learnt:
    """Read how a job stands."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.data.ended import how_it_ended  # noqa: PLC0415

    node = orm.load_node(pk)
    if not node.is_terminated:
        return Learnt(True, "", None, 0, {})
    if not node.is_finished_ok:
        return Learnt(False, how_it_ended(node), None, 0, {})
    report = node.outputs.report.get_dict()
    return Learnt(False, "", int(node.outputs.model.pk), int(report["n_frames"]), report["errors"])
