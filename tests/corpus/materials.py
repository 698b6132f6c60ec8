"""Good files of every format and tiny potentials, which generators then spoil."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from tests.campaign_text import GOOD

from bloomery.frames.configurations import Configurations
from bloomery.frames.input_data import UNITS_WORD

Files = dict[str, bytes]
"""Name, with folders, to content."""
Run = Callable[..., object]
"""Runs a command line of `bloomery` in the folder of materials."""

TRAINING = (
    "--set members=2 --set steps=2 --set hidden=[4] --set descriptor.name=power_spectrum "
    "--set descriptor.settings.radial=3 --set descriptor.settings.max_degree=1 --threads 1"
)
ACSF = (
    "--set members=2 --set steps=2 --set hidden=[4] --set skip=false --set isolation_switch=false "
    "--set repulsion=false --set activation=tanh --set descriptor.name=acsf --set descriptor.settings.cutoff=4.0 "
    "--set descriptor.settings.reduce.functions=5 --threads 1"
)


def copper(n: int, *, labels: bool = True) -> list[Atoms]:
    """Rattled cells of copper, labelled by EMT."""
    frames = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        if labels:
            atoms.calc = EMT()
            atoms.get_stress()
        frames.append(atoms)
    return frames


def as_text(atoms: Atoms | list[Atoms], form: str, **options: Any) -> bytes:
    """Content of a file that ASE writes."""
    with TemporaryDirectory() as folder:
        write(Path(folder, f"a.{form}"), atoms, format=form, **options)
        return Path(folder, f"a.{form}").read_bytes()


def data_files() -> dict[str, Files]:
    """Each format: its files, of which the first named, or the folder it stands in, is what is read."""
    labelled = copper(3)
    frames = Configurations.from_atoms(labelled)
    first = labelled[0]
    numbers = "".join(f" {1 + i} 1 {x:.6f} {y:.6f} {z:.6f}\n" for i, (x, y, z) in enumerate(first.positions))
    vectors = "".join(" {:.6f} {:.6f} {:.6f}\n".format(*vector) for vector in first.cell.array)
    forces = first.get_forces()
    own = "".join(
        " {} 1 {:.5f} {:.5f} {:.5f} {:.5f} {:.5f} {:.5f}\n".format(1 + i, *row)
        for i, row in enumerate(np.hstack([first.positions, forces]))
    )
    bounds = "".join(f"0.0 {length:.4f}\n" for length in first.cell.lengths())
    rows = "".join("atom {:.5f} {:.5f} {:.5f} Cu 0.0 0.0 {:.5f} {:.5f} {:.5f}\n".format(*row)
                   for row in np.hstack([first.positions, forces]))  # fmt: skip
    xsf = "".join("Cu {:.5f} {:.5f} {:.5f} {:.5f} {:.5f} {:.5f}\n".format(*row)
                  for row in np.hstack([first.positions, forces]))  # fmt: skip
    said = f"comment {UNITS_WORD}Å,eV\n"
    archive = BytesIO()
    frames.save(archive)
    deepmd = {"type.raw": b"0\n" * 4, "type_map.raw": b"Cu\n"}
    arrays = {
        "coord": np.array([atoms.positions.ravel() for atoms in labelled]),
        "box": np.array([atoms.cell.array.ravel() for atoms in labelled]),
        "energy": np.array([atoms.get_potential_energy() for atoms in labelled]),
        "force": np.array([atoms.get_forces().ravel() for atoms in labelled]),
    }
    for name, array in arrays.items():
        buffer = BytesIO()
        np.save(buffer, array)
        deepmd[f"set.000/{name}.npy"] = buffer.getvalue()
    return {
        "extxyz": {"a.extxyz": as_text(labelled, "extxyz")},
        "npz": {"a.npz": archive.getvalue()},
        "input.data": {"input.data": f"begin\n{said}{vectors_of(first)}{rows}energy 0.5\nend\n".encode()},
        "poscar": {"POSCAR": poscar(first)},
        "dump": {
            "a.lammpstrj": (
                f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n4\nITEM: BOX BOUNDS pp pp pp\n{bounds}"
                f"ITEM: ATOMS id type x y z fx fy fz\n{own}"
            ).encode()
            * 2
        },
        "data": {
            "a.data": (
                "LAMMPS\n\n4 atoms\n1 atom types\n\n0.0 3.61 xlo xhi\n0.0 3.61 ylo yhi\n0.0 3.61 zlo zhi\n\n"
                f"Masses\n\n1 63.546\n\nAtoms # atomic\n\n{numbers}"
            ).encode()
        },
        "mtp": {
            "a.cfg": (
                f"BEGIN_CFG\n Size\n 4\n Supercell\n{vectors} AtomData: id type cartes_x cartes_y cartes_z fx fy fz\n"
                + re.sub(r"^( \d) 1", r"\1 0", own, flags=re.MULTILINE)
                + " Energy\n 0.5\n PlusStress: xx yy zz yz xz xy\n 0.1 0.2 0.3 0.0 0.0 0.1\nEND_CFG\n"
            ).encode()
        },
        "xsf": {"a.xsf": f"# total energy = 0.5 eV\n\nCRYSTAL\nPRIMVEC\n{vectors}PRIMCOORD\n4 1\n{xsf}".encode()},
        "json": {"a.json": as_json(first)},
        "cif": {"a.cif": as_text(first.copy(), "cif")},
        "ml_ab": {"ML_AB": ML_AB.encode()},
        "traj": {"a.traj": as_text(labelled, "traj")},
        "gen": {"a.gen": b"4 F\nCu\n" + b"1 1 0.0 0.0 0.0\n2 1 0.0 0.5 0.5\n3 1 0.5 0.0 0.5\n4 1 0.5 0.5 0.0\n"
                b"0 0 0\n3.6 0 0\n0 3.6 0\n0 0 3.6\n"},
        "ipi": {"a.xyz": b"1\n# CELL(abcABC): 10.0 11.0 12.0 90.0 90.0 60.0 Step: 0 Bead: 0 positions{angstrom} "
                b"cell{angstrom}\nH 1.0 2.0 3.0\n" * 2},
        "deepmd": {f"a/{name}": content for name, content in deepmd.items()},
        "database": {"a.db": as_text(first, "db")},
        "h5": {"a.h5": b"\x89HDF\r\n\x1a\n" + b"\0\1" * 300},
    }  # fmt: skip


def vectors_of(atoms: Atoms) -> str:
    """Cell vectors as n2p2 writes them."""
    return "".join("lattice {:.6f} {:.6f} {:.6f}\n".format(*vector) for vector in atoms.cell.array)


def poscar(atoms: Atoms) -> bytes:
    """A structure as VASP's."""
    vectors, places = ("".join(" {:.6f} {:.6f} {:.6f}\n".format(*row) for row in table)
                       for table in (atoms.cell.array, atoms.positions))  # fmt: skip
    return f"copper\n1.0\n{vectors}Cu\n4\nCartesian\n{places}".encode()


