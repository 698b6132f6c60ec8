"""What describes a labeller in a campaign file: its keys, what it asks of frames, and the inputs that follow."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.quantities import Share

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file.model import Code
    from aiida_bloomery.campaign_file.resolve import Campaign


class LabellerPart(Settings):
    """Settings of a labeller in a campaign file.

    A labelling workchain of another package has a subclass of this as its attribute ``CampaignPart``.
    """

    code_key: ClassVar[str]
    """The entry under ``codes`` that the labeller runs with."""

    max_failed_share: Share | None = None
    """The campaign fails when more than this share of a batch cannot be labelled."""

    def check(self, campaign: Campaign) -> None:
        """Raise the error of the first frame or setting that this labeller cannot take; nothing runs yet."""

    @abstractmethod
    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> dict[str, Any]:
        """Inputs of the labelling workchain, without configurations. A profile is loaded.

        Parameters
        ----------
        code
            The AiiDA code that the entry names.
        entry
            How that code runs.
        """


def frames_of(campaign: Campaign) -> list[tuple[str, Configurations]]:
    """Everything that may be labelled or sampled from, with the name of where it comes from."""
    return [("structures", campaign.structures), *campaign.frames.items()]
