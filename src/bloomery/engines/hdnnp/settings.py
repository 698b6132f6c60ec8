"""Settings of the engine `hdnnp`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.plugins import PluginSpec, Settings
from bloomery.quantities import Share


class LossWeights(Settings):
    """Weight of each label in the loss, relative to its own spread in the training frames."""

    energy: float = Field(default=0.5, ge=0)
    """Of the energy per atom at the start, in units of its standard deviation or, if that is more, of 0.15 Å times the
    root mean square of the forces: where frames differ little in energy, as molecules and liquids do, a smaller unit
    would leave nothing to the forces."""
    energy_growth: float | None = Field(default=None, ge=1, le=1e6)
    """By what factor the weight of the energy has grown at the end, exponentially over the last 70 % of the steps.

    Forces shape the potential while steps are large; energies are few, and are made right when steps are small. By
    default the square of the number of training frames over 50, between 1 and 20: tens of energies tell less than
    their forces do. Where forces decide the unit of the energy, less: by the energies' share in its square.
    """
    forces: float = Field(default=1.0, ge=0)
    """Of the force components, in units of their root mean square."""
    stress: float = Field(default=0.1, ge=0)
    """Of the stress components, in units of their root mean square."""

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if self.energy == self.forces == self.stress == 0:
            raise ValueError("all weights are zero; give one of energy, forces, stress a weight")
        return self


class GroupWeights(Settings):
    """Factors on the weights of the labels of a group of frames."""

    energy: float = Field(default=1.0, ge=0)
    """Of energies."""
    forces: float = Field(default=1.0, ge=0)
    """Of forces."""
    stress: float = Field(default=1.0, ge=0)
    """Of stresses."""


class HotWeights(Settings):
    """How much less the labels of hot frames weigh; at 0 they weigh as much as all others.

    The fit of a GAP is told an error for each datum, larger where forces are large and frames are far above the ground
    state (Klawohn et al., J. Chem. Phys. 159, 174108 (2023)). A datum with the error ``sqrt(s^2 + (a h)^2)``, of which
    ``h`` is how hot it is, has in a least-squares fit the weight ``1 / (1 + (a h / s)^2)`` against one with the error
    ``s``: that is the weight here.
    """

    forces: float = Field(default=0.0, ge=0)
    """For the force on an atom, ``h`` is its length, and this is ``a / s`` in units of the root mean square of the
    force components of the training frames."""
    energy: float = Field(default=0.0, ge=0)
    """For energy and stress of a frame, ``h`` is its energy per atom above the lowest of the training frames of its
    composition, and this is ``a / s`` in units of the root mean square of that."""


COMPONENTS, COMPONENTS_OF_ALL = 256, 2560
"""Of one element, and of all elements together."""
Resampling = Literal["subsample", "bootstrap", "cross_validation", "disjoint"]


class HdnnpSettings(Settings):
    """Settings of the engine `hdnnp`. Defaults serve tens of small frames as well as hundreds of large ones."""

    members: int = Field(default=8, ge=1)
    """Members of the committee."""
    resampling: Resampling = "subsample"
    """Which training frames a member sees; the draw follows from the frame's content.

    `subsample`: the share `share` of them. `bootstrap`: as many, drawn with replacement, so that some count several
    times. `cross_validation`: all but one of as many folds as there are members. `disjoint`: one of these folds.
    """
    share: Share = Field(default=0.9, gt=0, le=1)
    """Share of the training frames that each member sees if `resampling` is `subsample`."""
    descriptor: PluginSpec = PluginSpec(name="power_spectrum")
    """Descriptor of the atomic environments, with its settings."""
    components: int | None = Field(default=None, ge=1)
    """Networks are trained on at most so many principal components of the features; by default 256, and for more than
    ten elements 2560 over their number: a step costs as much as there are weights."""
    feature_scaling: float = Field(default=0.25, ge=0, le=1)
    """How far components are brought to equal variance: 1 is all the way, 0 keeps their natural proportions.

    Components that vary little are mostly fine detail: blowing them up costs accuracy.
    """
    sharing: float = Field(default=0.5, ge=0, lt=1)
    """How much the networks of the elements are alike to begin with, and learn from each other: the share of the
    variance of their weights that is common to all."""
    networks: Literal["committee", "none"] = "committee"
    """With ``none`` the potential is linear in the features: a ridge regression, done in seconds. Members are then
    draws of its Bayesian posterior."""
    ridge: float | None = Field(default=None, gt=0)
    """Strength of the prior of the linear path, relative to the weight of all labels; by default what predicts
    frames best from others."""
    hidden: tuple[int, ...] = (32, 32)
    """Width of each hidden layer."""
    activation: Literal["silu", "tanh", "logistic", "softplus", "gaussian", "cosine"] = "silu"
    """Activation function of the hidden layers. n2p2 and CP2K know all but ``silu``."""
    skip: bool = True
    """Add a linear path from the features to the energy. n2p2 and CP2K know none."""
    isolation_switch: bool = True
    """Take an atom's energy to its reference as its last neighbour leaves. n2p2 and CP2K cannot."""
    repulsion: bool = True
    """Keep atoms apart where the data say nothing: between two that are closer than 0.95 of the shortest distance of
    their elements in the training frames, the repulsion of screened nuclei is switched on. Within the data nothing
    changes. n2p2 and CP2K cannot."""
    steps: int | None = Field(default=None, ge=1)
    """Gradient steps of a training from scratch; by default 2000, or 100 passes through the frames if that is more."""
    warm_steps: int | None = Field(default=None, ge=1)
    """The same for a training that starts from an earlier potential; by default 800, or 40 passes."""
    batch_size: int = Field(default=4, ge=1)
    """Frames per gradient step."""
    learning_rate: float = Field(default=5e-3, gt=0, le=1e30)
    """Largest step size of Adam; it falls to a hundredth along a cosine."""
    warm_learning_rate: float = Field(default=2e-3, gt=0, le=1e30)
    """The same for a training that starts from an earlier potential."""
    weight_decay: float = Field(default=0.02, ge=0)
    """L2 penalty on the weights, over the number of labels in the training frames.

    The more data there are, the less is left to the prior belief in a smooth function.
    """
    averaging: float = Field(default=0.02, gt=0, lt=1)
    """Weights are averaged over about this share of the training; the average is what is kept."""
    loss: LossWeights = LossWeights()
    """Weights of the labels."""
    groups: dict[str, Annotated[float, Field(ge=0)] | GroupWeights] = Field(default={})
    """Factors on the weights of the labels of the frames of a group, by its name: one number for all labels, or one for
    each kind."""
    group_key: str = "config_type"
    """Which per-frame value names a frame's group."""
    hot: HotWeights = HotWeights()
    """How much less hot frames weigh."""
    replay: Share = Field(default=1.0, ge=0, le=1)
    """For a training that starts from an earlier potential: of the frames that this one was trained on, as far as they
    are given again, the share that is seen in each pass beside all new frames. With a small share a pass is short, and
    little is forgotten; with 0 they are left out."""
    refit: bool = False
    """Whether a training that early-stopping frames were kept for goes on with these among all others, for the steps of
    one that starts from an earlier potential. Nothing says any more when to stop."""
    patience: Share = Field(default=0.5, gt=0, le=1)
    """Training stops when the loss on the early-stopping frames has not improved for this share of the steps."""
    dtype: Literal["float32", "float64"] = "float64"
    """Precision of the potential."""
    training_dtype: Literal["float32", "float64"] = "float32"
    """Precision of the gradient steps: float32 is nearly twice as fast and ends at the same errors."""
    memory: float = Field(default=4.0, gt=0)
    """Memory for descriptor Jacobians in GiB; where they need more they are computed again at every step."""

    def most_components(self, n_elements: int) -> int:
        """Most components of the features of an atom, where there are so many elements."""
        return self.components or min(COMPONENTS, max(1, COMPONENTS_OF_ALL // n_elements))

    @model_validator(mode="after")
    def _values_go_together(self) -> Self:
        try:
            self.descriptor.load("descriptors")
        except InputError as error:
            raise ValueError(str(error)) from error
        if self.resampling != "subsample" and self.share != type(self).model_fields["share"].default:
            raise ValueError(
                f"share goes with resampling: subsample, not with {self.resampling}; leave one of them out"
            )
        if self.resampling in ("cross_validation", "disjoint") and self.members < 2:
            raise ValueError(f"resampling: {self.resampling} needs two members at least, one for each fold")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError("hidden needs at least one layer of width 1 or more")
        if self.networks == "none" and not self.skip:
            raise ValueError("networks: none leaves only the linear path; leave skip: false out")
        return self
