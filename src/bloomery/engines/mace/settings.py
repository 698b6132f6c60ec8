"""Settings of the engine `mace`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share


class LossWeights(Settings):
    """Weights of the labels in the loss of the package `mace`, which counts energies per atom in eV."""

    energy: float = Field(default=1.0, ge=0)
    """Of energies."""
    forces: float = Field(default=10.0, ge=0)
    """Of forces."""
    stress: float = Field(default=10.0, ge=0)
    """Of stresses."""


class ModelSettings(Settings):
    """Size of the network; of a foundation model that is fine-tuned only its own size counts."""

    channels: int = Field(default=32, ge=1)
    """Features of each atom and symmetry."""
    max_l: int = Field(default=0, ge=0, le=3)
    """Highest symmetry of the messages: 0 is fastest, 1 and 2 are more accurate."""
    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Distance in Å to which atoms are neighbours; messages carry as many times as far as there are interactions."""
    interactions: int = Field(default=2, ge=1, le=4)
    """Layers of messages."""
    correlation: int = Field(default=3, ge=1, le=4)
    """Neighbours that are correlated within one layer."""
    max_ell: int = Field(default=3, ge=0, le=4)
    """Highest spherical harmonics of the directions to neighbours."""
    radial: int = Field(default=8, ge=1)
    """Radial functions."""
    pair_repulsion: bool = False
    """Whether the repulsion of nuclei (ZBL) is added, for hot and compressed frames."""


class MaceSettings(Settings):
    """Settings of the engine `mace`: a committee of `ScaleShiftMACE` models, which differ by seed and by frames."""

    members: int = Field(default=4, ge=1)
    """Members of the committee; each takes a training of its own."""
    share: Share = Field(default=0.9, gt=0, le=1)
    """Share of the training frames that each of several members sees; the draw follows from the frame's content."""
    model: ModelSettings = ModelSettings()
    """Size of the network."""
    epochs: int = Field(default=200, ge=1)
    """Epochs of a training from scratch, or from a foundation model; a bound that always holds."""
    warm_epochs: int = Field(default=50, ge=1)
    """Epochs of a training that starts from an earlier potential."""
    batch_size: int = Field(default=5, ge=1)
    """Frames per gradient step."""
    learning_rate: float = Field(default=0.01, gt=0)
    """Step size of a training from scratch."""
    warm_learning_rate: float = Field(default=1e-3, gt=0)
    """The same for a training that starts from an earlier potential or a foundation model."""
    loss: LossWeights = LossWeights()
    """Weights of the labels."""
    loss_kind: Literal["universal", "stress"] = "universal"
    """`universal` is a Huber loss in which large forces weigh less; `stress` is a squared one."""
    group_weights: dict[str, float] = Field(default={})
    """Weight of all labels of a group of frames, by its name; 1 otherwise."""
    group_key: str = "config_type"
    """Which per-frame value names a frame's group."""
    stage_two: bool = True
    """Whether the last quarter of the epochs weighs energies more, with smaller steps."""
    averaging: float = Field(default=0.99, gt=0, lt=1)
    """Decay of the running average of the weights."""
    patience: int = Field(default=100, ge=1)
    """Epochs without a better loss on the early-stopping frames, after which training stops."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of training and of the potential."""
    foundation: str | None = None
    """File of a foundation model (`.model`) to fine-tune, on the machine that trains. It is a pickle, which can run
    code when it is read: name only files that you trust. Energies of atoms are then its own, moved by what is left
    between the labels and its predictions; the campaign's `energy_reference` is not used."""
    tuning: Literal["all", "frozen", "lora"] = "all"
    """What of a foundation is tuned: all weights; with ``frozen`` all but embedding and interactions; with ``lora`` a
    correction of low rank to each linear layer, which is added to the weights in the end (E. J. Hu et al.,
    arXiv:2106.09685)."""
    lora_rank: int = Field(default=4, ge=1)
    """Rank of these corrections."""
    replay: str | None = None
    """File with frames of the foundation model's own training, as extxyz with `REF_energy`, `REF_forces`, `REF_stress`:
    they are trained on with a head of their own, so that little is forgotten."""
    replay_weight: float = Field(default=1.0, gt=0)
    """Weight of those frames."""

    @model_validator(mode="after")
    def _replay_needs_a_foundation(self) -> Self:
        if self.replay is not None and self.foundation is None:
            raise ValueError("replay needs a foundation; name its file, or leave replay out")
        if self.tuning != "all" and self.foundation is None:
            raise ValueError(f"tuning is {self.tuning}, which needs a foundation; name its file, or leave tuning out")
        return self
