"""Settings of the engine `nequip`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share


class NequipLoss(Settings):
    """Weight of each label's mean squared error in the loss."""

    energy: float = Field(default=1.0, ge=0)
    """Of the energy per atom in eV."""
    forces: float = Field(default=1.0, ge=0)
    """Of the force components in eV/Å."""
    stress: float = Field(default=1.0, ge=0)
    """Of the stress components in eV/Å^3."""


class NequipSettings(Settings):
    """Settings of the engine `nequip`: those that matter most; `model` takes NequIP's own.

    Potentials are kept as plain arrays and are never unpickled. The package that an export writes is a file of NequIP's
    own, which NequIP unpickles: load only packages whose origin you know.
    """

    members: int = Field(default=4, ge=1)
    """Members of the committee."""
    share: Share = Field(default=0.75, gt=0, le=1)
    """Share of the members that each training frame is shown to; the draw follows from the frame's content."""
    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Range of one layer in Å; the whole model reaches as many times farther as it has layers."""
    layers: int = Field(default=2, ge=1)
    """Message-passing layers."""
    l_max: int = Field(default=1, ge=0)
    """Largest rotation order of the features."""
    features: int = Field(default=16, ge=1)
    """Features of each rotation order."""
    epochs: int = Field(default=200, ge=1)
    """Passes over the training frames from scratch; the best by the errors on the early-stopping frames is kept."""
    warm_epochs: int = Field(default=50, ge=1)
    """Passes of a training that starts from an earlier potential."""
    batch_size: int = Field(default=5, ge=1)
    """Frames per gradient step."""
    learning_rate: float = Field(default=1e-2, gt=0, le=1e30)
    """Step size of Adam at the beginning; it falls to a hundredth along a cosine."""
    warm_learning_rate: float = Field(default=2e-3, gt=0, le=1e30)
    """The same for a training that starts from an earlier potential."""
    averaging: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the running average of the weights, which is what is kept."""
    loss: NequipLoss = NequipLoss()
    """Weights of the labels."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of training and potential."""
    model: dict[str, object] = Field(default_factory=dict)
    """Arguments of ``nequip.model.NequIPGNNModel``, such as ``{parity: false}``."""
