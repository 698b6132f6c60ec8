"""Submit jobs that learn a property, on a campaign's data set or on files with labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file.codes import DEFAULT_CODE
from aiida_bloomery.submission.models import stored
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.plugins import PluginSpec
from bloomery.properties.evaluation import PropertyErrors
from bloomery.properties.laws import check_defined


def property_builder(names: Sequence[str], wanted: Property, model: PluginSpec, *, seed: int) -> Any:
    """Gather the inputs of a job that learns a property from files with labelled frames, or from a campaign.

    Raises
    ------
    InputError
        If there is no such file or campaign, it has no data set yet, no frame has the label, or the property is not
        defined for one.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import NotExistent  # noqa: PLC0415
    from aiida.plugins import CalculationFactory  # noqa: PLC0415

    inputs: dict[str, Any] = {}
    missing = [name for name in names if not Path(name).is_file()]
    if not missing:
        try:
            inputs["code"] = orm.load_code(DEFAULT_CODE)
        except NotExistent as error:
            raise InputError(f"there is no code {DEFAULT_CODE!r}; run `aiida-bloomery setup` first.") from error
        inputs["batches"] = {
            f"batch_{index:03d}": stored(_read(Path(name), wanted)) for index, name in enumerate(names)
        }
    elif len(names) > 1:
        raise InputError(f"{missing[0]}: there is no such file; give files with labelled frames, or one campaign.")
    else:
        inputs |= _of_campaign(names[0], wanted)
    options = inputs.pop("options", {})
    builder = CalculationFactory("bloomery.learn").get_builder()
    try:
        for port, value in {**inputs, "seed": orm.Int(seed)}.items():
            builder[port] = value
        builder.parameters = orm.Dict({"property": wanted, "model": model.model_dump()})
    except ValueError as error:  # what a port's validator says
        raise InputError(f"learn: {str(error).removeprefix('invalid attribute value ')}") from error
    builder.metadata.options = options
    builder.metadata.label = f"{wanted} of {' '.join(names)}"[:200]
    refused = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))  # noqa: SLF001
    if refused is not None:
        raise InputError(f"learn: {refused.message}")
    return builder


def _read(path: Path, wanted: Property) -> Configurations:
    frames = Configurations.read(path)
    known = frames.has(wanted)
    if not known.any():
        raise InputError(f"{path}: none of its {len(frames)} frames has the label {wanted}; label them first.")
    try:
        check_defined(wanted, frames[known], known.nonzero()[0])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return frames


def _of_campaign(name: str, wanted: Property) -> dict[str, Any]:
    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    campaign = load_campaign_node(name)
    if "data_set" not in campaign.outputs:
        raise InputError(f"campaign {name} has no data set yet; wait until it has ended.")
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
