"""The campaign file: short YAML, checked before anything runs, turned into the inputs of the campaign's workchain."""

from __future__ import annotations

from pathlib import Path

from aiida_bloomery.campaign_file.campaign import Campaign, Source
from aiida_bloomery.campaign_file.checks import check_file, check_nulls
from aiida_bloomery.campaign_file.model import CampaignFile
from aiida_bloomery.campaign_file.reader import parse_model, read_yaml
from aiida_bloomery.campaign_file.resolve import resolve

__all__ = ["Campaign", "Source", "campaign_of", "load_campaign"]


def load_campaign(path: str | Path, *, rehearsal: bool = False) -> tuple[Campaign, list[str]]:
    """Read and check a campaign file, as far as that goes without a profile.

    In a rehearsal a teacher takes the labeller's place. The notes returned are about what is allowed, and perhaps not
    meant; the first mistake is an `InputError`, one sentence with file, line, key and remedy.
    """
    return campaign_of(read_yaml(Path(path)), rehearsal=rehearsal)


def campaign_of(source: Source, *, rehearsal: bool = False) -> tuple[Campaign, list[str]]:
    """Check what was read, or what was made of it, as `load_campaign` does."""
    check_nulls(source)
    file = parse_model(CampaignFile, source.content, source, ())
    campaign = resolve(file, source, rehearsal=rehearsal)
    return campaign, check_file(campaign)
