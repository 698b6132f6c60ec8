"""A committee that we wrote, evaluated by CP2K's own code (METHOD NNP)."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.data import chemical_symbols
from ase.units import Bohr, Ha

from bloomery.frames.configurations import Configurations

from .conftest import MakePotential

CP2K = next((found for name in ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k") if (found := shutil.which(name))), None)
pytestmark = pytest.mark.slow
needs_cp2k = pytest.mark.skipif(CP2K is None, reason="needs CP2K (Debian's package cp2k)")

INPUT = """\
&GLOBAL
  PROJECT test
  RUN_TYPE ENERGY_FORCE
  PRINT_LEVEL MEDIUM
&END GLOBAL
&FORCE_EVAL
  METHOD NNP
  {section}
  &PRINT
    &FORCES ON
      NDIGITS 12
    &END FORCES
  &END PRINT
  &SUBSYS
    &CELL
{cell}
    &END CELL
    &COORD
      UNIT bohr
{atoms}
    &END COORD
  &END SUBSYS
&END FORCE_EVAL
"""
PRINT = "    &PRINT\n      &ENERGIES\n      &END\n      &FORCES_SIGMA\n      &END\n    &END PRINT\n  &END NNP"


def run_cp2k(folder: Path, frame: Configurations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean energy, its deviation and those of the members in eV; mean forces and their deviations in eV/Å."""
    section = re.search(r"  &NNP\n.*&END NNP", (folder / "README.txt").read_text(encoding="utf-8"), re.DOTALL)
    assert section is not None
    cell = [f"      {name} [bohr] {_numbers(row / Bohr)}" for name, row in zip("ABC", frame.cells[0], strict=True)]
    atoms = [
        f"      {chemical_symbols[number]} {_numbers(place / Bohr)}"
        for number, place in zip(frame.numbers, frame.positions, strict=True)
    ]
    text = INPUT.format(
        section=section.group().replace("  &END NNP", PRINT), cell="\n".join(cell), atoms="\n".join(atoms)
    )
    (folder / "cp2k.inp").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [str(CP2K), "-i", "cp2k.inp"], cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    energies = np.array((folder / "test-nnp-energies-1.data").read_text().splitlines()[1].split(), dtype=float)
    table = done.stdout.split("ATOMIC FORCES in [a.u.]")[1].split("SUM OF")[0].splitlines()
    forces = np.array([line.split()[3:6] for line in table if len(line.split()) == 6 and line.split()[0] != "#"], float)
    lines = (folder / "test-nnp-forces-std-1.xyz").read_text().splitlines()[2:]
    sigmas = np.array([line.split()[1:4] for line in lines], dtype=float)
    return energies * Ha, forces * Ha / Bohr, sigmas * Ha / Bohr


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.16g}" for value in values)


@needs_cp2k
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cutoff_function": "cosine", "rules": {"radial": 4, "angular_radial": 1, "zetas": [1, 2, 16]}},
        {"activations": ("logistic", "gaussian")},
    ],
)
def test_cp2k_finds_the_same_energy_forces_and_deviations(
    settings: dict[str, Any], make_potential: MakePotential, water: Configurations, tmp_path: Path
) -> None:
    potential = make_potential(**settings)
    potential.export("n2p2", tmp_path)
    energies, forces, sigmas = run_cp2k(tmp_path, water)
    found = potential.predict(water)
    mean, deviation, *members = energies
    # CP2K prints nine decimals in Ha, and divides by M where we divide by M - 1.
    population = np.sqrt((potential.members - 1) / potential.members)
    np.testing.assert_allclose(found.energy[0], mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.energies[:, 0], members, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.energy_disagreement[0] * population, deviation, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.force, forces, rtol=0, atol=1e-6)
    assert len(sigmas) == water.n_atoms
    np.testing.assert_allclose(found.forces.std(axis=0), sigmas, rtol=0, atol=1e-6)
    assert found.forces.std(axis=0).max() > 1e-2, "the members disagree"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cutoff_function": "polynomial_1"}, "cutoff functions cosine and tanh only"),
        ({"rules": {"angular": "wide"}}, "radial and narrow symmetry functions only"),
        ({"rules": {"shifted": True}}, "without a shift only"),
        ({"activations": ("softplus",)}, "derivative of softplus is wrong"),
    ],
)
def test_what_cp2k_cannot_do_is_said(
    settings: dict[str, Any], words: str, make_potential: MakePotential, tmp_path: Path
) -> None:
    make_potential(**settings).export("n2p2", tmp_path)
    text = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert words in text
    assert "&NNP" not in text
