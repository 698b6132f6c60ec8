"""The labeller `foundation`: a universal model, for rehearsals and for quick potentials that are to do as it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import entry_of, load_code
from aiida_bloomery.campaign_file.foundations import KEY, check_foundation, code_key, resolved
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from aiida_bloomery.campaign_file.model import Code
from bloomery.foundations.contract import FoundationSpec
from bloomery.quantities import Seconds


class Part(InProcessPart):
    """Labels from a foundation, many frames in one job of its environment."""

    foundation: FoundationSpec | None = None
    """The foundation; by default that of the file."""
    frame_timeout: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after this time, in s; by default never."""

    def labels_by(self, campaign: Campaign) -> FoundationSpec:
        """Its own foundation, or the file's, as its jobs take it."""
        given = self.foundation or campaign.file.foundation
        place = campaign.labeller_key(*([KEY] if self.foundation is not None else []))
        if given is None:
            raise campaign.source.error(place, "names no foundation; add one, such as {foundation: sevennet}.")
        return FoundationSpec.model_validate(resolved(given, campaign.file, campaign.source, place))

    def theory(self, campaign: Campaign) -> str:
        """What the foundation learned."""
        return self.labels_by(campaign).foundation().functional_for(campaign.structures.elements)

    def check(self, campaign: Campaign) -> None:
        """See that the foundation can be there, and covers all elements."""
        check_foundation(campaign, campaign.labeller_key(), self.labels_by(campaign).foundation())

    def labeller_settings(self) -> dict[str, object]:
        """All that it shares, by the names that it has there."""
        timeout = {} if self.frame_timeout is None else {"frame_timeout_s": self.frame_timeout}
        return {KEY: self.foundation.model_dump() if self.foundation is not None else None, **timeout}

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain; its jobs run where the foundation is."""
        named = self.labels_by(campaign)
        key = code_key(named.foundation(), campaign.file)
        if key is not None:
            code, entry = load_code(campaign, key), entry_of(campaign, key)
        return super(Part, self.model_copy(update={KEY: named})).inputs(campaign, code, entry)
