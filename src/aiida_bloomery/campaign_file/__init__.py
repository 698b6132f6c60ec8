"""The campaign file: short YAML, checked before anything runs, turned into the inputs of the campaign's workchain."""

from __future__ import annotations

from pathlib import Path

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.checks import check_file
from aiida_bloomery.campaign_file.reader import read_campaign
from aiida_bloomery.campaign_file.resolve import resolve

__all__ = ["Campaign", "load_campaign"]


def load_campaign(path: str | Path, *, rehearsal: bool = False) -> tuple[Campaign, list[str]]:
    """Read and check a campaign file, as far as that goes without a profile.

    Parameters
    ----------
    rehearsal
        Whether a teacher takes the labeller's place.

    Returns
    -------
    The campaign, and notes about what is allowed and perhaps not meant.

    Raises
    ------
    InputError
        For the first mistake: one sentence with file, line, key and remedy.
    """
    file, source = read_campaign(path)
    campaign = resolve(file, source, rehearsal=rehearsal)
    return campaign, check_file(campaign)
