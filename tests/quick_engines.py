"""Settings with which every engine is trained in seconds, and badly, which tests of all engines share."""

from typing import Any

QUICK: dict[str, dict[str, Any]] = {
    "deepmd": {
        "members": 2,
        "steps": 40,
        "warm_steps": 20,
        "cutoff": 4.0,
        "embedding": [4, 8],
        "axis": 2,
        "hidden": [8, 8],
    },
    "delta": {
        "baseline": {
            "calculator": {
                "calculator": {
                    "name": "ase.calculators.lj:LennardJones",
                    "arguments": {"sigma": 2.0, "epsilon": 0.05, "ro": 3.0, "rc": 4.0, "smooth": True},
                }
            }
        },
        "engine": {
            "hdnnp": {
                "members": 2,
                "hidden": [6],
                "steps": 30,
                "warm_steps": 10,
                "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
            }
        },
    },
    "external": {
        "members": 2,
        "definition": "pacemaker",
        "values": {"cutoff": 4.0, "iterations": 10, "radial": [3, 1], "angular": [0, 1]},
    },
    "gap": {
        "members": 2,
        "pairs": {"sparse": 10, "cutoff": 4.0},
        "soap": {"sparse": 20, "cutoff": 4.0, "n_max": 4, "l_max": 3},
    },
    "metatrain": {
        "members": 2,
        "epochs": 4,
        "warm_epochs": 2,
        "cutoff": 4.0,
        "learning_rate": 3e-3,
        "model": {"soap": {"max_angular": 2, "max_radial": 3}},
    },
    "nequip": {
        "members": 1,
        "epochs": 4,
        "warm_epochs": 2,
        "cutoff": 4.0,
        "layers": 1,
        "features": 4,
        "model": {"radial_mlp_width": 8, "parity": False},
    },
    "sevennet": {"members": 2, "epochs": 1, "warm_epochs": 1, "batch_size": 4},
    "mace": {
        "members": 2,
        "epochs": 2,
        "warm_epochs": 1,
        "batch_size": 2,
        "model": {"channels": 4, "cutoff": 4.0, "correlation": 2, "max_ell": 1, "radial": 4},
        "dtype": "float64",
    },
    "hdnnp": {
        "members": 2,
        "hidden": [6],
        "steps": 30,
        "warm_steps": 10,
        "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
    },
}
