"""CHGNet, with the weights that the wheel of the package `chgnet` holds, or with a file of the user's."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bloomery.errors import InputError
from bloomery.foundations.contract import Foundation, FoundationSettings
from bloomery.foundations.materials_project import ELEMENTS, functional_of
from bloomery.papers import Paper

SHIPPED = {"0.2.0": "PBE", "0.3.0": "PBE", "r2scan": "r2SCAN"}
"""Names of the weights in the wheel, and the functional of their labels."""


class ChgnetSettings(FoundationSettings):
    """Settings of the foundation `chgnet`."""

    model: str = "0.3.0"
    """Weights: ``0.3.0``, ``0.2.0`` or ``r2scan``, which the wheel of the package holds; or a file that CHGNet wrote.
    That is a pickle, which can run code when it is read: name only files that you trust."""
    functional: str = ""
    """Of the labels that a file of your own was trained on."""


class Chgnet(Foundation):
    """CHGNet: a graph network with magnetic moments, trained on the relaxations of the Materials Project."""

    name = "chgnet"
    title = "CHGNet"
    references = (Paper("B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)", "10.1038/s42256-023-00716-3"),)
    Settings = ChgnetSettings
    settings: ChgnetSettings
    package = "chgnet"
    module = "chgnet"

    @property
    def paths(self) -> dict[str, str]:
        """The file, if it is none of the wheel's."""
        return {} if self.model in SHIPPED else super().paths

    def lacks(self, given: str) -> str:
        """Say that there is neither a file nor weights of the name."""
        return f"{given!r} is no file, and no weights that chgnet ships ({', '.join(SHIPPED)}); correct it."

    @property
    def functional(self) -> str:
        """What the weights were trained on."""
        return SHIPPED.get(self.model, self.settings.functional)

    def functional_for(self, elements: Iterable[str]) -> str:
        """PBE with the Hubbard corrections of the Materials Project."""
        return self.functional if self.paths else functional_of(self.functional, elements)

    @property
    def covers(self) -> list[str] | None:
        """The elements of the Materials Project's relaxations; files of the user's are of the same network."""
        return list(ELEMENTS)

    def weights(self) -> Path | None:
        """The file in the package, or the user's."""
        if self.paths:
            return super().weights()
        spec = find_spec("chgnet")
        assert spec is not None and spec.origin is not None  # noqa: PT018, S101
        found = sorted((Path(spec.origin).parent / "pretrained" / self.model).glob("*.tar"))
        if not found:
            raise InputError(f"{self.name}.model: this version of chgnet has no {self.model}; install chgnet 0.4.2.")
        return found[0]

    def open(self, path: Path | None) -> Any:
        """Let the package read its weights; what it says of isolated atoms is not an error in dynamics."""
        from chgnet.model import CHGNet, CHGNetCalculator  # noqa: PLC0415

        if not self.paths:
            network = CHGNet.load(model_name=self.model, use_device=self.device, verbose=False)
        else:
            network = CHGNet.from_file(str(path))
        return CHGNetCalculator(model=network, use_device=self.device, on_isolated_atoms="ignore")
