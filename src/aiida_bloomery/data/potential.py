"""A fitted potential of any engine in one immutable node."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.exceptions import ValidationError
from ase.calculators.calculator import Calculator
from pydantic import JsonValue

from aiida_bloomery.data.repository import reading
from bloomery.errors import InputError
from bloomery.potentials.contract import POTENTIAL_FILE, Potential, load_potential


class PotentialData(orm.Data):
    """The files that an engine wrote; what its description says of it are attributes.

    Parameters
    ----------
    folder
        The potential's folder, with its description in ``potential.json``.

    Raises
    ------
    InputError
        If the folder holds no potential.
    """

    DESCRIBED: ClassVar[tuple[str, ...]] = (
        "engine", "format_version", "elements", "energy_reference", "members", "dtype", "cutoff", "descriptor",
        "settings", "versions", "trained_on",
    )  # fmt: skip
    NEEDED: ClassVar[tuple[str, ...]] = ("engine", "elements", "energy_reference", "members")

    def __init__(self, folder: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        folder = Path(folder)
        content = read_description(folder / POTENTIAL_FILE)
        self.base.repository.put_object_from_tree(str(folder.absolute()))
        self.base.attributes.set_many({key: content[key] for key in self.DESCRIBED if key in content})

    @property
    def engine(self) -> str:
        """Name of the engine that fitted it."""
        return str(self.base.attributes.get("engine"))

    @property
    def elements(self) -> list[str]:
        """Elements that it knows."""
        return list(self.base.attributes.get("elements"))

    @property
    def members(self) -> int:
        """Size of the committee."""
        return int(self.base.attributes.get("members"))

    @property
    def energy_reference(self) -> dict[str, float]:
        """Energy in eV of an atom of each element."""
        return dict(self.base.attributes.get("energy_reference"))

    def load(self, device: str = "cpu") -> Potential:
        """Load the potential.

        Raises
        ------
        InputError
            If its engine is not installed here.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.export_to(folder)
            return load_potential(folder, device)

    def calculator(self, device: str = "cpu") -> Calculator:
        """Return an ASE calculator: energy, forces, stress, and ``disagreement`` per atom in its results."""
        return self.load(device).calculator()

    def export_to(self, folder: str | Path) -> None:
        """Write the potential's files into a folder, which is made if missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with reading(self, "potential"):
            self.base.repository.copy_tree(Path(folder).absolute())

    def _validate(self) -> bool:
        """Check that the node holds a potential that says what it is."""
        super()._validate()
        if POTENTIAL_FILE not in self.base.repository.list_object_names():
            raise ValidationError(f"the node holds no {POTENTIAL_FILE}, so it is not a potential.")
        missing = [key for key in self.NEEDED if key not in self.base.attributes.all]
        if missing:
            raise ValidationError(f"{POTENTIAL_FILE} does not say {missing[0]!r}: the engine must write it.")
        return True


def read_description(path: Path) -> dict[str, JsonValue]:
    """Read a potential's description.

    Raises
    ------
    InputError
        If there is none, or it is not a mapping in JSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the folder that an engine wrote.") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a mapping that describes the potential.")
    return content
