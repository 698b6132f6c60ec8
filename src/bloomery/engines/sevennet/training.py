"""Gradient steps on one network: batches, loss, and checkpoints from which a killed training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.engines.sevennet.network import Network, SevenNet
from bloomery.engines.sevennet.settings import SevennetLoss, SevennetSettings
from bloomery.errors import DivergedError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import reference_energies
from bloomery.progress import in_one_step
from bloomery.seeds import derive_seed

HUBER = 0.01
"""Errors above are counted by their size, below by their square: in eV, eV/Å and eV."""
WARM_UP = 0.1
"""Share of the steps over which the step size rises."""
BETAS = (0.9, 0.99)
VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
Row = dict[str, float]


@dataclass(frozen=True)
class Labels:
    """Labels of some frames, as the network is to say them; what is absent is not a number."""

    energies: NDArray[np.float64]
    """Per atom, less the shift of each element, in eV, ``(N,)``."""
    forces: NDArray[np.float64]
    """In eV/Å, ``(A, 3)``."""
    virials: NDArray[np.float64]
    """Stresses times the volume per atom in eV, ``(N, 6)``."""

    @classmethod
    def of(cls, frames: Configurations, shift: dict[str, float]) -> Self:
        """Take the labels of frames, whose energies are above those of the network by a shift per element in eV."""
        energy, has_energy = frames.label("energy")
        forces, has_forces = frames.label("forces")
        stress, has_stress = frames.label("stress")
        counts = frames.counts
        full = has_stress & frames.pbc.all(axis=1) & (frames.volumes > 0)
        return cls(
            np.where(has_energy, (energy - reference_energies(frames, shift)) / counts, np.nan),
            np.where(has_forces[frames.frame_of_atom][:, None], forces, np.nan),
            np.where(full[:, None], stress * (frames.volumes / counts)[:, None], np.nan),
        )


def loss_of(net: SevenNet, frames: Configurations, labels: Labels, weights: SevennetLoss, *, train: bool) -> Any:
    """Loss of some frames, for gradient steps or as it is."""
    graph = net.graph(frames)
    vectors = graph.vectors.requires_grad_(True)
    energies = net.energies(graph, vectors)
    forces, virials = graph.derivatives(energies, vectors, create_graph=train)
    found = (energies / graph.counts, forces, virials[:, VOIGT[0], VOIGT[1]] / graph.counts[:, None])
    wanted = (labels.energies, labels.forces, labels.virials)
    total = energies.new_zeros(())
    for name, said, label in zip(("energy", "forces", "stress"), found, wanted, strict=True):
        there = torch.from_numpy(np.isfinite(label)).to(net.device)
        target = torch.from_numpy(np.nan_to_num(label)).to(device=net.device, dtype=net.dtype)
        if getattr(weights, name) > 0 and there.any():
            error = torch.nn.functional.huber_loss(said[there], target[there], delta=HUBER)
            total = total + getattr(weights, name) / HUBER * error
    return total


@dataclass
class Tuning:
    """How one network is tuned, and to what."""

    settings: SevennetSettings
    train: Configurations
    early_stopping: Configurations
    shift: dict[str, float]
    """Energy per atom of each element in eV by which labels are above what the network says at the start."""
    epochs: int
    learning_rate: float
    seed: int
    report: Callable[[Row], None]
    """Is told of every epoch, also of those of a training that was killed."""
    checkpoint: Path | None = None
    digest: str = ""
    """Of all that the result depends on."""
    rows: list[Row] = field(default_factory=list)

    def run(self, net: SevenNet) -> Network:
        """Tune the network, which has the weights that are kept afterwards; return these.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        weights = net.freeze(self.settings.freeze)
        optimiser = torch.optim.Adam(weights, lr=self.learning_rate, betas=BETAS)
        state = _State(weights, optimiser)
        state.load(self.checkpoint, self.digest)
        for row in state.rows:
            self.report(row)
        while state.epoch < self.epochs and state.waited < self.settings.patience:
            train_loss = self._epoch(net, state)
            judged = self._judged(net, state) if len(self.early_stopping) else train_loss
            if not np.isfinite([train_loss, judged]).all():
                raise DivergedError(
                    f"the loss is not finite at epoch {state.epoch + 1}; lower the learning rate, or look for frames "
                    "with absurd labels."
                )
            state.done(judged if len(self.early_stopping) else None)
            row = {"epoch": float(state.epoch), "train_loss": train_loss, "early_stopping_loss": judged}
            state.rows.append(row)
            state.save(self.checkpoint, self.digest)
            self.report(row)
        state.take(state.best)
        self.rows = state.rows
        net.take(net.as_network())
        return net.network

    def _epoch(self, net: SevenNet, state: _State) -> float:
        """One pass over the frames in an order of its own; return the mean loss."""
        frames, size = self.train, min(self.settings.batch_size, len(self.train))
        order = np.random.default_rng(derive_seed(self.seed, "order", state.epoch)).permutation(len(frames))
        starts = range(0, len(frames), size)
        total, losses = self.epochs * len(starts), []
        for place, start in enumerate(starts):
            part = frames[np.sort(order[start : start + size])]
            step = state.epoch * len(starts) + place
            rise = min(1.0, (step + 1) / max(WARM_UP * total, 1.0))
            for group in state.optimiser.param_groups:
                group["lr"] = self.learning_rate * rise * (1 + np.cos(np.pi * step / total)) / 2
            loss = loss_of(net, part, Labels.of(part, self.shift), self.settings.loss, train=True)
            state.optimiser.zero_grad()
            loss.backward()
            state.optimiser.step()
            state.average_in(self.settings.averaging, step)
            losses.append(float(loss.detach()) * len(part))
        return float(np.sum(losses) / len(frames))

    def _judged(self, net: SevenNet, state: _State) -> float:
        """Loss of the averaged weights on the early-stopping frames."""
        now = [weight.detach().clone() for weight in state.weights]
        state.take(state.average)
        frames = self.early_stopping
        losses = [
            float(loss_of(net, frame, Labels.of(frame, self.shift), self.settings.loss, train=False).detach())
            for frame in frames
        ]
        state.take(now)
        return float(np.mean(losses))


