"""From a checked campaign file to the inputs of the campaign's workchain."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiida_bloomery.campaign_file.checks import labeller
from aiida_bloomery.campaign_file.codes import engine_key, entry_of, load_code, verb_options
from aiida_bloomery.campaign_file.resolve import STAGES, Campaign
from bloomery.errors import InputError
from bloomery.seeds import digest_of

if TYPE_CHECKING:
    from aiida.engine import ProcessBuilder


def make_builder(campaign: Campaign) -> ProcessBuilder:
    """Make the builder of the campaign. A profile is loaded, and the campaign has been checked.

    Raises
    ------
    InputError
        If a code or a pseudopotential is missing.
    """
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415
    from aiida_bloomery.workflows.campaign import ReinforcementWorkChain  # noqa: PLC0415

    codes: dict[str, Any] = {}

    def load(key: str) -> Any:
        if key not in codes:
            codes[key] = load_code(campaign, key)
        return codes[key]

    labelling = labelling_inputs(campaign, load)
    builder = ReinforcementWorkChain.get_builder_from_protocol(
        load("bloomery"),
        ConfigurationsData(campaign.structures),
        campaign.file.labeller,
        labelling,
        campaign.file.protocol,
        {stage: campaign.settings[stage] for stage in STAGES},
        frames={
            label: ConfigurationsData(frames.without_info(*frames.info)) for label, frames in campaign.frames.items()
        },
        validation={name: ConfigurationsData(frames) for name, frames in campaign.validation.items()},
        options=verb_options(campaign, load),
        device=campaign.file.device,
        seed=campaign.file.seed,
    )
    # Mappings are merged with the protocol's, and the settings are complete already: only they count.
    for stage in STAGES:
        builder[stage] = orm.Dict(campaign.settings[stage])
    if "control" in campaign.settings:
        builder.control = orm.Dict(campaign.settings["control"])
    if "validation" in campaign.settings:
        builder.validation["settings"] = orm.Dict(campaign.settings["validation"])
    engine = engine_key(campaign)
    if engine is not None:
        builder.codes["engine"] = load(engine)
    if campaign.file.codes.train is not None:
        builder.codes["train"] = load("train")
    builder.metadata.label = campaign.file.name
    builder.metadata.description = describe(campaign)
    return builder


def labelling_inputs(campaign: Campaign, load: Callable[[str], Any]) -> dict[str, Any]:
    """Inputs of the labelling workchain; what it refuses is said with its place in the file."""
    part = labeller(campaign)
    try:
        return part.inputs(campaign, load(part.code_key), entry_of(campaign, part.code_key))
    except InputError as error:
        if str(error).startswith(str(campaign.source.path)):
            raise
        raise campaign.source.error(("labelling", campaign.file.labeller), str(error)) from error


def describe(campaign: Campaign) -> str:
    """What the process node says of itself: the file it came from, and the digest by which it is found again."""
    text = f"{campaign.source.path.name} {digest_mark(campaign)}"
    return f"{campaign.file.description}\n{text}" if campaign.file.description else text


def digest_mark(campaign: Campaign) -> str:
    """Short text that is the same for two campaign files just when they mean the same campaign."""
    content = {
        "file": campaign.file.model_dump(mode="json", exclude={"description", "codes"}),
        "settings": campaign.settings,
        "structures": campaign.structures.digest(),
        "frames": {label: frames.digest() for label, frames in campaign.frames.items()},
        "validation": {name: frames.digest() for name, frames in campaign.validation.items()},
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return f"[content {digest_of(text, size=8)}]"
