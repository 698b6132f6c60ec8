"""A fitted model of a property in one immutable node."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.exceptions import ValidationError

from aiida_bloomery.data.potential import read_description
from aiida_bloomery.data.repository import reading
from bloomery.properties.contract import ARRAYS_FILE, PROPERTY_FILE, FittedProperty, load_property


class PropertyModelData(orm.Data):
    """The files of a fitted model; what its description says of it are attributes.

    Parameters
    ----------
    folder
        The model's folder, with its description in ``property.json``.

    Raises
    ------
    InputError
        If the folder holds no model.
    """

    DESCRIBED: ClassVar[tuple[str, ...]] = ("format", "model", "property", "unit", "elements")

    def __init__(self, folder: str | Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        folder = Path(folder)
        content = read_description(folder / PROPERTY_FILE)
        self.base.repository.put_object_from_tree(str(folder.absolute()))
        self.base.attributes.set_many({key: content[key] for key in self.DESCRIBED if key in content})

    @property
    def property_name(self) -> str:
        """The property that it predicts."""
        return str(self.base.attributes.get("property"))

    @property
    def elements(self) -> list[str]:
        """Elements that it knows."""
        return list(self.base.attributes.get("elements"))

    def load(self) -> FittedProperty:
        """Load the model.

        Raises
        ------
        InputError
            If its plug-in is not installed here.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.export_to(folder)
            return load_property(folder)

    def export_to(self, folder: str | Path) -> None:
        """Write the model's files into a folder, which is made if missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with reading(self, "property model"):
            self.base.repository.copy_tree(Path(folder).absolute())

    def _validate(self) -> bool:
        """Check that the node holds a model that says what it is."""
        super()._validate()
        missing = {PROPERTY_FILE, ARRAYS_FILE} - set(self.base.repository.list_object_names())
        if missing:
            raise ValidationError(f"the node holds no {min(missing)}, so it is no model of a property.")
        unsaid = [key for key in self.DESCRIBED if key not in self.base.attributes.all]
        if unsaid:
            raise ValidationError(f"{PROPERTY_FILE} does not say {unsaid[0]!r}: the model must write it.")
        return True
