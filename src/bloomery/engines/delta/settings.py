"""Settings of the engine `delta`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from bloomery.errors import BloomeryError
from bloomery.foundations.contract import FoundationSpec
from bloomery.plugins import PluginSpec, Settings

if TYPE_CHECKING:
    from bloomery.engines.contract import Engine

NAME = "delta"


class DeltaSettings(Settings):
    """Settings of the engine `delta`."""

    baseline: FoundationSpec
    """What is taken off the labels and added again: a foundation by name, with its settings, or any ASE calculator,
    ``calculator: {calculator: tblite}``."""
    engine: PluginSpec | None = PluginSpec(name="hdnnp")
    """The engine that is fitted to the difference, with its settings. With ``null`` nothing is fitted but an energy of
    each element, and the potential is the baseline: one member, which has no disagreement."""

    @property
    def difference(self) -> Engine | None:
        """The engine of the difference, if there is one."""
        return None if self.engine is None else self.engine.load("engines")

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.engine is not None and self.engine.name == NAME:
            raise ValueError("engine is the one for the difference, and delta is not it; name another")
        try:
            _ = self.difference
        except BloomeryError as error:
            raise ValueError(str(error)) from error
        runs_in(self)
        return self


def runs_in(settings: DeltaSettings) -> tuple[str, str] | None:
    """Role and name of the plug-in in whose environment both can run; `ValueError` if there is none."""
    foundation, difference = settings.baseline.foundation(), settings.difference
    own = None if difference is None else difference.runs_in
    there = None
    if foundation.package:
        shared = foundation.environment
        there = ("engine", shared) if shared else ("foundation", foundation.name)
    if there and own and there != own:
        raise ValueError(
            f"the baseline runs in the environment of {there[1]}, and the engine in that of {own[1]}; take an engine "
            "that needs no environment, such as hdnnp"
        )
    return there or own
