"""What the k-mesh, the cutoff and the pseudopotential of the silicon example cost, and how wrong they leave the forces.

Runs plain pw.x on the hottest frames of an extended XYZ file (those with the largest RMS force) with each setting of a
list, and prints the error of each against a dense mesh and a high cutoff. Without a file the frames come from
Stillinger-Weber dynamics at 1200 K in strained cells of eight atoms.

    python benchmarks/silicon_convergence.py [FRAMES.extxyz] [--hottest 5]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from matscipy.calculators.manybody import Manybody
from matscipy.calculators.manybody.explicit_forms import StillingerWeber
from matscipy.calculators.manybody.explicit_forms.stillinger_weber import Stillinger_Weber_PRB_31_5262_Si

PSEUDO_DIR = "/usr/share/espresso/pseudo"


@dataclass(frozen=True)
class Setting:
    """One way to label silicon with pw.x."""

    upf: str = "Si.pbe-rrkj.UPF"
    ecutwfc: float = 20.0
    ecutrho: float = 80.0
    mesh: int = 2
    shift: int = 1
    degauss: float = 0.01
    smearing: str = "marzari-vanderbilt"
    conv_thr: float = 1e-9

    def __str__(self) -> str:
        shifted = "shifted " if self.shift else ""
        return (
            f"{self.upf.removesuffix('.UPF')} {self.ecutwfc:g}/{self.ecutrho:g} Ry, {shifted}{self.mesh}x{self.mesh}x"
            f"{self.mesh}, {self.smearing} {self.degauss:g} Ry, conv_thr {self.conv_thr:g}"
        )


# Each group varies one thing; its last entry is what the others of the group are compared with.
GROUPS: dict[str, list[Setting]] = {
    "k mesh": [
        Setting(mesh=2, shift=0),
        Setting(mesh=2),
        Setting(mesh=3, shift=0),
        Setting(mesh=3),
        Setting(mesh=4),
        Setting(mesh=6),
    ],
    "cutoff": [
        Setting(ecutwfc=16, ecutrho=64),
        Setting(ecutwfc=18, ecutrho=72),
        Setting(),
        Setting(ecutwfc=25, ecutrho=100),
        Setting(ecutwfc=45, ecutrho=180),
    ],
    "self-consistency": [Setting(conv_thr=1e-6), Setting(conv_thr=1e-7), Setting(conv_thr=1e-8), Setting()],
    "pseudopotential": [
        Setting(),
        Setting(upf="Si.pbe-nl-rrkjus_psl.1.0.0.UPF", ecutwfc=30, ecutrho=180),
        Setting(upf="Si.pbe-nl-rrkjus_psl.1.0.0.UPF", ecutwfc=44, ecutrho=300),
    ],
}


GROUPS["together"] = [
    Setting(ecutwfc=16, ecutrho=64, mesh=3, conv_thr=1e-7),
    Setting(ecutwfc=18, ecutrho=72, mesh=3, conv_thr=1e-7),
    Setting(mesh=3, conv_thr=1e-7),
    Setting(mesh=3, conv_thr=1e-7, degauss=0.02),
    Setting(mesh=2, conv_thr=1e-7, degauss=0.02),
    Setting(mesh=2, conv_thr=1e-7, degauss=0.03),
    Setting(ecutwfc=30, ecutrho=120, mesh=5),
]


def dynamics_frames(seed: int = 1) -> list[ase.Atoms]:
    """Frames of eight atoms from Stillinger-Weber Langevin dynamics at 1200 K, each in a strained cell of its own."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(8):
        atoms = ase.build.bulk("Si", cubic=True, a=5.47)
        strain = rng.normal(scale=0.02, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.calc = Manybody(**StillingerWeber(Stillinger_Weber_PRB_31_5262_Si))
        thermalize_momenta(atoms, temperature_K=1200, rng=rng)
        Langevin(atoms, 2 * units.fs, temperature_K=1200, friction=0.02 / units.fs, rng=rng, fixcm=False).run(300)
        frames.append(atoms)
    return frames


def hottest(frames: list[ase.Atoms], count: int) -> list[ase.Atoms]:
    """Return the frames with the largest RMS force."""
    order = np.argsort([rms(frame.get_forces()) for frame in frames])
    return [frames[index] for index in order[::-1][:count]]


def pw_input(atoms: ase.Atoms, setting: Setting) -> str:
    """Write the input of pw.x for one frame."""
    cell = "\n".join("{:.10f} {:.10f} {:.10f}".format(*row) for row in atoms.cell.array)
    positions = "\n".join("Si {:.10f} {:.10f} {:.10f}".format(*row) for row in atoms.positions)
    return f"""&CONTROL
  calculation = 'scf', prefix = 'pw', outdir = './out', pseudo_dir = '{PSEUDO_DIR}'
  tprnfor = .true., tstress = .true., disk_io = 'nowf'
/
&SYSTEM
  ibrav = 0, nat = {len(atoms)}, ntyp = 1, ecutwfc = {setting.ecutwfc}, ecutrho = {setting.ecutrho}
  occupations = 'smearing', smearing = '{setting.smearing}', degauss = {setting.degauss}
/
&ELECTRONS
  conv_thr = {setting.conv_thr}
/
ATOMIC_SPECIES
Si 28.085 {setting.upf}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
K_POINTS automatic
{setting.mesh} {setting.mesh} {setting.mesh} {setting.shift} {setting.shift} {setting.shift}
"""


@dataclass(frozen=True)
class Label:
    """Energy in eV/atom, forces in eV/Å, stress in eV/Å^3, and the seconds they took."""

    energy: float
    forces: list[list[float]]
    stress: list[float]
    seconds: float


def label(atoms: ase.Atoms, setting: Setting, pw: str, cache: Path) -> Label:
    """Label one frame with one setting; the cache is asked first."""
    text = pw_input(atoms, setting)
    stored = cache / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if not stored.exists():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            output = subprocess.run(
                [pw],
                input=text,
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            ).stdout
            seconds = time.perf_counter() - start
            (Path(folder) / "pw.out").write_text(output)
            result = ase.io.read(Path(folder) / "pw.out", format="espresso-out")
        found = Label(
            result.get_potential_energy() / len(atoms),
            result.get_forces().tolist(),
            result.get_stress().tolist(),
            seconds,
        )
        stored.write_text(json.dumps(asdict(found)))
    return Label(**json.loads(stored.read_text()))


COLUMNS = ("setting", "force error, meV/Å", "of the RMS force, %", "largest, meV/Å", "stress error, GPa",
           "energy scatter, meV/atom", "s per frame")  # fmt: skip


def table(frames: list[ase.Atoms], pw: str, cache: Path, groups: list[str]) -> None:
    """Print one line per setting: what is wrong (root mean squares, unless said otherwise) and what it costs."""
    for group in groups:
        labels = [[label(frame, setting, pw, cache) for frame in frames] for setting in GROUPS[group]]
        best = labels[-1]
        rms_force = rms([one.forces for one in best])
        print(f"\n{group} ({len(frames)} frames, RMS force {rms_force:.3f} eV/Å; the last line is the reference)\n")
        print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|")
        for setting, row in zip(GROUPS[group], labels, strict=True):
            forces = [np.subtract(one.forces, ref.forces) for one, ref in zip(row, best, strict=True)]
            stress = [np.subtract(one.stress, ref.stress) / units.GPa for one, ref in zip(row, best, strict=True)]
            scatter = np.std([one.energy - ref.energy for one, ref in zip(row, best, strict=True)])
            seconds = np.mean([one.seconds for one in row])
            print(f"| {setting} | {1e3 * rms(forces):.1f} | {100 * rms(forces) / rms_force:.2f} "
                  f"| {1e3 * np.abs(forces).max():.1f} | {rms(stress):.2f} | {1e3 * scatter:.2f} | {seconds:.1f} |",
                  flush=True)  # fmt: skip


def rms(values: Any) -> float:
    """Root mean square over everything."""
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    """Read or make the frames, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="?", type=Path, help="extended XYZ with forces")
    parser.add_argument("--hottest", type=int, default=5, help="how many frames to take")
    parser.add_argument("--pw", default="/usr/bin/pw.x", help="the executable")
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="what to vary; default: everything")
    parser.add_argument("--cache", type=Path, help="folder that keeps the results between runs")
    arguments = parser.parse_args()
    frames = ase.io.read(arguments.frames, index=":") if arguments.frames else dynamics_frames()
    with tempfile.TemporaryDirectory() as scratch:
        cache = arguments.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        table(hottest(frames, arguments.hottest), arguments.pw, cache, arguments.group or list(GROUPS))


if __name__ == "__main__":
    main()
