"""A small SevenNet with random weights, in the form that the package writes: the shipped ones take minutes to try."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a network of two small layers that covers copper, silver, silicon and carbon."""
    return write_small(tmp_path_factory.mktemp("sevennet") / "small.pth")


def write_small(path: Path, **changes: Any) -> Path:
    """Write such a checkpoint, with other entries in its configuration."""
    import torch  # noqa: PLC0415
    from sevenn import __version__  # noqa: PLC0415
    from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG  # noqa: PLC0415
    from sevenn.model_build import build_E3_equivariant_model  # noqa: PLC0415

    numbers = [29, 47, 14, 6]
    config = {
        **DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        "version": __version__,
        "channel": 8,
        "lmax": 1,
        "num_convolution_layer": 2,
        "is_parity": False,
        "self_connection_type": "linear",
        "weight_nn_hidden_neurons": [8],
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 4},
        "cutoff": 4.0,
        "conv_denominator": 6.0,
        "chemical_species": ["Cu", "Ag", "Si", "C"],
        "_number_of_species": len(numbers),
        "_type_map": {number: index for index, number in enumerate(numbers)},
        "shift": [-3.0, -2.0, -5.0, -8.0],
        "scale": [1.0] * len(numbers),
        **changes,
    }
    torch.manual_seed(0)
    model = build_E3_equivariant_model(config)
    torch.save({"config": config, "model_state_dict": model.state_dict(), "epoch": 0}, path)
    return path
