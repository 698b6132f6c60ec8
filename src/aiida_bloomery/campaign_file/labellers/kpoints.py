"""The mesh of k-points in a campaign file, the same for all programs that have one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Unit

Repeat = Annotated[int, Field(ge=1)]
Shift = Literal[0, 1]


class Kpoints(Settings):
    """The k-point mesh: the same for every frame, or by its density."""

    mesh: tuple[Repeat, Repeat, Repeat] | None = None
    """Points along the reciprocal cell vectors; 1 along open directions, whatever is said."""
    shift: tuple[Shift, Shift, Shift] = (0, 0, 0)
    """1 shifts the mesh by half a step along a vector, away from Gamma."""
    distance: Annotated[float, Unit("1/Å"), Field(gt=0, le=2)] | None = None
    """Largest distance between points in 1/Å, from which each frame's cell gives its mesh."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Kpoints:
        if (self.mesh is None) == (self.distance is None):
            raise ValueError("give either a mesh, such as [3, 3, 3], or a distance, such as 0.2 1/Å")
        return self

    def as_input(self) -> dict[str, object]:
        """As the builder of the workchain takes them."""
        given = {"mesh": list(self.mesh)} if self.mesh else {"distance": self.distance}
        return {**given, "offset": [shift / 2 for shift in self.shift]}
