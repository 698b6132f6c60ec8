"""Crystals, a slab, a molecule, an ion and an antiferromagnet in one campaign, labelled by real pw.x."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk, fcc100, molecule
from ase.io import write
from tests.integration.harness import Home

from aiida_bloomery.setup.pseudopotentials import find_folder
from bloomery.frames.configurations import Configurations

FILES = {"H": "H.pbe-kjpaw.UPF", "O": "O.pbe-rrkjus.UPF", "Fe": "Fe.pbe-nd-rrkjus.UPF", "Al": "Al.pz-vbc.UPF"}
PSEUDOPOTENTIALS = {element: Path(find_folder() or "") / name for element, name in FILES.items()}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.daemon,
    pytest.mark.pw,
    pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path"),
    pytest.mark.skipif(
        not all(path.is_file() for path in PSEUDOPOTENTIALS.values()), reason="there are no such pseudopotentials"
    ),
]


def systems() -> list[ase.Atoms]:
    """One of each kind."""
    ion = ase.Atoms("OH3", [[0, 0, 0.1], [0.95, 0, 0], [-0.47, 0.82, 0], [-0.47, -0.82, 0]])
    ion.info["charge"] = 1
    iron = bulk("Fe", cubic=True)
    iron.set_initial_magnetic_moments([2.5, -2.5])
    return [bulk("Al") * (2, 1, 1), fcc100("Al", (1, 1, 2), vacuum=5.0), molecule("H2O"), ion, iron]


def test_all_kinds_of_systems_are_labelled_in_one_campaign(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    write(tmp_path / "systems.extxyz", systems(), format="extxyz")
    changes: dict[str, Any] = {
        "name": "systems",
        "structures": ["systems.extxyz"],
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 2, "rattle": 0.05, "strain": 0.01}}],
            "selection": ["sanity", {"random": {"frames": 7}}],
        },
        "labelling": {
            "quantumespresso": {
                "pseudopotentials": {element: str(path) for element, path in PSEUDOPOTENTIALS.items()},
                "functional": "pbe",
                "ecutwfc": "20 Ry",
                "ecutrho": "160 Ry",
                "kpoints": {"distance": "1.1 1/Å", "shift": [1, 1, 1]},
                "smearing": {"type": "cold", "width": "0.05 Ry"},
                "boundaries": {"vacuum": "4 Å"},
                "parameters": {"ELECTRONS": {"mixing_beta": 0.4}},
            }
        },
        "stop": {"iterations": {"min": 0, "max": 0}},
    }
    file = campaign_file(**changes)
    told = home.call("check", file).stdout
    for words in ("for Al2 slab: mesh", "for H2O molecule", "for H3O molecule of charge +1", "input_dft pbe"):
        assert words in told, told
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    entries = home.ledger(pk)
    assert {entry["outcome"] for entry in entries} == {"labelled"}, entries
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    assert len(data) == len(entries)
    kinds = {str(frame.to_atoms()[0].symbols): frame for frame in data}
    assert set(kinds) == {"Al2", "OH2", "OH3", "Fe2"}
    # What a frame is stays, and only what has a meaning there is labelled.
    assert data.has("forces").all()
    assert data.has("stress").tolist() == data.pbc.all(axis=1).tolist()
    assert set(data.pbc.sum(axis=1).tolist()) == {0, 2, 3}
    assert kinds["OH3"].state_of(0)["charge"] == 1
    moments, _ = kinds["Fe2"].label("magmoms")
    assert np.sign(moments[:2]).tolist() == [1, -1]
    marks = home.python(
        f"""
jobs = [job for job in orm.load_node({pk}).called_descendants if job.process_label == 'PwPackCalculation']
marks = {{node.base.attributes.get('label_fingerprint') for job in jobs for node in [job.outputs.labelled]}}
print(json.dumps(sorted(marks)))"""
    )
    assert len(marks) == 1
