"""Outputs and trajectories of CP2K, made by CP2K itself; and those that cannot be read, made up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.units import GPa, Hartree

from bloomery.errors import DataWarning, InputError
from bloomery.frames import cp2k
from bloomery.frames.configurations import Configurations

CP2K = next((found for name in ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k") if (found := shutil.which(name))), None)
needs_cp2k = pytest.mark.skipif(CP2K is None, reason="needs CP2K (Debian's package cp2k)")

WATER = """\
&GLOBAL
  PROJECT {project}
  RUN_TYPE {run_type}
&END GLOBAL
&FORCE_EVAL
  METHOD Quickstep
  STRESS_TENSOR ANALYTICAL
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    &MGRID
      CUTOFF 300
    &END MGRID
    &SCF
      EPS_SCF 1.0E-6
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &PRINT
    &FORCES ON
    &END FORCES
    &STRESS_TENSOR ON
    &END STRESS_TENSOR
  &END PRINT
  &SUBSYS
    &CELL
      ABC {cell}
    &END CELL
    &COORD
      SCALED
      O 0.02 0.0 0.0
      H 0.21 0.02 0.01
      H -0.04 0.18 0.004
    &END COORD
    &KIND O
      BASIS_SET SZV-MOLOPT-SR-GTH
      POTENTIAL GTH-PBE-q6
    &END KIND
    &KIND H
      BASIS_SET SZV-MOLOPT-SR-GTH
      POTENTIAL GTH-PBE-q1
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
&MOTION
  &MD
    ENSEMBLE NVE
    STEPS 1
    TIMESTEP 0.5
  &END MD
  &PRINT
    &FORCES ON
    &END FORCES
  &END PRINT
&END MOTION
"""
EDGES = np.array([5.0, 5.2, 5.4])


def run_cp2k(folder: Path, name: str, run_type: str = "ENERGY_FORCE", *, scale: float = 1.0) -> Path:
    cell = " ".join(f"{edge:.12g}" for edge in scale * EDGES)
    text = WATER.format(project=name, run_type=run_type, cell=cell)
    (folder / f"{name}.inp").write_text(text, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / f"{name}.out").open("w") as output:
        subprocess.run(
            [str(CP2K), "-i", f"{name}.inp"], cwd=folder, stdout=output, stderr=output, env=environment, check=True
        )
    return folder / f"{name}.out"


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one calculation."""
    return run_cp2k(tmp_path_factory.mktemp("cp2k"), "water")


@needs_cp2k
@pytest.mark.slow
def test_an_output_has_energy_forces_and_the_stress_that_is_their_derivative(water: Path, tmp_path: Path) -> None:
    frame = Configurations.read(water)
    assert (len(frame), frame.n_atoms) == (1, 3)
    np.testing.assert_allclose(frame.cells[0], np.diag(EDGES), atol=1e-6)
    energies = [
        Configurations.read(run_cp2k(tmp_path, f"at{scale}", scale=scale)).labels["energy"][0]
        for scale in (0.996, 1.004)
    ]
    volumes = [EDGES.prod() * scale**3 for scale in (0.996, 1.004)]
    pressure = -(energies[1] - energies[0]) / (volumes[1] - volumes[0])
    assert pressure > 2 * GPa
    np.testing.assert_allclose(-frame.labels["stress"][0][:3].mean(), pressure, rtol=0.05)
    # Off the diagonal as CP2K prints it, in the order of Voigt, with the sign of tension.
    rows = [line.split()[2:] for line in water.read_text().splitlines() if "STRESS|      " in line]
    tensor = -GPa * np.array(rows[1:4], dtype=float)
    np.testing.assert_allclose(frame.labels["stress"][0][3:], [tensor[1, 2], tensor[0, 2], tensor[0, 1]], rtol=1e-6)
    early = tmp_path / "early.out"
    early.write_text(water.read_text() + " *** WARNING in qs_scf.F:598 :: SCF run NOT converged ***\n")
    with pytest.warns(DataWarning, match="its SCF did not converge"):
        Configurations.read(early)


@needs_cp2k
@pytest.mark.slow
def test_a_trajectory_has_the_labels_and_the_cell_of_the_files_beside_it(water: Path, tmp_path: Path) -> None:
    output = run_cp2k(tmp_path, "run", "MD")
    frames = Configurations.read(tmp_path / "run-pos-1.xyz")
    single = Configurations.read(water)
    assert len(frames) == 2
    np.testing.assert_allclose(frames.cells[0], np.diag(EDGES), atol=1e-9)
    np.testing.assert_allclose(frames[0].labels["energy"], single.labels["energy"], rtol=1e-7)
    np.testing.assert_allclose(frames[0].labels["forces"], single.labels["forces"], atol=1e-5)
    assert frames.has("forces").all()
    assert (np.abs(np.diff(frames.labels["energy"])) > 1e-3).all()
    with pytest.raises(InputError, match=r"run\.out: is the output of a run of type MD.*PROJECT-pos-1\.xyz"):
        Configurations.read(output)
    with pytest.raises(InputError, match=r"holds forces of CP2K, and no positions; give run-pos-1\.xyz"):
        Configurations.read(tmp_path / "run-frc-1.xyz")


