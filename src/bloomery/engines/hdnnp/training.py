"""Fitting a committee: all members take each gradient step together."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch.optim.adam import adam

from bloomery.engines.hdnnp.blocks import Blocks, made
from bloomery.engines.hdnnp.checkpoint import State, load_checkpoint, save_checkpoint
from bloomery.engines.hdnnp.costs import steps_of
from bloomery.engines.hdnnp.loss import LossFunction, Spreads
from bloomery.engines.hdnnp.packing import Packing
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.errors import DivergedError
from bloomery.progress import Progress

REPORTS = 50
"""A training reports, and looks at the early-stopping frames, this many times."""
CHECKPOINT_SECONDS = 5.0
GROWTH_BEGINS = 0.3
"""The weight of the energy grows from this share of the steps on."""
FRAMES_OF_GROWTH, MOST_GROWTH = 50, 20.0


@dataclass(frozen=True)
class Schedule:
    """How many steps of which size, and how much more the energy weighs at the end."""

    steps: int
    rate: float
    averaging: float
    energy_growth: float

    @classmethod
    def of(cls, settings: HdnnpSettings, n_frames: int, n_batches: int, spreads: Spreads, *, warm: bool) -> Schedule:
        """Return the schedule of a training from scratch or from an earlier potential."""
        steps, rate = steps_of(settings, n_batches, warm=warm), settings.learning_rate
        if warm:
            rate = settings.warm_learning_rate
        growth = settings.loss.energy_growth
        if growth is None:
            growth = float(np.clip((n_frames / FRAMES_OF_GROWTH) ** 2, 1, MOST_GROWTH))
            growth = max(1.0, growth * spreads.energy_share)
        return cls(steps, rate, settings.averaging, growth)

    def learning_rate(self, step: int) -> float:
        """Rise over the first 2 %, then a cosine down to a hundredth."""
        rise = max(1, self.steps // 50)
        if step < rise:
            return self.rate * (step + 1) / rise
        part = (step - rise) / max(1, self.steps - rise)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + cos(pi * part)))

    def energy_weight(self, step: int) -> float:
        """By what factor the weight of the energy has grown at this step."""
        part = (step / self.steps - GROWTH_BEGINS) / (1 - GROWTH_BEGINS)
        return float(self.energy_growth ** max(part, 0.0))

    def memory(self, step: int) -> float:
        """Share of the averaged weights that is kept at this step."""
        return min(1 - 1 / max(self.averaging * self.steps, 1.0), (step + 1) / (step + 10))


@dataclass(frozen=True)
class Trainer:
    """One training, from a start to its best weights."""

    settings: HdnnpSettings
    schedule: Schedule
    weight_decay: float
    loss: LossFunction
    packing: Packing
    seed: int
    checkpoint: Path | None
    digest: str
    progress: Progress

    def fit(self, start: torch.Tensor, blocks: Blocks) -> State:
        """Train until the schedule ends or the early-stopping frames say so; resume where a killed training was.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        state = load_checkpoint(self.checkpoint, self.digest, State.start(start))
        began = time.perf_counter() - state.seconds
        saved = time.perf_counter()
        interval = max(1, self.schedule.steps // REPORTS)
        running: list[torch.Tensor] = []
        while state.step < self.schedule.steps and not self._patience_spent(state):
            running.append(self._step(state, blocks))
            if state.step % interval == 0 or state.step == self.schedule.steps:
                state.seconds = time.perf_counter() - began
                self._report(state, blocks, torch.stack(running))
                running = []
                if self.checkpoint is not None and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(self.checkpoint, self.digest, state)
                    saved = time.perf_counter()
        if not blocks.early_stopping:
            state.best, state.best_step = state.average.clone(), state.step
        if self.checkpoint is not None:
            save_checkpoint(self.checkpoint, self.digest, state)
        return state

    def _patience_spent(self, state: State) -> bool:
        waited = state.step - state.best_step
        return bool(torch.isfinite(state.best_loss).any()) and waited > self.settings.patience * self.schedule.steps

    def _step(self, state: State, blocks: Blocks) -> torch.Tensor:
        """One step of Adam (Kingma and Ba, arXiv:1412.6980) and of the running average; the members' losses."""
        epoch, index = divmod(state.step, blocks.per_epoch)
        block = made(blocks.train[int(blocks.order(self.seed, epoch)[index])])
        weights, parameters = state.weights, self.packing.unpack(state.weights)
        losses = self.loss(
            {name: value.requires_grad_() for name, value in parameters.items()},
            block,
            energy_weight=self.schedule.energy_weight(state.step),
        )
        slopes = torch.autograd.grad(losses.sum(), list(parameters.values()))
        gradient = self.packing.pulled_back(dict(zip(parameters, slopes, strict=True)))
        for slope, bias in zip(self.packing.biases(gradient), self.packing.biases(weights), strict=True):
            slope.sub_(bias, alpha=self.weight_decay)  # only weights decay
        rate = self.schedule.learning_rate(state.step)
        adam(
            [weights], [gradient], [state.first], [state.second], [], [weights.new_tensor(float(state.step))],
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=self.weight_decay, eps=1e-8,
            maximize=False,
        )  # fmt: skip
        state.step += 1
        state.average.lerp_(weights, 1 - self.schedule.memory(state.step))
        return losses.detach()

    def _report(self, state: State, blocks: Blocks, running: torch.Tensor) -> None:
        train_loss = float(running.mean())
        numbers = {
            "step": float(state.step),
            "epoch": state.step / blocks.per_epoch,
            "train_loss": train_loss,
            "early_stopping_loss": train_loss,
            "learning_rate": self.schedule.learning_rate(state.step - 1),
            "seconds": state.seconds,
        }
        if blocks.early_stopping:
            losses = self.early_stopping_loss(state.average, blocks)
            numbers["early_stopping_loss"] = float(losses.mean())
            better = losses < state.best_loss
            if better.any():
                state.best_step = state.step
            state.best = torch.where(better[:, None], state.average, state.best)
            state.best_loss = torch.where(better, losses, state.best_loss)
        if not np.isfinite([train_loss, numbers["early_stopping_loss"]]).all():
            raise DivergedError(
                f"training: the loss is not finite after {state.step} steps; lower learning_rate, or look for frames "
                "with absurd labels."
            )
        for name, value in numbers.items():
            state.columns[name].append(value)
        self.progress("train", state.step, self.schedule.steps, numbers)

    def early_stopping_loss(self, weights: torch.Tensor, blocks: Blocks) -> torch.Tensor:
        """Loss of each member on all early-stopping frames, with the weights of the training's end, ``(M,)``."""
        weight = self.schedule.energy_growth
        total, frames = torch.zeros_like(weights[:, 0]), 0
        with torch.no_grad():
            parameters = self.packing.unpack(weights)
            for block in map(made, blocks.early_stopping):
                total += self.loss.of_frames(parameters, block, energy_weight=weight).sum(dim=1)
                frames += len(block.counts)
        return total / frames
