"""A potential of bloomery's own as a foundation: one that learned cheap labels is the baseline for dear ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bloomery.errors import InputError
from bloomery.foundations.contract import Foundation, FoundationSettings
from bloomery.plugins import load_plugin
from bloomery.potentials.calculator import CommitteeCalculator
from bloomery.potentials.contract import POTENTIAL_FILE, UNREADABLE, load_potential


class PotentialFoundationSettings(FoundationSettings):
    """Settings of the foundation `potential`."""

    model: str
    """Folder of a potential, as `bloomery train` and an export of a campaign write it."""
    functional: str = ""
    """Of the labels that it was trained on, such as ``PBE``."""


class PotentialFoundation(Foundation):
    """The mean of a committee, of an engine that needs no environment of its own."""

    name = "potential"
    title = "a potential of bloomery's own"
    Settings = PotentialFoundationSettings
    settings: PotentialFoundationSettings

    @property
    def precision(self) -> str:
        """That of the potential."""
        return str(self._told().get("dtype", ""))

    @property
    def covers(self) -> list[str] | None:
        """The elements that it knows, where it is here."""
        elements = self._told().get("elements")
        return [str(element) for element in elements] if isinstance(elements, list) else None

    def _told(self) -> dict[str, Any]:
        """What its file says; nothing where it cannot be read."""
        try:
            content = json.loads((Path(self.settings.model) / POTENTIAL_FILE).read_text(encoding="utf-8"))
        except UNREADABLE:
            return {}
        return content if isinstance(content, dict) else {}

    def is_weights(self, path: Path) -> bool:
        """Whether a path is a folder."""
        return path.is_dir()

    def lacks(self, given: str) -> str:
        """Say that it is not there."""
        return f"there is no folder {given!r} of a potential; correct its path."

    def check_class(self) -> None:
        """Refuse a potential whose engine has an environment of its own."""
        engine = str(self._told().get("engine", ""))
        if engine and load_plugin("engines", engine).package:
            raise InputError(
                f"the potential {self.model} is of the engine {engine}, which runs in an environment of its own; take "
                "one of an engine that needs none, such as hdnnp."
            )

    def open(self, path: Path | None) -> Any:
        """Read it as every potential is read."""
        return CommitteeCalculator(load_potential(str(path), self.device))

    def elements_of(self, calculator: Any) -> list[str] | None:
        """Those that it knows."""
        return list(calculator.potential.elements)
