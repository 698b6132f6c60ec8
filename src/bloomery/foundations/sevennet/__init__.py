"""SevenNet, with the weights that the wheel of the package `sevenn` holds, or with a checkpoint of the user's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from ase.data import chemical_symbols
from pydantic import model_validator

from bloomery.errors import InputError
from bloomery.foundations.contract import Foundation, FoundationSettings
from bloomery.foundations.materials_project import ELEMENTS, functional_of
from bloomery.papers import Paper
from bloomery.plugins import PluginSpec, Settings

SHIPPED = {
    "7net-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_11july2024": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_22may2024": "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
    "7net-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
    "7net-mf-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
}
"""Names of the weights in the wheel, in lower case as the package takes them, and their files."""

FIDELITIES = {"PBE": "PBE", "R2SCAN": "r2SCAN"}
"""Of ``7net-mf-0``: what the package calls them, and the functional."""


def _shipped(model: str) -> str | None:
    """Return the file of weights in the wheel; ``None`` if they have no such name."""
    return SHIPPED.get(model.lower().replace("sevennet", "7net"))


class SevennetWeights(Settings):
    """Which weights: those of a name, or of a file."""

    model: str = "7net-0"
    """Weights: ``7net-0`` (also ``7net-0_22may2024``), ``7net-l3i5`` (more accurate, three times as slow) or
    ``7net-mf-0``, which the wheel of the package holds; or a file, a checkpoint of SevenNet. That is a pickle, which
    can run code when it is read: name only files that you trust."""
    modal: str | None = None
    """Fidelity of a model that has several; of ``7net-mf-0`` ``PBE`` (by default) or ``R2SCAN``."""

    @model_validator(mode="after")
    def _has_the_fidelity(self) -> Self:
        shipped = _shipped(self.model)
        known = FIDELITIES if shipped == SHIPPED["7net-mf-0"] else {}
        if self.modal is not None and shipped is not None and self.modal not in known:
            raise ValueError(
                f"modal is {self.modal!r}, and {self.model} has "
                + (f"{', '.join(known)}; choose one" if known else "no fidelities; leave it out")
            )
        return self


WEIGHTS = (*SevennetWeights.model_fields, "digest")
"""Settings that say which weights: of the foundation and of the engine that tunes them."""


class SevennetSettings(FoundationSettings, SevennetWeights):
    """Settings of the foundation `sevennet`."""

    functional: str = ""
    """Of the labels that a file of your own was trained on."""


class Sevennet(Foundation):
    """SevenNet: equivariant message passing, trained on the relaxations of the Materials Project."""

    name = "sevennet"
    title = "SevenNet"
    references = (
        Paper("Y. Park et al., J. Chem. Theory Comput. 20, 4857 (2024)", "10.1021/acs.jctc.4c00190"),
        Paper("J. Kim et al., J. Am. Chem. Soc. 147, 1042 (2025)", "10.1021/jacs.4c14455"),
    )
    Settings = SevennetSettings
    settings: SevennetSettings
    package = "sevenn"
    module = "sevenn"
    environment = "sevennet"
    tunes_quickly = True

    @property
    def _shipped(self) -> str | None:
        return _shipped(self.model)

    @property
    def paths(self) -> dict[str, str]:
        """The checkpoint, if it is none of the wheel's."""
        return {} if self._shipped else super().paths

    def lacks(self, given: str) -> str:
        """Say that there is neither a file nor weights of the name."""
        return f"{given!r} is no file, and no weights that sevenn ships ({', '.join(SHIPPED)}); correct it."

    @property
    def modal(self) -> str | None:
        """The fidelity, as the package calls it."""
        if self.settings.modal is None:
            return "PBE" if self._shipped == SHIPPED["7net-mf-0"] else None
        return self.settings.modal

    @property
    def tuning(self) -> PluginSpec:
        """The engine `sevennet`."""
        return PluginSpec(name="sevennet", settings=self.settings.model_dump(include=set(WEIGHTS), exclude_none=True))

    @property
    def functional(self) -> str:
        """PBE, where it is not the other fidelity, or a file of the user's."""
        if not self._shipped:
            return self.settings.functional
        return FIDELITIES.get(self.modal or "", "PBE")

    def functional_for(self, elements: Iterable[str]) -> str:
        """PBE with the Hubbard corrections of the Materials Project."""
        return functional_of(self.functional, elements) if self._shipped else self.functional

    @property
    def covers(self) -> list[str] | None:
        """The elements of the Materials Project's relaxations; those of a file are in it."""
        return list(ELEMENTS) if self._shipped else None

    def weights(self) -> Path | None:
        """The file in the package, or the user's."""
        if self._shipped is None:
            return super().weights()
        spec = find_spec("sevenn")
        assert spec is not None and spec.origin is not None  # noqa: PT018, S101
        path = Path(spec.origin).parent / "pretrained_potentials" / self._shipped
        if not path.is_file():
            raise InputError(f"{self.name}.model: this version of sevenn has no file {path}; install sevenn 0.13.")
        return path

    def open(self, path: Path | None) -> Any:
        """Let the package read its checkpoint."""
        from sevenn.calculator import SevenNetCalculator  # noqa: PLC0415

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that no library makes its products faster
            return SevenNetCalculator(str(path), device=self.device, modal=self.modal)

    def elements_of(self, calculator: Any) -> list[str] | None:
        """Those of its map of types."""
        return [chemical_symbols[number] for number in sorted(calculator.type_map)]
