"""Whether hidden layers are worth having, by what members make of frames that they have not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch

from bloomery.engines.hdnnp.blocks import Blocks, made
from bloomery.engines.hdnnp.loss import LossFunction
from bloomery.engines.hdnnp.model import Parameters


def unseen_losses(parameters: Parameters, blocks: Blocks, loss: LossFunction) -> torch.Tensor:
    """Loss of each frame that some member has not seen, ``(F,)``: the mean over those members.

    These are the frames for early stopping, and what resampling keeps from members.
    """
    found = [loss.offset.new_zeros(0)]
    with torch.no_grad():
        for block in map(made, (*blocks.train, *blocks.early_stopping)):
            unseen = (block.weights == 0).to(block.weights.dtype)
            members = unseen.sum(dim=0)
            if members.any():
                of_frames = loss.of_frames(parameters, block)
                found.append(((unseen * of_frames).sum(dim=0) / members)[members > 0])
    return torch.cat(found)


@dataclass(frozen=True)
class Gain:
    """By how much the loss of unseen frames has fallen, and the standard error of that.

    Frames are compared with themselves, so that what is hard about them takes no part. Few frames of which one is far
    from all others say little, whatever the mean, and then the simpler potential is the better bet: the rule of one
    standard error (Breiman et al., Classification and Regression Trees (1984), section 3.4.3).
    """

    mean: float
    error: float
    frames: int

    @classmethod
    def between(cls, before: torch.Tensor, after: torch.Tensor) -> Self | None:
        """Compare losses ``(F,)`` of the same frames; ``None`` of fewer than two, which tell no error."""
        if len(before) < 2:
            return None
        fallen = (before - after).double()
        return cls(float(fallen.mean()), float(fallen.std()) / len(fallen) ** 0.5, len(fallen))

    @property
    def certain(self) -> bool:
        """Whether it is more than its error."""
        return self.mean > self.error
