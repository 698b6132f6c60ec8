"""Files of a potential: what does not belong together, or was changed, is refused before a kernel sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.testing.engines import assert_same

DESCRIPTOR = {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}}


@pytest.fixture(scope="module")
def written(silicon: Configurations, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential's folder."""
    data = TrainingData(silicon[:6], silicon[6:8], fit_energy_reference(silicon[:6]))
    potential, _ = Hdnnp.make(members=2, hidden=[6], steps=20, descriptor=DESCRIPTOR).train(data, device="cpu")
    folder = tmp_path_factory.mktemp("potential")
    potential.save(folder)
    return folder


def changed(source: Path, folder: Path, changes: dict[str, Any]) -> Path:
    """Write a potential without its digest, some of whose keys or arrays are others; ``None`` leaves one out."""
    content = json.loads((source / "potential.json").read_text(encoding="utf-8"))
    with np.load(source / "weights.npz") as archive:
        arrays = dict(archive)
    del content["digest"]
    for name, value in changes.items():
        where = content if name in content else arrays
        where[name] = value
        if value is None:
            del where[name]
    folder.mkdir()
    (folder / "potential.json").write_text(json.dumps(content), encoding="utf-8")
    np.savez(folder / "weights.npz", **arrays)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, "potential.json: dtype is 'float16'"),
        ({"elements": ["C", "Si"]}, "potential.json: energy_reference is of Si, and elements of C, Si"),
        ({"elements": ["Xx"]}, r"potential.json: elements is \['Xx'\]"),
        ({"elements": ["Si", "Si"]}, r"weights.npz: parameter:bias_0 is float64 of shape \(2, 1, 1, 6\)"),
        ({"energy_reference": {}}, "potential.json: energy_reference is of nothing"),
        ({"energy_reference": {"Si": "low"}}, "energy_reference of Si is 'low', and must be a number"),
        ({"members": 3}, r"weights.npz: parameter:bias_0 is float64 of shape \(2, 1, 1, 6\)"),
        ({"members": 0}, "potential.json: members is 0"),
        ({"cutoff": None}, "is not a potential of the engine 'hdnnp'"),
        ({"network": {"activations": ["swish"], "isolation_switch": True}}, "'swish' is no activation function"),
        ({"network": {"activations": [], "isolation_switch": True}}, "has 0 activation functions for 1 hidden layers"),
        ({"repulsion": {"C-Si": 2.0}}, "potential.json: repulsion: 'C-Si' is no pair of its elements"),
        (
            {"repulsion": {"Si-Si": 4.5}},
            "repulsion: Si-Si is 4.5, and must be a distance between 0 and the cutoff of 4",
        ),
        ({"repulsion": {"Si-Si": "far"}}, "repulsion: Si-Si is 'far', and must be a distance"),
        ({"repulsion": ["Si-Si"]}, "is not a potential of the engine 'hdnnp'"),
        ({"descriptor": {"name": 7}}, "potential.json: descriptor.name: "),
        ({"versions": None}, "is not a potential of the engine 'hdnnp'"),
        ({"settings": 7}, "potential.json: settings is 7, and must be a mapping"),
        ({"scaling:offset": np.array([1e300])}, "scaling:offset holds values that are no numbers, or beyond 1e30"),
        ({"network": ["silu"]}, "is not a potential of the engine 'hdnnp'"),
        ({"descriptor": {"name": "nothing", "settings": {}}}, "nothing"),
        ({"scaling:mean": np.zeros((1, 3))}, r"weights.npz: scaling:mean is float64 of shape \(1, 3\)"),
        ({"scaling:scale": None}, "weights.npz: scaling:scale is missing"),
        ({"range:mean": None}, "weights.npz: range:mean is missing"),
        ({"parameter:weight_0": None}, "weights.npz: parameter:"),
        ({"parameter:bias_1": np.zeros((2, 1, 1, 1), dtype="float32")}, "parameter:bias_1 is float32"),
        ({"parameter:weight_9": np.zeros(2)}, "weights.npz: parameter:"),
        ({"scaling:offset": np.array([np.nan])}, "scaling:offset holds values that are no numbers"),
    ],
)
def test_what_does_not_fit_is_refused(written: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = changed(written, tmp_path / "changed", changes)
    with pytest.raises(InputError, match=message):
        Hdnnp.load(folder, "cpu")


def test_what_was_changed_by_hand_is_refused(written: Path, silicon: Configurations, tmp_path: Path) -> None:
    """Potentials of earlier versions have no digest, and are read."""
    folder = changed(written, tmp_path / "older", {})
    assert_same(Hdnnp.load(folder, "cpu").predict(silicon), Hdnnp.load(written, "cpu").predict(silicon))
    text = (written / "potential.json").read_text(encoding="utf-8")
    (folder / "potential.json").write_text(text.replace('"Si": -', '"Si": -1'), encoding="utf-8")
    (folder / "weights.npz").write_bytes((written / "weights.npz").read_bytes())
    with pytest.raises(InputError, match=r"is not what was written \(the digest is another one\)"):
        Hdnnp.load(folder, "cpu")


def test_damaged_files_are_refused(written: Path, tmp_path: Path) -> None:
    """Cut or overwritten anywhere; what is behind the last array's data may be lost without harm."""
    random = np.random.default_rng(5)
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("potential.json", "weights.npz"):
            (folder / name).write_bytes((written / name).read_bytes())
        file = folder / ("potential.json" if number % 2 else "weights.npz")
        content = bytearray(file.read_bytes())
        place = int(random.integers(len(content)))
        if number % 3:
            content[place] ^= 1 + int(random.integers(255))
        else:
            del content[place:]
        file.write_bytes(content)
        try:
            Hdnnp.load(folder, "cpu")
        except InputError:
            continue
        # What is told beside what decides about predictions, such as settings, may be other text.
        assert file.name == "potential.json", place
