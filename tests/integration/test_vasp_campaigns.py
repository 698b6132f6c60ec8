"""A campaign whose labels are VASP's, or would be: a program that writes its files stands in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from tests.aiida_bloomery import fake_vasp
from tests.integration.harness import Home

from bloomery.frames.configurations import Configurations

pytestmark = [pytest.mark.integration, pytest.mark.daemon]


@pytest.fixture
def vasp(home: Home, tmp_path: Path) -> str:
    """Code and potentials in the home, as a user adds them; the label of the family."""
    source = fake_vasp.write_potentials(tmp_path / "made-up")
    home.python(
        f"""
from pathlib import Path
from aiida_vasp.data.potcar import PotcarData
from aiida_bloomery.setup.machine import install_code
PotcarData.upload_potcar_family('{source}', 'made-up', 'Headers that are made up')
install_code(orm.load_computer('localhost'), 'vasp', Path('{fake_vasp.install(tmp_path)}'), None)
print('null')"""
    )
    return "made-up"


def test_campaign_of_crystals_and_a_molecule(
    home: Home, campaign_file: Callable[..., Path], vasp: str, tmp_path: Path
) -> None:
    alloy = bulk("Cu", cubic=True)
    alloy.symbols = "CuAuCuCu"
    write(tmp_path / "alloy.extxyz", alloy, format="extxyz")
    write(tmp_path / "trimer.extxyz", ase.Atoms("AuCuAu", [[0, 0, 0], [1.4, 1.7, 0], [-1.4, 1.7, 0]]), format="extxyz")
    changes: dict[str, Any] = {
        "name": "vasp",
        "structures": ["alloy.extxyz", "trimer.extxyz"],
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 6, "rattle": 0.08, "strain": 0.02}}],
            "selection": ["sanity", {"random": {"frames": 6}}],
        },
        "labelling": {"vasp": {"potentials": {"family": vasp, "names": {"Cu": "Cu_pv"}}, "frames_per_job": 8}},
        "stop": {"iterations": {"min": 0, "max": 0}},
    }
    file = campaign_file(**changes)
    told = " ".join(home.call("check", file).stdout.split())
    assert f"answers: version {fake_vasp.VERSION}" in told
    assert "VASP for AuCu3: mesh" in told
    assert "VASP for Au2Cu molecule: mesh 1 x 1 x 1" in told
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    assert {entry["outcome"] for entry in home.ledger(pk)} == {"labelled"}
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    assert set(data.counts.tolist()) == {3, 4}
    for frame in data:
        (atoms,) = frame.without_labels().to_atoms()
        atoms.calc = EMT()
        np.testing.assert_allclose(frame.label("forces")[0], atoms.get_forces(), atol=1e-5)
        assert frame.label("energy")[0][0] == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        assert bool(frame.has("stress")[0]) == bool(frame.pbc.all())
