"""The labeller `lookup`: labels that exist already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from aiida_bloomery.campaign_file.measuring import wanted_by_observables
from aiida_bloomery.campaign_file.model import Code
from bloomery.frames.configurations import Configurations
from bloomery.plugins import declares


class Part(InProcessPart):
    """Labels taken from a file with labelled frames: a campaign without any calculation."""

    library: str
    """File with labelled frames, relative to the campaign file."""
    require: list[Literal["energy", "forces", "stress"]] = Field(default=["energy", "forces"], min_length=1)
    """A frame of the library counts if it has these labels."""

    def check(self, campaign: Campaign) -> None:
        """See that the library has labels, and that the pools are frames of it."""
        key = campaign.labeller_key("library")
        library = self._frames(campaign)
        for label in self.require:
            if not library.has(label).any():
                raise campaign.source.error(
                    key,
                    f"{self.library}: no frame has the label {label!r}; give a file with it, or drop it from require.",
                )
        known = set(library.snapped().hashes())
        for stage in ("bootstrap", "sampling"):
            for place, spec in campaign.samplers(stage):
                if not declares("samplers", spec.name, "takes_own_frames"):
                    raise campaign.source.error(
                        place, f"{spec.name} makes frames that the library does not hold; sample with from_file."
                    )
        for name, frames in campaign.frames.items():
            missing = [index for index, value in enumerate(frames.snapped().hashes()) if value not in known]
            if missing:
                raise campaign.source.error(
                    key,
                    f"{self.library}: does not hold frame {missing[0]} of {name} ({len(missing)} are missing in all).",
                )

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Frames that are made on the way are in no library."""
        if wanted_by_observables(campaign):
            yield (
                "validation: frames that observables ask for have no label unless the library holds the very same ones."
            )

    def labelled_files(self) -> set[str]:
        """The library."""
        return {self.library}

    def labeller_settings(self) -> dict[str, object]:
        """Settings of the labeller; the library is an input."""
        return {"require": list(self.require)}

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain."""
        from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415

        library = self._frames(campaign)
        node = ConfigurationsData(library.without_info(*library.info))
        return {**super().inputs(campaign, code, entry), "library": node}

    def _frames(self, campaign: Campaign) -> Configurations:
        return campaign.source.read_frames(self.library, campaign.labeller_key("library"))