def as_json(atoms: Atoms) -> bytes:
    """A database of ASE as text, the same each time."""
    text = as_text(atoms, "json").decode()
    text = re.sub(r'"(unique_id|user)": "[^"]*"', r'"\1": "x"', text)
    return re.sub(r'"([cm]time)": [-.e\d]+', r'"\1": 20.0', text).encode()


ML_AB_BLOCKS = (
    ("", "The number of configurations", "1"),
    ("Configuration num.      1", "System name", "CuC"),
    ("", "The number of atom types", "1"),
    ("", "The number of atoms", "1"),
    ("", "Atom types and atom numbers", "Cu      1"),
    ("", "CTIFOR", "2.0E-003"),
    ("", "Primitive lattice vectors (ang.)", "3.0 0.0 0.0\n 0.0 4.0 0.0\n 0.0 0.0 5.0"),
    ("", "Atomic positions (ang.)", "0.0 0.0 0.0"),
    ("", "Total energy (eV)", "-14.5"),
    ("", "Forces (eV ang.^-1)", "0.1 0.2 0.3"),
    ("", "Stress (kbar)", f"XX YY ZZ\n{'-' * 50}\n 1.0 2.0 3.0\n{'-' * 50}\n XY YZ ZX\n{'-' * 50}\n 1.0 2.0 3.0"),
)
ML_AB = " 1.0 Version\n" + "".join(
    f"{'*' * 50}\n" + (f"     {head}\n{'=' * 50}\n" if head else "") + f"     {title}\n{'-' * 50}\n {content}\n"
    for head, title, content in ML_AB_BLOCKS
)


CAMPAIGNS = (
    GOOD,
    """\
name: copper
description: all that a file may say
structures: [{file: good.extxyz, index: '0:4', supercell: [1, 1, 1]}, {file: POSCAR}]
protocol: balanced
seed: 3
device: cpu
bootstrap:
  samplers:
    - rattle_strain: {frames: 24, rattle: [0.02, 0.15], strain: 0.03}
    - supercells: {repeats: [[1, 1, 1]], strains: [-0.02, 0, 0.02], rattle: 0.01}
      share: 35 %
  selection: [sanity, random: {frames: 12}]
sampling:
  - md: {temperatures: [300, 900], steps: 100, interval: 10, max_relative_disagreement: 5}
  - from_file: {file: good.extxyz}
selection: [sanity, duplicates, disagreement: {frames: 30}, farthest_point: {frames: 6}]
descriptor: {power_spectrum: {radial: 3, max_degree: 2, cutoff: 4.0}}
roles: {probe_share: 0.1}
labelling: {calculator: {calculator: emt}}
training: {hdnnp: {members: 4, hidden: [8], steps: 100}}
warm_start: true
energy_reference: {Cu: -3.5}
control: {arm: random, trainings: 2}
validation:
  each_iteration: [equation_of_state]
  final: [elastic, phonons: {supercell: [2, 2, 2]}]
  structures: POSCAR
  test_set: good.extxyz
stop:
  relative_forces: 10 %
  observables: {equation_of_state.a: 0.007 Å, equation_of_state.bulk_modulus: 5 %}
  labels: 110
  iterations: {min: 2, max: 3}
  consecutive: 1
  probe_frames: 6
codes: {bloomery: {cores: 1, walltime: 1 h, memory: 4 GB, commands: ['#SBATCH -A x']}, train: {gpus: 0}}
""",
)


def prepare(folder: Path, run: Run) -> dict[str, Files]:
    """Write what every input may name into a folder; return the files of the potentials made there."""
    (folder / "good.extxyz").write_bytes(as_text(copper(6), "extxyz"))
    (folder / "bare.extxyz").write_bytes(as_text(copper(2, labels=False), "extxyz"))
    (folder / "empty.extxyz").write_bytes(b"")
    (folder / "POSCAR").write_bytes(poscar(copper(1)[0]))
    Configurations.from_atoms(copper(4)).save(folder / "good.npz")
    (folder / "si8.extxyz").write_bytes(as_text(bulk("Si", cubic=True), "extxyz"))
    (folder / "folder").mkdir()
    for words in (
        f"train good.extxyz {TRAINING} --out pot",
        f"train good.extxyz {ACSF} --out acsf",
        "export acsf --format n2p2 --to n2p2",
    ):
        run(*words.split())
    return {name: files_of(folder / name) for name in ("pot", "acsf", "n2p2")}


def files_of(folder: Path) -> Files:
    """All files in a folder and its folders."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