def frame(step: int, *rows: str) -> str:
    energy = -1.0 - step
    lines = "\n".join(f"  H  {row}" for row in rows)
    return f"{len(rows)}\n i = {step:8d}, time = {0.5 * step:12.3f}, E = {energy:20.10f}\n{lines}\n"


def write(folder: Path, steps: list[int], forces: list[int], **beside: str) -> Path:
    (folder / "h-pos-1.xyz").write_text("".join(frame(step, "0 0 0", f"0 0 0.{step + 1}") for step in steps))
    if forces:
        (folder / "h-frc-1.xyz").write_text("".join(frame(step, f"0 0 {step}.5", "0 0 -1") for step in forces))
    for name, text in beside.items():
        (folder / f"h-1.{name}").write_text(text)
    return folder / "h-pos-1.xyz"


RESTART = """\
&MOTION
  &MD
    ENSEMBLE  {ensemble}
  &END MD
&END MOTION
   &CELL
     A 6.0 0.0 0.0
     B 0.0 7.0 0.0
     C 0.0 0.0 8.0{more}
   &END CELL
"""
NVT = RESTART.format(ensemble="NVT", more="")


@pytest.mark.parametrize(
    ("forces", "labelled"),
    [([0, 1, 2, 3], [0, 1, 2, 3]), ([0, 2], [0, 2]), ([2, 3, 4, 5], [2, 3]), ([7], []), ([], [])],
)
def test_forces_belong_to_their_steps(tmp_path: Path, forces: list[int], labelled: list[int]) -> None:
    frames = Configurations.read(write(tmp_path, [0, 1, 2, 3], forces, restart=NVT))
    np.testing.assert_allclose(frames.labels["energy"], -Hartree * np.arange(1, 5))
    assert np.flatnonzero(frames.has("forces")).tolist() == labelled
    for step in labelled:
        assert frames[step].to_atoms()[0].get_forces()[0, 2] == pytest.approx((step + 0.5) * 51.4220675)
    assert frames.pbc.all()
    assert np.diag(frames.cells[2]).tolist() == [6.0, 7.0, 8.0]


def test_cells_by_step_count_more_than_the_last_one(tmp_path: Path) -> None:
    rows = [f"{step} {step / 2} {6 + step} 0 0 0 7 0 0 0 8 {56 * (6 + step)}" for step in (0, 1)]
    table = "# Step Time Ax Ay Az Bx By Bz Cx Cy Cz Volume\n" + "\n".join(rows) + "\n"
    npt = RESTART.format(ensemble="NPT_I", more="")
    frames = Configurations.read(write(tmp_path, [0, 1], [0, 1], cell=table, restart=npt))
    assert frames.cells[:, 0, 0].tolist() == [6.0, 7.0]


@pytest.mark.parametrize(
    ("beside", "why"),
    [({}, r"h-1\.restart is not beside it"), ({"restart": NVT.replace("NVT", "NPT_I")}, "its run changed the cell")],
)
def test_frames_without_a_cell_are_told_of(tmp_path: Path, beside: dict[str, str], why: str) -> None:
    with pytest.warns(DataWarning, match=f"has no cell.*{why}"):
        assert not Configurations.read(write(tmp_path, [0], [0], **beside)).pbc.any()


@pytest.mark.parametrize(("said", "axes"), [("XY", [True, True, False]), ("Z", [False, False, True])])
def test_a_cell_may_be_periodic_along_some_vectors(tmp_path: Path, said: str, axes: list[bool]) -> None:
    restart = RESTART.format(ensemble="NVE", more=f"\n     PERIODIC  {said}")
    assert Configurations.read(write(tmp_path, [0], [0], restart=restart)).pbc[0].tolist() == axes


def test_what_an_output_says_of_its_state_and_its_kinds() -> None:
    text = """\
 CELL| Periodicity                                                          NONE
 DFT| Multiplicity                                                             2
 DFT| Charge                                                                   1
       1    1 H1   1   0.950000   0.100000   0.050000     1.0000       1.0079
       2    2 Fe2 26  -0.200000   0.900000   0.020000    16.0000      55.8450
"""
    assert cp2k.state_in(text) == {"charge": 1, "multiplicity": 2}
    assert cp2k.periodic_in(text) == [False, False, False]
    assert cp2k.kinds_in(text) == {"H1": "H", "Fe2": "Fe"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("GLOBAL| Run type  ENERGY\n", "holds no forces; run it with RUN_TYPE ENERGY_FORCE"),
        ("GLOBAL| Run type  ENERGY_FORCE\n", "holds no forces"),
        ("GLOBAL| Run type  GEO_OPT\n ATOMIC FORCES in [a.u.]\n", "is the output of a run of type GEO_OPT"),
    ],
)
def test_outputs_that_are_not_of_one_calculation_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=rf"w\.out: {sentence}"):
        cp2k.check_output(Path("w.out"), f" {text}")


def test_an_open_cell_is_none(tmp_path: Path) -> None:
    restart = RESTART.format(ensemble="NVE", more="\n     PERIODIC  NONE")
    assert not Configurations.read(write(tmp_path, [0], [0], restart=restart)).pbc.any()


def test_forces_of_other_atoms_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [0], [0], restart=NVT)
    (tmp_path / "h-frc-1.xyz").write_text(frame(0, "0 0 1"))
    with pytest.raises(InputError, match="step 0 has forces of 1 atoms for 2"):
        Configurations.read(path)
