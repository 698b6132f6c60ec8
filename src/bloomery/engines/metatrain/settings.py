"""Settings of the engine `metatrain`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share


class MetatrainLoss(Settings):
    """Weight of each label in the loss, which is a sum of mean squared errors in units of the energies' spread."""

    energy: float = Field(default=1.0, ge=0)
    """Of the energy."""
    forces: float = Field(default=1.0, ge=0)
    """Of the force components."""
    stress: float = Field(default=0.1, ge=0)
    """Of the virial."""


class MetatrainSettings(Settings):
    """Settings of the engine `metatrain`: those that matter most, and its own options under `model` and `training`.

    A training that starts from an earlier potential has metatrain read that potential's checkpoints, and metatrain
    unpickles them: start only from potentials whose origin you know. Evaluation never unpickles.
    """

    architecture: Literal["soap_bpnn", "pet"] = "soap_bpnn"
    """``soap_bpnn`` is invariant under rotation; ``pet`` learns to be, from rotated frames."""
    uncertainty: Literal["committee", "llpr"] = "committee"
    """``committee`` trains every member; ``llpr`` trains one model and draws the members' last layers.

    The latter is the last-layer prediction rigidity of Bigi et al., Mach. Learn.: Sci. Technol. 5, 045018 (2024): its
    members share all other layers and are calibrated by metatrain on the early-stopping frames.
    """
    members: int = Field(default=4, ge=1)
    """Members of the committee."""
    share: Share = Field(default=0.75, gt=0, le=1)
    """Share of the members that each training frame is shown to; the draw follows from the frame's content."""
    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Range of an atom's environment in Å; of one layer, for PET."""
    epochs: int = Field(default=200, ge=1)
    """Passes over the training frames from scratch; the best by the loss on the early-stopping frames is kept."""
    warm_epochs: int = Field(default=50, ge=1)
    """Passes of a training that starts from an earlier potential."""
    batch_size: int = Field(default=8, ge=1)
    """Frames per gradient step."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1e30)
    """Largest step size of Adam; it falls to zero along a cosine."""
    warm_learning_rate: float = Field(default=5e-4, gt=0, le=1e30)
    """The same for a training that starts from an earlier potential."""
    loss: MetatrainLoss = MetatrainLoss()
    """Weights of the labels."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of training and potential."""
    model: dict[str, object] = Field(default_factory=dict)
    """Options for the ``model`` section of metatrain's architecture, such as ``{d_pet: 64}``."""
    training: dict[str, object] = Field(default_factory=dict)
    """Options for its ``training`` section."""

    @model_validator(mode="after")
    def _members_for_llpr(self) -> Self:
        if self.uncertainty == "llpr" and self.members < 2:
            raise ValueError("llpr draws members: give members a value of 2 or more")
        return self
