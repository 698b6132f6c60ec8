"""The labeller `lookup`: labels that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from aiida_bloomery.campaign_file.labellers.calculator import in_process_inputs
from aiida_bloomery.campaign_file.labellers.contract import LabellerPart, frames_of
from bloomery.plugins import declares

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file.model import Code
    from aiida_bloomery.campaign_file.resolve import Campaign

KEY = ("labelling", "lookup", "library")


class Part(LabellerPart):
    """Labels taken from a file with labelled frames: a campaign without any calculation."""

    code_key: ClassVar[str] = "label"

    library: str
    """File with labelled frames, relative to the campaign file."""
    require: list[Literal["energy", "forces", "stress"]] = Field(default=["energy", "forces"], min_length=1)
    """A frame of the library counts if it has these labels."""

    def check(self, campaign: Campaign) -> None:
        """See that the library has labels, and that the pools are frames of it."""
        from aiida_bloomery.campaign_file.resolve import read_file  # noqa: PLC0415

        library = read_file(self.library, campaign.source, KEY)
        for label in self.require:
            if not library.has(label).any():
                raise campaign.source.error(
                    KEY,
                    f"{self.library}: no frame has the label {label!r}; give a file with it, or drop it from require.",
                )
        known = set(library.snapped().hashes())
        for stage in ("bootstrap", "sampling"):
            for key, spec in campaign.samplers(stage):
                if not declares("samplers", spec.name, "takes_own_frames"):
                    raise campaign.source.error(
                        key, f"{spec.name} makes frames that the library does not hold; sample with from_file."
                    )
        for name, frames in frames_of(campaign)[1:]:
            missing = [index for index, value in enumerate(frames.snapped().hashes()) if value not in known]
            if missing:
                raise campaign.source.error(
                    KEY,
                    f"{self.library}: does not hold frame {missing[0]} of {name} ({len(missing)} are missing in all).",
                )

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> dict[str, Any]:
        """Inputs of the workchain."""
        from aiida_bloomery.campaign_file.resolve import read_file  # noqa: PLC0415
        from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415

        inputs = in_process_inputs("lookup", {"require": list(self.require)}, self, campaign, code, entry)
        library = read_file(self.library, campaign.source, KEY)
        return inputs | {"library": ConfigurationsData(library.without_info(*library.info))}
