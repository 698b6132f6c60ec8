"""Any ASE calculator as a foundation, named as the labeller `calculator` names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bloomery.errors import InputError
from bloomery.foundations.contract import Foundation
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.reference.calculators import Calculators, CalculatorSpec
from bloomery.reference.periodicity import check_periodicity


class CalculatorFoundationSettings(Settings):
    """Settings of the foundation `calculator`."""

    calculator: CalculatorSpec
    """The ASE calculator: its name (``emt``, ``module:Class``), or its name and arguments, among them its device."""
    functional: str = ""
    """Of the labels that it was trained on."""
    elements: list[str] | None = None
    """Elements that it covers, where its class does not say."""


class CalculatorFoundation(Foundation):
    """Any ASE calculator, by the name of its class."""

    name = "calculator"
    title = "an ASE calculator"
    Settings = CalculatorFoundationSettings
    settings: CalculatorFoundationSettings

    @property
    def model(self) -> str:
        """Name of the class."""
        return self.settings.calculator.name

    @property
    def precision(self) -> str:
        """Its class's own."""
        return ""

    @property
    def covers(self) -> list[str] | None:
        """What the user says, or the class, where that is installed."""
        if self.settings.elements is not None or not self.settings.calculator.is_installed:
            return self.settings.elements
        return self.elements_of(self.settings.calculator.make())

    @property
    def paths(self) -> dict[str, str]:
        """Weights are a matter of the class's arguments."""
        return {}

    @property
    def distributions(self) -> tuple[str, ...]:
        """Where its class is from, if it is named by its module."""
        return self.settings.calculator.distributions

    def check_class(self) -> None:
        """Make one, once."""
        self.settings.calculator.make()

    @property
    def device(self) -> str:
        """A matter of the class's arguments."""
        return ""

    def open(self, path: Path | None) -> Any:  # noqa: ARG002
        """Make one for every state that can be told it."""
        calculators = Calculators(self.settings.calculator)
        calculators.of({})
        return calculators

    def elements_of(self, calculator: Any) -> list[str] | None:
        """What the user says, or the class."""
        known = getattr(calculator.of({}) if isinstance(calculator, Calculators) else calculator, "elements", None)
        if self.settings.elements is not None or not isinstance(known, set | frozenset):
            return self.settings.elements
        return sorted(known)

    def calculator_for(self, made: Any, state: Mapping[str, Any]) -> Any:
        """Tell the calculator what it can be told of a state; the rest it does not heed."""
        try:
            return made.of(state)
        except InputError:
            return made.of({})

    def check_frames(self, frames: Configurations, where: str = "") -> None:
        """Refuse frames that are periodic otherwise than the calculator would see."""
        check_periodicity(self.model, frames, where)
