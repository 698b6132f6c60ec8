"""What a training remembers, and checkpoints of it: a killed training goes on where it was, to the same result."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from bloomery.progress import in_one_step

COLUMNS = ("step", "epoch", "train_loss", "early_stopping_loss", "learning_rate", "seconds")


@dataclass
class State:
    """All that a training remembers between reports. Tensors are ``(M, P)``: one row of weights for each member."""

    weights: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    average: torch.Tensor
    best: torch.Tensor
    best_loss: torch.Tensor
    step: int = 0
    best_step: int = 0
    seconds: float = 0.0
    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    @classmethod
    def start(cls, weights: torch.Tensor) -> State:
        """Return the state before the first step."""
        zero = torch.zeros_like(weights)
        worst = torch.full((len(weights),), torch.inf, dtype=weights.dtype, device=weights.device)
        return cls(weights.clone(), zero, zero.clone(), weights.clone(), weights.clone(), worst)


def save_checkpoint(path: Path, digest: str, state: State) -> None:
    """Write the state in one step, so that a kill leaves the old checkpoint or the new one."""
    values = vars(state)
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    plain = {name: value for name, value in values.items() if name not in tensors}
    arrays["plain"] = np.array(json.dumps({"digest": digest, **plain}))
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_one_step(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_checkpoint(path: Path | None, digest: str, fresh: State) -> State:
    """Return the state that was saved for the same training, else the fresh one; remove what was half-written."""
    if path is None:
        return fresh
    for half in path.parent.glob(f".{path.name}.*"):
        half.unlink(missing_ok=True)
    if not path.is_file():
        return fresh
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            plain = json.loads(str(archive["plain"]))
            if plain.pop("digest") != digest:
                return fresh
            tensors = {name: torch.from_numpy(archive[name]) for name in archive.files if name != "plain"}
        if {*plain, *tensors} != {entry.name for entry in fields(fresh)}:
            return fresh
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return fresh  # half a file is no reason to fail: train again
    return State(**{name: value.to(fresh.weights.device) for name, value in tensors.items()} | plain)
