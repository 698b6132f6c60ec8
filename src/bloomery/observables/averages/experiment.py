"""What was measured in a laboratory, to be drawn and scored beside potential and reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.plugins import Settings

Column = Annotated[int, Field(ge=0)]


class MeasuredCurve(Settings):
    """A measured curve: two lists of numbers, or two columns of a text file, in the units of the observable."""

    x: list[float] = Field(default_factory=list)
    """Where it was measured."""
    y: list[float] = Field(default_factory=list)
    """What was measured there."""
    file: str | None = None
    """Text file with columns; lines that begin with # are comments."""
    columns: tuple[Column, Column] = (0, 1)
    """Which columns of the file are x and y; the first is 0."""
    source: str = ""
    """Where it is from, such as a paper."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (not self.x):
            raise ValueError("give either x and y, or file")
        if len(self.x) != len(self.y):
            raise ValueError(f"x has {len(self.x)} numbers and y {len(self.y)}; they must be equally many")
        return self

    def read(self, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y, sorted by x; `InputError` if the file cannot be read, or there are fewer than two points."""
        x, y = np.array(self.x), np.array(self.y)
        if self.file is not None:
            if not Path(self.file).is_file():
                raise InputError(f"{where}.file: there is no file {self.file}; check the path.")
            try:
                table = np.loadtxt(self.file, usecols=self.columns, ndmin=2)
            except (ValueError, OSError) as error:
                raise InputError(
                    f"{where}.file: {self.file} cannot be read as columns of numbers ({error})."
                ) from error
            x, y = table.T
        if len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InputError(f"{where}: holds {len(x)} points; a curve has two at least, all of them finite.")
        order = np.argsort(x)
        return x[order], y[order]

    def inlined(self, where: str) -> Self:
        """Return the same curve without a file, for a job that runs where the file is not."""
        x, y = self.read(where)
        return type(self)(x=x.tolist(), y=y.tolist(), source=self.source)
