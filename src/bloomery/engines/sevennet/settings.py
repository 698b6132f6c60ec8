"""Settings of the engine `sevennet`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bloomery.foundations.sevennet import SevennetWeights
from bloomery.plugins import Settings
from bloomery.quantities import Share


class SevennetLoss(Settings):
    """Weights of the labels in the loss, the mean of Huber losses, which are squares below 10 meV (and meV/Å)."""

    energy: float = Field(default=1.0, ge=0)
    """Of energies per atom in eV."""
    forces: float = Field(default=1.0, ge=0)
    """Of the components of forces in eV/Å."""
    stress: float = Field(default=0.1, ge=0)
    """Of the components of stresses times the volume per atom, in eV."""


class SevennetSettings(SevennetWeights):
    """Settings of the engine `sevennet`: a SevenNet whose weights are there, tuned to frames with labels.

    Those are pickles, which can run code when they are read: they come from the wheel of the package, or from a file
    that the user names. Name only files that you trust. Potentials that are kept are arrays and JSON.
    """

    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 that the file of the weights must have when it is read."""
    committee: Literal["readout", "full"] = "readout"
    """What members have of their own: with ``readout`` the last layer, all else is trained once, on all frames; with
    ``full`` everything, and each takes a training of its own."""
    members: int = Field(default=4, ge=1)
    """Members of the committee."""
    share: Share = Field(default=0.9, gt=0, le=1)
    """Share of the training frames that each of several members sees; the draw follows from the frame's content."""
    freeze: Literal["none", "early", "all_but_readout"] = "none"
    """What stays as it is: nothing, the embedding and all interactions but the last two, or all but the last layer."""
    epochs: int = Field(default=6, ge=1)
    """Passes over the training frames."""
    warm_epochs: int = Field(default=3, ge=1)
    """The same of a training that starts from an earlier potential."""
    batch_size: int = Field(default=1, ge=1)
    """Frames per gradient step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest step size of Adam; it rises over the first tenth of the steps, and falls to zero along a cosine."""
    warm_learning_rate: float = Field(default=1e-3, gt=0)
    """The same for a training that starts from an earlier potential."""
    averaging: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the running average of the weights, which is what is kept."""
    loss: SevennetLoss = SevennetLoss()
    """Weights of the labels."""
    patience: int = Field(default=10, ge=1)
    """Epochs without a better loss on the early-stopping frames, after which training stops."""
