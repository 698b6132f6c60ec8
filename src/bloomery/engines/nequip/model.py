"""NequIP's model from plain arguments and plain arrays: what is kept of it, without pickles."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.npz"
PACKAGE_FILE = "model.nequip.zip"
BUILDER = "bloomery.engines.nequip.model.model_from_files"
SOLE = "sole_model."


def model_from_files(folder: str, **arguments: Any) -> Any:
    """Build the model and load its weights from a folder; NequIP calls this for a warm start."""
    model = build(arguments)
    load_weights(model, (Path(folder) / WEIGHTS_FILE).read_bytes())
    return model


def build(arguments: dict[str, object]) -> Any:
    """Build the model without its weights."""
    from nequip.model import NequIPGNNModel  # noqa: PLC0415
    from nequip.utils.global_state import set_global_state  # noqa: PLC0415

    set_global_state()
    return NequIPGNNModel(**arguments)


def load_weights(model: Any, content: bytes) -> None:
    """Load weights that `save_checkpoint` wrote; they take the precision of the model."""
    import torch  # noqa: PLC0415

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        state = {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    model.load_state_dict(state)


def save_checkpoint(checkpoint: Path, arguments: dict[str, object], folder: Path) -> None:
    """Write the averaged weights of a checkpoint, which `nequip-train` wrote a moment ago, as plain files."""
    from nequip.model.saved_models.checkpoint import ModelFromCheckpoint  # noqa: PLC0415
    from nequip.utils.global_state import set_global_state  # noqa: PLC0415

    set_global_state()
    state = ModelFromCheckpoint(str(checkpoint)).state_dict()
    arrays = {name.removeprefix(SOLE): value.detach().cpu().numpy() for name, value in state.items()}
    np.savez(folder / WEIGHTS_FILE, allow_pickle=False, **arrays)
    (folder / MODEL_FILE).write_text(json.dumps(arguments, sort_keys=True), encoding="utf-8")
