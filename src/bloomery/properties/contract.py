"""What a model of a property is: it learns a label of frames or atoms, and predicts it with its error."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.labels import LABELS, Property
from bloomery.plugins import Plugin, load_plugin
from bloomery.properties.laws import check_defined, property_named

PROPERTY_FILE = "property.json"
ARRAYS_FILE = "arrays.npz"
FORMAT = 1


def folder_of(name: str) -> str:
    """Folder in which a job finds the model of a property that it is handed."""
    return f"property_{name}"


@dataclass(frozen=True)
class PropertyPrediction:
    """A property of some frames, as ``M`` members of a committee predict it; ``R`` are the frames or their atoms."""

    values: NDArray[np.float64]
    """The prediction, ``(R, *shape)``, in the unit of the label."""
    members: NDArray[np.float64]
    """Of each member, ``(M, R, *shape)``. They have learnt from parts of the frames; ``values`` are not their mean."""
    factor: float
    """What turns the spread of the members into a standard error."""

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard error of a component, ``(R,)``: root mean square over the components."""
        return self.factor * spread(self.members)


def spread(members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over members ``(M, R, *shape)``, root mean square over components, ``(R,)``."""
    variances = members.var(axis=0, ddof=1)
    return np.asarray(np.sqrt(variances.reshape(len(variances), -1).mean(axis=1)))


class FittedProperty(ABC):
    """A model that has learnt.

    Attributes
    ----------
    name
        The property.
    elements
        Those that it has seen.
    cutoff
        How far atoms feel each other in Å.
    """

    model: ClassVar[str]
    """Name of the plug-in that made it."""

    def __init__(self, name: Property, elements: list[str], cutoff: float) -> None:
        self.name, self.elements, self.cutoff = name, elements, cutoff

    def predict(self, configurations: Configurations) -> PropertyPrediction:
        """Predict the property of frames.

        Raises
        ------
        InputError
            If a frame has an element that was not learnt, or the property is not defined for it; the frame is named.
        """
        check_defined(self.name, configurations)
        strange = ~np.isin(configurations.numbers, symbols_to_numbers(self.elements))
        if strange.any():
            atom = int(strange.argmax())
            raise InputError(
                f"frame {configurations.frame_of_atom[atom]} holds {chemical_symbols[configurations.numbers[atom]]}, "
                f"and this model of the {self.name} has learnt {', '.join(self.elements)} alone; train one on frames "
                "with it."
            )
        return self._predicted(configurations)

    @abstractmethod
    def _predicted(self, configurations: Configurations) -> PropertyPrediction:
        """Predict frames that are known to be fit for it."""

    @abstractmethod
    def content(self) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]:
        """What makes it up: plain values, and arrays."""

    @classmethod
    @abstractmethod
    def of_content(
        cls, name: Property, elements: list[str], plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        """Undo `content`."""

    def save(self, folder: Path) -> Path:
        """Write it into a folder, which must not be there yet."""
        plain, arrays = self.content()
        folder.mkdir(parents=True)
        whole = {
            "format": FORMAT, "model": self.model, "property": self.name, "unit": LABELS[self.name].unit,
            "elements": self.elements, "content": plain,
        }  # fmt: skip
        np.savez(folder / ARRAYS_FILE, allow_pickle=False, **arrays)
        (folder / PROPERTY_FILE).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        return folder


def load_property(folder: str | Path) -> FittedProperty:
    """Read a fitted model.

    Raises
    ------
    InputError
        If the folder holds none, or one that this version does not know.
    """
    place = Path(folder)
    try:
        whole = json.loads((place / PROPERTY_FILE).read_text(encoding="utf-8"))
        with np.load(place / ARRAYS_FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if whole["format"] != FORMAT:
            raise InputError(f"{place}: was written by another version (format {whole['format']}); train it again.")
        name, elements = property_named(whole["property"]), [str(element) for element in whole["elements"]]
        kind: type[FittedProperty] = load_plugin("property_models", whole["model"]).fitted_kind()
        return kind.of_content(name, elements, whole["content"], arrays)
    except FileNotFoundError as error:
        raise InputError(
            f"{place}: is no model of a property (there is no {Path(error.filename).name}); give the folder that "
            "`bloomery property train` wrote."
        ) from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{place}: cannot be read as a model of a property ({error}); train it again.") from error


def load_one_of(folder: str | Path, names: Sequence[str], where: str) -> FittedProperty:
    """Read a model of one of these properties; ``where`` is the setting that names the folder.

    Raises
    ------
    InputError
        If the folder holds none, or one of another property.
    """
    fitted = load_property(folder)
    if fitted.name not in names:
        raise InputError(f"{where}: {folder} is a model of {fitted.name}; give one of {' or '.join(names)}.")
    return fitted


class PropertyModel(Plugin):
    """Learn a property from labelled frames."""

    @classmethod
    @abstractmethod
    def fitted_kind(cls) -> type[FittedProperty]:
        """What comes of it."""

    def fit(self, configurations: Configurations, name: Property, seed: int = 0) -> FittedProperty:
        """Learn from those frames that have the label.

        Raises
        ------
        InputError
            If too few frames have the label, or it is not defined for one of them; the frame is named.
        """
        labelled = configurations.has(name)
        check_defined(name, configurations[labelled])
        return self._fitted(configurations[labelled], name, seed)

    @abstractmethod
    def _fitted(self, configurations: Configurations, name: Property, seed: int) -> FittedProperty:
        """Learn from frames that all have the label."""