class _State:
    """All that a training remembers between epochs."""

    def __init__(self, weights: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
        self.weights, self.optimiser = weights, optimiser
        self.average = [weight.detach().clone() for weight in weights]
        self.best = [weight.clone() for weight in self.average]
        self.best_loss, self.epoch, self.waited = float("inf"), 0, 0
        self.rows: list[Row] = []

    def take(self, values: list[torch.Tensor]) -> None:
        """Give the network these weights."""
        with torch.no_grad():
            for weight, value in zip(self.weights, values, strict=True):
                weight.copy_(value)

    def average_in(self, decay: float, step: int) -> None:
        """Take the weights into the running average, which forgets faster at first."""
        decay = min(decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.average, self.weights, strict=True):
            mean.mul_(decay).add_(weight.detach(), alpha=1 - decay)

    def done(self, judged: float | None) -> None:
        """End an epoch: the average is kept if its loss is the lowest, or if there is nothing to judge it by."""
        self.epoch += 1
        self.waited += 1
        if judged is None or judged < self.best_loss:
            self.best_loss, self.waited = self.best_loss if judged is None else judged, 0
            self.best = [mean.clone() for mean in self.average]

    def save(self, path: Path | None, digest: str) -> None:
        """Write a checkpoint in one step, so that a kill leaves the old one or the new one."""
        if path is None:
            return
        names = ("average", "best", "best_loss", "epoch", "waited", "rows")
        content = {name: getattr(self, name) for name in names} | {"digest": digest}
        content |= {"weights": [weight.detach() for weight in self.weights], "optimiser": self.optimiser.state_dict()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_one_step(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: Path | None, digest: str) -> None:
        """Take up what was saved for the same training, if there is anything; no code in it is run."""
        if path is None or not path.is_file():
            return
        try:
            content = torch.load(path, weights_only=True, map_location=self.weights[0].device)
        except Exception:  # noqa: BLE001
            return  # half a file is no reason to fail: train again
        if content.pop("digest", None) != digest:
            return
        self.take(content.pop("weights"))
        self.optimiser.load_state_dict(content.pop("optimiser"))
        for name, value in content.items():
            setattr(self, name, value)
