"""What nodes share that hold a folder which says in one file what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.exceptions import ValidationError
from pydantic import JsonValue

from aiida_bloomery.data.repository import reading
from bloomery.errors import InputError


class DescribedFolder(orm.Data):
    """The files of a folder; what its description says of it are attributes.

    Parameters
    ----------
    folder
        The folder, with its description.

    Raises
    ------
    InputError
        If the folder holds no description.
    """

    WHAT: ClassVar[str]
    """What it is, in words."""
    WRITER: ClassVar[str]
    """What writes the description, in a word."""
    FILES: ClassVar[tuple[str, ...]]
    """Files that must be there, the description first."""
    DESCRIBED: ClassVar[tuple[str, ...]]
    """Keys of the description that become attributes."""
    NEEDED: ClassVar[tuple[str, ...]]
    """Those that must be there."""

    def __init__(self, folder: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        folder = Path(folder)
        content = self.description_of(folder)
        self.base.repository.put_object_from_tree(str(folder.absolute()))
        self.base.attributes.set_many({key: content[key] for key in self.DESCRIBED if key in content})

    @classmethod
    def description_of(cls, folder: Path) -> dict[str, JsonValue]:
        """Read the description in a folder.

        Raises
        ------
        InputError
            If there is none, or it is not a mapping in JSON.
        """
        path = folder / cls.FILES[0]
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); give the folder of a {cls.WHAT}.") from error
        except ValueError as error:
            raise InputError(f"{path}: is not valid JSON ({error}).") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}: must hold a mapping that describes the {cls.WHAT}.")
        return content

    def export_to(self, folder: str | Path) -> None:
        """Write the files into a folder, which is made if missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with reading(self, self.WHAT):
            self.base.repository.copy_tree(Path(folder).absolute())

    def _validate(self) -> bool:
        """Check that the node holds what it is said to hold."""
        super()._validate()
        there = self.base.repository.list_object_names()
        for name in self.FILES:
            if name not in there:
                raise ValidationError(f"the node holds no {name}, so it is not a {self.WHAT}.")
        missing = [key for key in self.NEEDED if key not in self.base.attributes.all]
        if missing:
            raise ValidationError(f"{self.FILES[0]} does not say {missing[0]!r}: the {self.WRITER} must write it.")
        return True
