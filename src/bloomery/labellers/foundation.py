"""Labels from a foundation: for rehearsals, for students, and for quick potentials that are to do as it does."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import evaluated, refuse_empty
from bloomery.labellers.contract import OneByOne
from bloomery.plugins import Settings
from bloomery.quantities import Seconds


class FoundationLabellerSettings(Settings):
    """Settings of the labeller `foundation`."""

    foundation: FoundationSpec
    """The foundation: its name, or its name and settings."""
    frame_timeout_s: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after so many seconds; by default never."""


class FoundationLabeller(OneByOne):
    """Energy, forces and, where the cell is periodic in full, stress, as a foundation says them.

    Its labels are of the states that it knows: charges and moments of frames are not told to most.
    """

    name = "foundation"
    title = "a foundation"
    Settings = FoundationLabellerSettings
    settings: FoundationLabellerSettings
    not_physics = frozenset({"frame_timeout_s"})

    @property
    def packages(self) -> tuple[str, ...]:
        """The distribution that holds its weights, or reads them."""
        return self.settings.foundation.foundation().distributions

    def outcomes(self, configurations: Configurations) -> Iterator[tuple[Configurations, str] | tuple[None, str]]:
        """Evaluate the model; a value that is not finite is a failure, with its reason."""
        self.check(configurations)
        foundation = self.settings.foundation.foundation()
        made, facts = foundation.read()
        foundation.refuse(configurations.elements, facts.elements)
        bare = configurations.without_labels()
        for frame, atoms in zip(bare, bare.to_atoms(), strict=True):
            atoms.calc = foundation.calculator_for(made, frame.state_of(0))
            yield evaluated(frame, atoms, self.settings.frame_timeout_s)

    def check(self, configurations: Configurations) -> None:
        """Refuse frames without atoms, and those that it would take for others."""
        refuse_empty(configurations, self.name)
        self.settings.foundation.foundation().check_frames(configurations, f"{self.name}: ")
