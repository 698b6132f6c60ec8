"""The definition of a small program that fits pair potentials, beside this file."""

from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("pairs.py")


def pairs_definition() -> dict[str, Any]:
    """Return the definition; a fresh one, to be changed."""
    return {
        "about": "pair potentials for tests",
        "parameters": {"rounds": 3, "program": str(PROGRAM)},
        "cutoff": "3.8",
        "units": {"energy": "Ry", "length": "bohr"},
        "train": {
            "data": {"train": "train.extxyz", "keys": {"energy": "target_energy", "forces": "target_forces"}},
            "command": ["python", "${program}", "fit", "train.extxyz", "weights.json", "${seed}", "${rounds}"],
            "keep": ["weights.json"],
            "progress": {"pattern": r"round (?P<epoch>\d+) error (?P<train_rmse>\S+)", "epochs": "${rounds}"},
            "errors": [
                {"pattern": "Singular matrix", "message": "the frames say too little; label more.", "kind": "bad_input"}
            ],
        },
        "predict": {
            "command": ["python", "${program}", "predict", "frames.extxyz", "out.extxyz"],
            "output": {"file": "out.extxyz", "energy": "my_energy", "forces": "my_forces", "stress": "my_stress"},
        },
        "exports": {"weights": {"about": "centres and weights", "files": ["weights.json"]}},
    }


@pytest.fixture
def definition() -> dict[str, Any]:
    """Return the definition of the pair potentials."""
    return pairs_definition()
