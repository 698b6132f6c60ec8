"""MACE foundation models, from a file of the user's, read by the package `mace-torch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ase.data import chemical_symbols

from bloomery.foundations.contract import Foundation, FoundationSettings
from bloomery.papers import Paper
from bloomery.plugins import PluginSpec


class MaceFoundationSettings(FoundationSettings):
    """Settings of the foundation `mace`."""

    model: str
    """File of a model (`.model`), such as MACE-MP-0. It is a pickle, which can run code when it is read: name only
    files that you trust."""
    head: str | None = None
    """Which head of a model that has several."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision; ``float64`` is twice as slow."""
    functional: str = ""
    """Of the labels that it was trained on, such as ``PBE``."""


class MaceFoundation(Foundation):
    """A MACE model from a file."""

    name = "mace"
    title = "MACE"
    references = (Paper("I. Batatia et al., arXiv:2401.00096 (2023)", "10.48550/arXiv.2401.00096"),)
    Settings = MaceFoundationSettings
    settings: MaceFoundationSettings
    package = "mace-torch"
    module = "mace"
    environment = "mace"

    @property
    def precision(self) -> str:
        """What the user says."""
        return self.settings.dtype

    @property
    def tuning(self) -> PluginSpec | None:
        """The engine `mace`, which tunes all weights of a model with one head."""
        if self.settings.head is not None:
            return None
        return PluginSpec(name="mace", settings={"foundation": self.settings.model, "dtype": self.settings.dtype})

    def open(self, path: Path | None) -> Any:
        """Let the package read its pickle."""
        from mace.calculators import MACECalculator  # noqa: PLC0415

        head = {} if self.settings.head is None else {"head": self.settings.head}
        return MACECalculator(model_paths=str(path), device=self.device, default_dtype=self.settings.dtype, **head)

    def elements_of(self, calculator: Any) -> list[str] | None:
        """Those of its table."""
        return [chemical_symbols[int(number)] for number in sorted(calculator.models[0].atomic_numbers)]
