"""Which device to compute on."""

from __future__ import annotations

from bloomery.errors import InputError


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` where there is a GPU, else ``cpu``.

    It is an `InputError` if a GPU is asked for and there is none, or the name is not known.
    """
    import torch  # noqa: PLC0415

    if device not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device is {device!r}; it must be auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("device is cuda, but torch finds no GPU here; use auto or cpu, or install torch for CUDA.")
    return "cuda" if device != "cpu" and available else "cpu"
