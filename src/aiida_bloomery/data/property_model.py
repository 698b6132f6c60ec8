"""A fitted model of a property in one immutable node."""

from __future__ import annotations

import tempfile

from aiida_bloomery.data.described import DescribedFolder
from bloomery.properties.contract import ARRAYS_FILE, PROPERTY_FILE, FittedProperty, load_property


class PropertyModelData(DescribedFolder):
    """The files of a fitted model; what its description in ``property.json`` says of it are attributes."""

    WHAT = "model of a property"
    WRITER = "model"
    FILES = (PROPERTY_FILE, ARRAYS_FILE)
    DESCRIBED = ("format", "model", "property", "unit", "elements")
    NEEDED = DESCRIBED

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
