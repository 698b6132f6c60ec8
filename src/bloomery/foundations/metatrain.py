"""Models of metatrain, such as PET-MAD, as exported metatomic models in a file of the user's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from bloomery.foundations.contract import Foundation, FoundationSettings
from bloomery.papers import Paper

COMPUTED = ["energy", "forces", "stress"]
"""Metatomic's calculator lists all properties that ASE knows, and computes these."""


class MetatrainFoundationSettings(FoundationSettings):
    """Settings of the foundation `metatrain`."""

    model: str
    """File of an exported model (`.pt`), such as PET-MAD. Together with its extensions it is a program that runs when
    it is used: name only files that you trust."""
    extensions: str | None = None
    """Folder with the extensions that were exported with it, on the machine that computes."""
    functional: str = ""
    """Of the labels that it was trained on; PBEsol of PET-MAD."""


class MetatrainFoundation(Foundation):
    """An exported metatomic model from a file."""

    name = "metatrain"
    title = "metatomic models"
    references = (Paper("A. Mazitov et al., arXiv:2503.14118 (2025)", "10.48550/arXiv.2503.14118"),)
    Settings = MetatrainFoundationSettings
    settings: MetatrainFoundationSettings
    package = "metatomic-ase"
    module = "metatomic_ase"
    environment = "metatrain"

    @property
    def precision(self) -> str:
        """The model's own."""
        return ""

    @property
    def paths(self) -> dict[str, str]:
        """The model, and the folder of its extensions."""
        extensions = self.settings.extensions
        return super().paths | ({} if extensions is None else {"extensions": extensions})

    def open(self, path: Path | None) -> Any:
        """Let metatomic read the model and its extensions."""
        with suppress(ImportError):
            # Without this import an exported SOAP-BPNN gives wrong forces, and says nothing.
            import sphericart.torch  # noqa: F401, PLC0415
        from metatomic_ase import MetatomicCalculator  # noqa: PLC0415

        # Without a skin, which would let an earlier frame decide on the order of the pairs, and so on the last digits.
        made = MetatomicCalculator(
            str(path), extensions_directory=self.settings.extensions, device=self.device, neighbor_skin=0.0
        )
        made.implemented_properties = COMPUTED
        return made

    def elements_of(self, calculator: Any) -> list[str] | None:
        """Those that the model says that it is capable of."""
        found = calculator._model.capabilities().atomic_types  # noqa: SLF001
        return [chemical_symbols[number] for number in sorted(found)]
