"""Entries of the gallery that no DFT is needed for, or that are rehearsed, made shorter: all at once."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.integration.harness import Home

from bloomery.frames.configurations import Configurations

pytestmark = [pytest.mark.integration, pytest.mark.daemon]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHORTER: dict[str, Any] = {
    "training": {"hdnnp": {"members": 2, "steps": 300, "warm_steps": 200}},
    "stop": {"labels": 60, "iterations": {"min": 1, "max": 1}},
}


Ended = tuple[int, dict[str, Any], Configurations]
"""A campaign's PK, its status at the end, and its data set."""


@pytest.fixture(scope="module")
def ended(home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """What came of each entry, by its name."""
    folder = tmp_path_factory.mktemp("gallery")
    shutil.copytree(EXAMPLES / "lookup", folder / "lookup")
    shutil.copytree(EXAMPLES / "gallery", folder / "gallery")
    pks = {}
    for entry, options in (("alloy", []), ("data", []), ("slab", ["--rehearse"])):
        file = folder / "gallery" / entry / "campaign.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | SHORTER))
        pks[entry] = home.submit(file, *options)
    found = {}
    for entry, pk in pks.items():
        status = home.wait(pk)
        assert status["succeeded"], status
        home.call("export", pk, "--to", folder / entry)
        found[entry] = (pk, status, Configurations.read(folder / entry / "data_set.extxyz"))
    return found


def test_every_composition_of_the_alloy_is_labelled_and_swapped(ended: dict[str, Ended]) -> None:
    _, _, data = ended["alloy"]
    gold = Counter(round(float(np.mean(frame.numbers == 79)), 2) for frame in data)
    assert set(gold) == {0.0, 0.25, 0.5, 0.75, 1.0}
    # There is one starting structure of each composition: where atoms stand otherwise, chains have swapped them.
    orders = {(len(frame.numbers), *np.flatnonzero(frame.numbers == 79)) for frame in data}
    assert len(orders) > len(gold)


def test_labels_of_data_that_exist_are_those_of_the_file(home: Home, ended: dict[str, Ended]) -> None:
    pk, _, data = ended["data"]
    library = Configurations.read(EXAMPLES / "lookup" / "labelled.extxyz").snapped()
    place = {content: index for index, content in enumerate(library.hashes())}
    there = library[[place[content] for content in data.hashes()]]
    np.testing.assert_allclose(data.label("forces")[0], there.label("forces")[0], atol=1e-6)
    assert len(home.ledger(pk)) == len(data) < len(library)


def test_dynamics_hold_the_lowest_layer_of_the_slab_and_its_vacuum(ended: dict[str, Ended]) -> None:
    _, _, data = ended["slab"]
    start = Configurations.read(EXAMPLES / "gallery" / "slab" / "al100.extxyz")
    np.testing.assert_allclose(data.cells, np.broadcast_to(start.cells[0], data.cells.shape), atol=1e-6)
    first = data.positions.reshape(len(data), 4, 3)
    dynamics = data.info["temperature"] > 0
    assert dynamics.any()
    np.testing.assert_allclose(first[dynamics, 0], np.broadcast_to(start.positions[0], (dynamics.sum(), 3)), atol=1e-5)
    assert np.ptp(first[dynamics, 3, 2]) > 0.02


def test_potentials_know_more_than_nothing(ended: dict[str, Ended]) -> None:
    """A potential that predicts no force at all has an error of 100 % of the RMS force."""
    for entry, (_, status, _) in ended.items():
        errors = status["iterations"][-1]["errors"]["relative_forces"]
        assert errors["value"] < 0.7, (entry, status["iterations"])
