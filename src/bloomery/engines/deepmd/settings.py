"""Settings of the engine `deepmd`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share

Prefactors = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class DeepmdLoss(Settings):
    """Weight of each label in the loss at the beginning and at the end; between them it follows the learning rate."""

    energy: Prefactors = (0.02, 1.0)
    """Of the energy per atom."""
    forces: Prefactors = (1000.0, 1.0)
    """Of the force components."""
    stress: Prefactors = (0.02, 0.2)
    """Of the virial per atom."""


class DeepmdSettings(Settings):
    """Settings of the engine `deepmd`: those that matter most; `model` and `training` take DeePMD-kit's own."""

    members: int = Field(default=4, ge=1)
    """Members of the committee."""
    share: Share = Field(default=0.75, gt=0, le=1)
    """Share of the members that each training frame is shown to; the draw follows from the frame's content."""
    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Range of an atom's environment in Å."""
    smooth_from: Angstrom = Field(default=1.0, ge=0)
    """Distance in Å from which neighbours fade towards the cutoff."""
    neighbours: float = Field(default=1.4, ge=1)
    """Room for neighbours, as a multiple of the most in the training frames; in denser frames DeePMD-kit drops some."""
    embedding: tuple[int, ...] = (16, 32, 64)
    """Width of each layer of the embedding network; each is once or twice the one before."""
    axis: int = Field(default=8, ge=1)
    """Columns of the embedding that the descriptor is contracted with; at most the width of its last layer."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Width of each layer of the fitting network."""
    steps: int = Field(default=20000, ge=1)
    """Gradient steps from scratch; there is no early stopping, the last weights are kept.

    Up to one in a hundred more are made, until the next report: DeePMD-kit keeps what it trained only there.
    """
    warm_steps: int = Field(default=5000, ge=1)
    """Gradient steps of a training that starts from an earlier potential."""
    batch_size: int = Field(default=4, ge=1)
    """Frames per gradient step, all of one composition."""
    learning_rate: float = Field(default=2e-3, gt=0, le=1e30)
    """Step size of Adam at the beginning; it falls exponentially."""
    warm_learning_rate: float = Field(default=5e-4, gt=0, le=1e30)
    """The same for a training that starts from an earlier potential."""
    final_learning_rate: float = Field(default=1e-6, gt=0, le=1e30)
    """Step size at the end."""
    loss: DeepmdLoss = DeepmdLoss()
    """Weights of the labels."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of the networks."""
    model: dict[str, object] = Field(default_factory=dict)
    """Options for the ``model`` section of DeePMD-kit's input, laid over ours."""
    training: dict[str, object] = Field(default_factory=dict)
    """Options for its ``training`` section."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.smooth_from >= self.cutoff:
            raise ValueError("smooth_from must be less than the cutoff")
        if not self.embedding or self.axis > self.embedding[-1]:
            raise ValueError("axis must be at most the width of the last layer of embedding")
        if self.final_learning_rate > min(self.learning_rate, self.warm_learning_rate):
            raise ValueError("final_learning_rate must not exceed learning_rate or warm_learning_rate")
        return self
