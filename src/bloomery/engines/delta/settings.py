"""Settings of the engine `delta`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from bloomery.errors import BloomeryError
from bloomery.foundations.contract import FoundationSpec
from bloomery.plugins import PluginSpec, Settings

NAME = "delta"


class DeltaSettings(Settings):
    """Settings of the engine `delta`."""

    baseline: FoundationSpec
    """What is taken off the labels and added again: a foundation by name, with its settings, or any ASE calculator,
    ``calculator: {calculator: tblite}``."""
    engine: PluginSpec = PluginSpec(name="hdnnp")
    """The engine that is fitted to the difference, with its settings."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.engine.name == NAME:
            raise ValueError("engine is the one for the difference, and delta is not it; name another")
        try:
            self.engine.load("engines")
        except BloomeryError as error:
            raise ValueError(str(error)) from error
        runs_in(self)
        return self


def runs_in(settings: DeltaSettings) -> tuple[str, str] | None:
    """Role and name of the plug-in in whose environment both can run; `ValueError` if there is none."""
    foundation, own = settings.baseline.foundation(), settings.engine.load("engines").runs_in
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
