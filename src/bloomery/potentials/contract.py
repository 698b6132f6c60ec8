"""What a potential is: the contract between those that fit potentials and those that use them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin
from bloomery.potentials.calculator import CommitteeCalculator
from bloomery.potentials.model_card import write_model_card
from bloomery.potentials.prediction import Prediction

POTENTIAL_FILE = "potential.json"
"""Every potential is a folder; this file in it says which engine reads the rest."""


class Potential(ABC):
    """A fitted potential: a committee of ``M`` members behind one interface."""

    elements: list[str]
    energy_reference: dict[str, float]
    members: int
    dtype: str
    engine: str
    versions: dict[str, str]
    cutoff: float
    details: dict[str, Any]
    """What else `POTENTIAL_FILE` says: ``settings``, ``seed``, and ``trained_on`` with ``digest`` and ``frames``."""
    learns_rotations: bool = False
    """Energies change a little under rotation: the potential has learnt that they should not, and was not built so."""
    formats: ClassVar[dict[str, str]] = {}
    """What it can be exported as: name of a format to what it is."""

    @abstractmethod
    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members for all frames.

        Raises
        ------
        InputError
            If a frame has an element that the potential does not know; the frame is named.
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the potential's files, `POTENTIAL_FILE` among them, into a folder, which is made if missing."""

    def calculator(self) -> Calculator:
        """Return an ASE calculator: energy, forces, stress, and ``disagreement`` per atom in its results."""
        return CommitteeCalculator(self)

    def feature_name(self, element: str, feature: int) -> str:  # noqa: ARG002
        """Say what a feature of an atom is, for `Prediction.extrapolating_feature`."""
        return f"feature {feature}"

    def as_float64(self) -> Potential | None:
        """Return the same weights evaluated in float64; ``None`` for an engine that has no float64."""
        return None

    def export(self, format: str, folder: str | Path) -> list[Path]:  # noqa: A002
        """Write the potential for deployment, with its model card.

        Returns
        -------
        list
            The files written.

        Raises
        ------
        InputError
            If the engine cannot write that format, or the format cannot express this potential.
        """
        if format not in self.formats:
            known = ", ".join(self.formats) or "none yet"
            raise InputError(
                f"potentials of the engine {self.engine!r} cannot be exported as {format!r}; formats: {known}."
            )
        obstacle = self.obstacle(format)
        if obstacle:
            raise InputError(f"this potential cannot be exported as {format!r}: {obstacle}.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = self.write_export(format, folder)
        return [*files, *write_model_card(self, format, files, folder)]

    def obstacle(self, format: str) -> str:  # noqa: A002, ARG002
        """Say why this potential cannot be written in one of its engine's `formats`; empty if it can."""
        return ""

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write the files of one of `formats` into a folder; return their paths."""
        raise NotImplementedError(f"{type(self).__name__} lists {format!r} in `formats` and does not write it")

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator | None:  # noqa: A002, ARG003
        """Return the ASE calculator that users of `write_export`'s files would make; ``None`` if there is none."""
        return None

    def unknown_element(self, configurations: Configurations) -> str | None:
        """Return a sentence about the first frame with an element that the potential does not know, or ``None``."""
        if set(configurations.elements) <= set(self.elements):
            return None
        known = np.isin(configurations.numbers, [chemical_symbols.index(element) for element in self.elements])
        atom = int(np.flatnonzero(~known)[0])
        return (
            f"frame {configurations.frame_of_atom[atom]} holds {chemical_symbols[configurations.numbers[atom]]}, which "
            f"the potential does not know (it knows {', '.join(self.elements)}); train on frames with that element."
        )


def load_potential(folder: str | Path, device: str = "auto") -> Potential:
    """Read a potential of any engine from its folder.

    Raises
    ------
    InputError
        If the folder holds no potential, or its engine is not installed.
    """
    file = Path(folder) / POTENTIAL_FILE
    if not file.is_file():
        raise InputError(
            f"{folder}: holds no {POTENTIAL_FILE}, so it is not a potential; give the folder that an engine wrote."
        )
    try:
        engine = json.loads(file.read_text(encoding="utf-8"))["engine"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: does not say which engine wrote it ({error}).") from error
    potential: Potential = load_plugin("engines", engine).load(folder, device)
    return potential


def reference_energies(configurations: Configurations, reference: dict[str, float]) -> NDArray[np.float64]:
    """Sum of the atoms' reference energies of each frame in eV, ``(N,)``."""
    per_number = np.zeros(len(chemical_symbols))
    for element, energy in reference.items():
        per_number[chemical_symbols.index(element)] = energy
    result = np.zeros(len(configurations))
    np.add.at(result, configurations.frame_of_atom, per_number[configurations.numbers])
    return result
