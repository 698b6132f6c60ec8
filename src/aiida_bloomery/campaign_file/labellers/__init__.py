"""What a campaign file may say of each labeller: one file per labeller, registered as those of other packages are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, get_args

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.labellers.contract import LabellerPart, Program
from aiida_bloomery.campaign_file.model import CampaignFile, Code
from aiida_bloomery.campaign_file.reader import parse_model
from bloomery.errors import InputError
from bloomery.plugins import registered

REGISTERED = "campaign_labellers"
"""What the labellers' parts of a campaign file are registered as, by the name of the labeller."""


def labeller_names() -> list[str]:
    """Names of the labellers that campaign files know."""
    return list(registered(REGISTERED))


def labeller_part(name: str) -> type[LabellerPart]:
    """Return what describes a labeller's part of the file.

    Raise `LookupError` if there is no such labeller, and `InputError` if something that it needs is missing.
    """
    if name not in registered(REGISTERED):
        raise LookupError(name)
    try:
        return cast("type[LabellerPart]", registered(REGISTERED)[name].load())
    except ImportError as error:
        raise InputError(f"labeller {name!r} cannot be loaded: {error}; install what it needs.") from error


def labeller_parts() -> Iterator[tuple[str, type[LabellerPart]]]:
    """All parts that can be loaded, with their names."""
    for name in labeller_names():
        try:
            yield name, labeller_part(name)
        except InputError:
            continue


def programs_of(part: type[LabellerPart]) -> tuple[Program, ...]:
    """Programs of a labeller besides `bloomery`; each is a key under ``codes``."""
    return (*((part.program,) if part.program is not None else ()), *part.beside)


def given_by(part: type[LabellerPart]) -> tuple[str, ...]:
    """Properties beyond the energy that a labeller can be asked for, by what its setting ``properties`` takes."""
    setting = part.model_fields.get("properties")
    return () if setting is None else tuple(get_args(get_args(setting.annotation)[0]))


def givers_of(name: str) -> list[str]:
    """Labellers that give a property."""
    return [labeller_name for labeller_name, part in labeller_parts() if name in given_by(part)]


def labeller(campaign: Campaign) -> LabellerPart:
    """The labeller's part of a campaign's file, checked against its model; `InputError` for the first mistake."""
    source, key = campaign.source, campaign.labeller_key()
    try:
        with source.at(key):
            part = labeller_part(campaign.file.labeller)
    except LookupError as error:
        raise source.error(key, f"there is no such labeller; choose one of {', '.join(labeller_names())}.") from error
    return parse_model(part, campaign.file.labeller_settings, source, key)


def labeller_entry(file: CampaignFile, part: type[LabellerPart]) -> Code:
    """How the labels of a campaign run: a program of its own by its entry, jobs of `bloomery` like others of its."""
    return file.codes.entry(part.code_key()) or (file.codes.bloomery if part.program is None else Code())
