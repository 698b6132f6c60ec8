"""From a checked campaign file to the inputs of the campaign's workchain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import engine_key, entry_of, load_code, verb_options
from aiida_bloomery.campaign_file.data import data_digest, data_inputs
from aiida_bloomery.campaign_file.foundations import foundation_keys
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.labellers.contract import LabellerPart
from aiida_bloomery.campaign_file.potential import potential_digest, potential_inputs
from aiida_bloomery.campaign_file.starts import LABELLER as STUDENT_LABELLER
from aiida_bloomery.campaign_file.starts import starts_of
from bloomery.errors import InputError
from bloomery.seeds import digest_of

if TYPE_CHECKING:
    from aiida.engine import ProcessBuilder


NOT_ALWAYS = {"data", "check_labels", "potential", "foundation", "start", "pipeline", "properties"}
"""Keys of campaign files that a digest is made without where they do not stand in the file."""


def make_builder(campaign: Campaign) -> ProcessBuilder:
    """Make the builder of a campaign that has been checked; raise `InputError` if a code or pseudopotential is missing.

    A profile is loaded.
    """
    from aiida.orm import Str  # noqa: PLC0415

    from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415
    from aiida_bloomery.workflows.campaign import ReinforcementWorkChain  # noqa: PLC0415

    load = cache(partial(load_code, campaign))
    labelling = labelling_inputs(campaign, load)
    data, told = data_inputs(campaign, campaign.file.labeller, labelling)
    train = "train" if campaign.file.codes.train is not None else None
    keys = {"bloomery": "bloomery", "engine": engine_key(campaign), "train": train}
    keys |= {f"foundation_{name}": key for name, key in foundation_keys(campaign).items()}
    codes = {role: load(key) for role, key in keys.items() if key is not None}
    builder = ReinforcementWorkChain.get_builder_from_settings(
        codes,
        ConfigurationsData(campaign.structures),
        campaign.file.labeller,
        labelling,
        {**campaign.settings, "data": told} if data else campaign.settings,
        drivers={
            name: {"labeller": Str(view.file.labeller), "labelling": labelling_inputs(view, partial(load_code, view))}
            for name, view in campaign.drivers.items()
        },
        frames={
            label: ConfigurationsData(frames.without_info(*frames.info)) for label, frames in campaign.frames.items()
        },
        validation={name: ConfigurationsData(frames) for name, frames in campaign.validation.items()},
        data=data,
        start=potential_inputs(campaign),
        student_labelling=_student_labelling(campaign),
        options=verb_options(campaign, load),
        device=campaign.file.device,
        seed=campaign.file.seed,
        pipeline=campaign.file.pipeline,
    )
    builder.metadata.label = campaign.file.name
    builder.metadata.description = describe(campaign)
    return builder


def _student_labelling(campaign: Campaign) -> Mapping[str, object] | None:
    """Inputs of the labelling by the file's foundation, if a student is among the starts."""
    starts = starts_of(campaign)
    if starts is None or not starts.student_frames:
        return None
    view = replace(campaign, file=campaign.file.model_copy(update={"labelling": {STUDENT_LABELLER: {}}}))
    return labelling_inputs(view, partial(load_code, view))


def labelling_inputs(
    campaign: Campaign, load: Callable[[str], Any], part: LabellerPart | None = None
) -> Mapping[str, object]:
    """Inputs of the labelling workchain; what it refuses is said with its place in the file.

    ``part`` are the labeller's settings, if not those of the file.
    """
    part = labeller(campaign) if part is None else part
    key = part.code_key()
    try:
        return part.inputs(campaign, load(key), entry_of(campaign, key))
    except InputError as error:
        if str(error).startswith(str(campaign.source.path)):
            raise
        raise campaign.source.error(campaign.labeller_key(), str(error)) from error


def describe(campaign: Campaign) -> str:
    """What the process node says of itself: the file it came from, and the digest by which it is found again."""
    text = f"{campaign.source.path.name} {digest_mark(campaign)}"
    return f"{campaign.file.description}\n{text}" if campaign.file.description else text


def _apart() -> dict[str, Any]:
    """Keys of a campaign file that its content is digested without: they say nothing of it, or count elsewhere."""
    keys = dict.fromkeys(("description", "codes", "suspects", *NOT_ALWAYS), True)
    return {**keys, "stop": {"core_hours", "gpu_hours", "properties"}}


def digest_mark(campaign: Campaign) -> str:
    """Short text that is the same for two campaign files just when they mean the same campaign."""
    content: dict[str, object] = {
        # Suspects, starts and budgets are in the settings; what came later than others counts where it is there.
        "file": campaign.file.model_dump(mode="json", exclude=_apart()),
        "settings": campaign.settings,
        "structures": campaign.structures.digest(),
        "frames": {label: frames.digest() for label, frames in campaign.frames.items()},
        "validation": {name: frames.digest() for name, frames in campaign.validation.items()},
    }
    if campaign.file.data:
        content["data"] = data_digest(campaign)
    if campaign.file.potential is not None:
        content["potential"] = potential_digest(campaign)
    if campaign.file.pipeline:
        content["pipeline"] = True
    if campaign.file.foundation is not None:
        content["foundation"] = campaign.file.foundation.model_dump(mode="json")
    text = json.dumps(content, sort_keys=True, default=str)
    return f"[content {digest_of(text, size=8)}]"
