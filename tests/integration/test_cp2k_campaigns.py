"""A campaign whose labels are CP2K's: crystals and a molecule in one, each with the boundaries that it has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import pytest
from ase.io import write
from tests.integration.harness import Home

from bloomery.frames.configurations import Configurations

pytestmark = [
    pytest.mark.integration,
    pytest.mark.daemon,
    pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="CP2K is not on the path"),
]

LABELLER = {
    "cp2k": {
        "functional": "LDA",
        "basis": "SZV-MOLOPT-SR-GTH",
        "cutoff": "80 Ry",
        "rel_cutoff": "30 Ry",
        "kpoints": {"mesh": [2, 2, 2], "shift": [1, 1, 1]},
        "vacuum": "4 Å",
        "frames_per_job": 8,
    }
}


def test_campaign_of_crystals_and_a_molecule(home: Home, campaign_file: Callable[..., Path], tmp_path: Path) -> None:
    write(tmp_path / "si3.extxyz", ase.Atoms("Si3", [[0, 0, 0], [1.4, 1.7, 0], [-1.4, 1.7, 0]]), format="extxyz")
    changes: dict[str, Any] = {
        "name": "cp2k",
        "structures": ["si2.extxyz", "si3.extxyz"],
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 6, "rattle": 0.08, "strain": 0.02}}],
            "selection": ["sanity", {"random": {"frames": 6}}],
        },
        "labelling": LABELLER,
        "stop": {"iterations": {"min": 0, "max": 0}},
    }
    file = campaign_file(**changes)
    told = home.call("check", file).stdout
    assert "CP2K for Si2: mesh 2 x 2 x 2 shifted, cutoffs 80 and 30 Ry" in told
    assert "CP2K for Si3 molecule: Gamma" in told
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    assert {entry["outcome"] for entry in home.ledger(pk)} == {"labelled"}
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    assert set(data.counts.tolist()) == {2, 3}
    # The frames are what they were: only crystals have a cell and a stress.
    for frame in data:
        assert bool(frame.pbc.all()) == bool(frame.has("stress")[0]) == (frame.counts[0] == 2)
        assert frame.has("forces")[0]
