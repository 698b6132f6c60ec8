"""Networks of the package `mace` as plain arrays and JSON, so that no potential of ours is a pickle."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.errors import InputError

Arrays = dict[str, NDArray[Any]]
Network = tuple[Mapping[str, Any], Arrays]
"""Arguments that make a network, as plain values, and its weights."""


def read_model_file(path: str | Path) -> torch.nn.Module:
    """Read a ``.model`` file, which is a pickle: one that we have just made, or one that the user has named.

    `InputError` if it cannot be read, or is no model of a kind that can be kept.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a model of mace ({type(error).__name__}: {error}).") from error
    if type(model).__name__ != "ScaleShiftMACE":
        raise InputError(f"{path}: holds a {type(model).__name__}; a ScaleShiftMACE is needed.")
    return model


def to_arrays(model: torch.nn.Module) -> Network:
    """Take a `ScaleShiftMACE` apart into the arguments that make it, as plain values, and its weights."""
    from mace.tools.scripts_utils import extract_config_mace_model, remove_pt_head  # noqa: PLC0415

    if len(getattr(model, "heads", None) or [None]) > 1:
        model = remove_pt_head(model)
    config = {key: _plain(value) for key, value in extract_config_mace_model(model).items()}
    return config, {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


def from_arrays(config: Mapping[str, Any], arrays: Arrays, device: str, dtype: str) -> torch.nn.Module:
    """Make the network again; `InputError` if the arrays are not those of such a network."""
    from e3nn import o3  # noqa: PLC0415
    from mace import modules  # noqa: PLC0415
    from mace.modules import blocks  # noqa: PLC0415

    kind = getattr(torch, dtype)
    arguments = dict(config)
    for key in ("hidden_irreps", "MLP_irreps", "edge_irreps"):
        arguments[key] = o3.Irreps(arguments[key]) if arguments.get(key) else None
    for key in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        arguments[key] = getattr(blocks, arguments[key])
    gates = {"silu": torch.nn.functional.silu, "tanh": torch.tanh, "abs": torch.abs}
    if arguments["gate"] is not None and arguments["gate"] not in gates:
        raise InputError(f"a network of mace has the gate {arguments['gate']!r}; known: {', '.join(gates)}.")
    arguments["gate"] = gates.get(arguments["gate"])
    arguments["atomic_energies"] = np.atleast_2d(np.array(arguments["atomic_energies"]))
    with default_dtype(kind), warnings.catch_warnings():
        # TorchScript, through which e3nn makes its layers, warns about its own code.
        warnings.simplefilter("ignore", UserWarning)
        model = modules.ScaleShiftMACE(**arguments)
        try:
            model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
        except RuntimeError as error:
            raise InputError(f"the weights are not those of the network that the file describes ({error}).") from error
        model = model.to(device=device, dtype=kind)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def write_model_file(network: Network, dtype: str, path: Path) -> None:
    """Write a network as the ``.model`` file that mace's own programs read."""
    model = from_arrays(*network, "cpu", dtype)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    torch.save(model, path)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make tensors of this type within the block: mace makes its inputs in torch's default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def import_mace() -> None:
    """Import mace, and take back what it does to the environment.

    It sets a variable that makes every later `torch.load` unpickle whatever it is given.
    """
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace.calculators  # noqa: PLC0415, F401

    if before is None:
        os.environ.pop(name, None)


def _plain(value: Any) -> Any:
    """Turn an argument of a network into a value that JSON holds."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    result: Any = None
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        result = value.tolist()
    elif type(value).__name__ == "Irreps":
        result = str(value)
    elif isinstance(value, dict):
        result = {key: _plain(entry) for key, entry in value.items()}
    elif isinstance(value, list | tuple):
        result = [_plain(entry) for entry in value]
    elif hasattr(value, "__name__"):
        result = value.__name__  # a class or a function of a known module
    if result is not None:
        return result
    raise InputError(f"a network of mace has an argument of type {type(value).__name__}, which cannot be kept.")
