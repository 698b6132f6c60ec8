"""A program that reads VASP's input and writes its output, with the numbers of ASE's effective medium theory.

The formats are VASP's as its manual describes them; nothing is taken from a run. Potentials have headers alone, with
numbers that are made up. With fewer than `STEPS` electronic steps at its disposal it does not converge.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import units
from ase.calculators.emt import EMT

STEPS = 9
"""Electronic steps to convergence."""
ENTROPY = 0.25
"""T times S in eV, by which the energy without entropy lies above the free one."""
VERSION = "6.9.9"

POTENTIALS = {"Cu": 11.0, "Cu_pv": 17.0, "Au": 11.0, "Al": 3.0, "H": 1.0, "O": 6.0, "Ni_pv": 16.0, "Si": 4.0}
"""Names, with electrons outside of the core."""
ENMAX = {"Cu": 295.0, "Cu_pv": 369.0, "Au": 230.0, "Al": 240.0, "H": 250.0, "O": 400.0, "Ni_pv": 367.0, "Si": 245.0}


def potential(name: str, functional: str = "PE") -> str:
    """Text of a potential, which is a header and nothing else."""
    element = name.partition("_")[0]
    return f"""\
  PAW_MADE_UP {name} 01Jan2000
   {POTENTIALS[name]:.5f}
 parameters from PSCTR are:
   VRHFIN ={element}: made up
   LEXCH  = {functional}
   EATOM  =   100.0000 eV,    7.3499 Ry

   TITEL  = PAW_MADE_UP {name} 01Jan2000
   POMASS =   10.000; ZVAL   =   {POTENTIALS[name]:.3f}    mass and valenz
   ENMAX  =  {ENMAX[name]:.3f}; ENMIN  =  {0.75 * ENMAX[name]:.3f} eV
 END of PSCTR-controll parameters
 secret numbers of {name}
 End of Dataset
"""


def write_potentials(folder: Path, functional: str = "PE") -> Path:
    """Write all potentials as they are distributed; the folder to upload."""
    for name in POTENTIALS:
        (folder / name).mkdir(parents=True)
        (folder / name / "POTCAR").write_text(potential(name, functional))
    return folder


def install(folder: Path) -> Path:
    """Write an executable that runs this program; its path."""
    path = folder / "vasp_std"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def main() -> None:
    """Compute what stands in this folder."""
    print(f" vasp.{VERSION} 01Jan2000 (build 01Jan2000) complex")
    if not Path("INCAR").is_file():
        sys.exit(" No INCAR found, STOPPING")
    tags, atoms, potcar = read_incar(Path("INCAR").read_text()), ase.io.read("POSCAR"), Path("POTCAR").read_text()
    titles = re.findall(r"TITEL\s+= \S+ (\w+)", potcar)
    species = list(dict.fromkeys(atoms.symbols))
    if [title.partition("_")[0] for title in titles] != species:
        sys.exit(" ERROR: the POTCAR does not fit to the POSCAR")
    valences = dict(zip(species, map(float, re.findall(r"ZVAL\s+=\s+([\d.]+)", potcar)), strict=True))
    electrons = float(tags.get("NELECT", sum(valences[symbol] for symbol in atoms.symbols)))
    steps = min(STEPS, int(tags["NELM"]))
    atoms.calc = EMT()
    Path("vasprun.xml").write_text(vasprun(atoms, tags, steps))
    Path("OUTCAR").write_text(outcar(atoms, tags, steps, electrons))
    for name in ("CHGCAR", "WAVECAR", "CONTCAR"):
        Path(name).write_text("large\n")


def read_incar(text: str) -> dict[str, str]:
    """Tags and their values as texts."""
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}


def moments(atoms: ase.Atoms, tags: Mapping[str, str]) -> list[float] | None:
    """Moments of the atoms in their order, as INCAR begins with; none without spins."""
    if tags.get("ISPIN") != "2":
        return None
    words = tags.get("MAGMOM", f"{len(atoms)}*1").split()
    return [float(word.partition("*")[2]) for word in words for _ in range(int(word.partition("*")[0]))]


def outcar(atoms: ase.Atoms, tags: Mapping[str, str], steps: int, electrons: float, *, ends: bool = True) -> str:
    """Text of OUTCAR, as far as anything of it is read."""
    spins = moments(atoms, tags)
    lines = [
        f" vasp.{VERSION} 01Jan2000 (build 01Jan2000) complex",
        f"   NELM   =    {tags['NELM']};   NELMIN=  4; NELMDL= -5     # of ELM steps",
        "   NSW    =      0    number of steps for IOM",
        "   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG",
    ]
    whole = "" if spins is None else f"{float(tags.get('NUPDOWN', sum(spins))):.7f}"
    for step in range(1, steps + 1):
        lines += [
            f"{'-' * 39} Iteration      1({step:4d})  {'-' * 39}",
            f" number of electron {electrons:15.7f} magnetization {whole:>15}",
        ]
    reached = "because EDIFF is reached" if steps >= STEPS else "EDIFF was not reached (unconverged)"
    lines += [f"------------------------ aborting loop {reached} ----------------------------------------", ""]
    energy = atoms.get_potential_energy()
    lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", f"  free  energy   TOTEN  = {energy:17.8f} eV", ""]
    if spins is not None:
        lines += [" magnetization (x)", " ", "# of ion       s       p       d       tot", "-" * 42]
        lines += [f"{number:5d} {0:13.3f} {0:7.3f} {one:7.3f} {one:7.3f}" for number, one in enumerate(spins, 1)]
        total = sum(spins)
        lines += ["-" * 42, f"tot   {0:13.3f} {0:7.3f} {total:7.3f} {total:7.3f}", ""] if len(atoms) > 1 else ["", ""]
    if ends:
        lines += [
            " General timing and accounting informations for this job:",
            "      Total CPU time used (sec):    1.000",
        ]
    return "\n".join(lines) + "\n"


def vasprun(atoms: ase.Atoms, tags: Mapping[str, str], steps: int) -> str:
    """Text of vasprun.xml: lengths in Å, energies in eV, stress in kB, positive where a crystal is pressed."""
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    stress = -atoms.get_stress(voigt=False) / (0.1 * units.GPa)
    energies = {"e_fr_energy": energy, "e_wo_entrp": energy + ENTROPY, "e_0_energy": energy + ENTROPY / 2}
    # VASP's electronic steps lack corrections that come after them.
    in_steps = {name: value + 1.0 for name, value in energies.items()}
    species = list(dict.fromkeys(atoms.symbols))
    kinds = [species.index(symbol) + 1 for symbol in atoms.symbols]
    ions = "".join(f"<rc><c>{s:2}</c><c>{k:4d}</c></rc>\n" for s, k in zip(atoms.symbols, kinds, strict=True))
    structure = f"""\
<crystal>
{_array("basis", atoms.cell.array)}
<i name="volume">{atoms.get_volume():.8f}</i>
</crystal>
{_array("positions", atoms.get_scaled_positions())}
"""
    scsteps = "".join(f"<scstep>\n{_energies(in_steps)}</scstep>\n" for _ in range(steps))
    return f"""\
<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">{VERSION}  </i>
 </generator>
 <kpoints>
  {_array("kpointlist", np.zeros((1, 3)))}
  {_array("weights", np.ones((1, 1)))}
 </kpoints>
 <parameters>
  <separator name="electronic" >
   <i type="int" name="NELM">{tags["NELM"]}</i>
   <i type="int" name="ISPIN">{tags.get("ISPIN", 1)}</i>
   <i type="int" name="NSW">0</i>
   <i type="int" name="NBANDS">1</i>
  </separator>
 </parameters>
 <atominfo>
  <atoms>{len(atoms)}</atoms>
  <types>{len(species)}</types>
  <array name="atoms" >
   <dimension dim="1">ion</dimension>
   <field type="string">element</field>
   <field type="int">atomtype</field>
   <set>
{ions}   </set>
  </array>
 </atominfo>
 <structure name="initialpos" >
{structure} </structure>
 <calculation>
{scsteps}  <structure>
{structure}  </structure>
  {_array("forces", forces)}
  {_array("stress", stress)}
  {_energies(energies)}
  <dos>
   <i name="efermi">0.0</i>
   <partial><array><set><set comment="ion 1"><set comment="spin 1"><r>1 2 3 4</r></set></set></set></array></partial>
  </dos>
 </calculation>
 <structure name="finalpos" >
{structure} </structure>
</modeling>
"""


def _array(name: str, rows: Any) -> str:
    body = "".join(f"<v>{' '.join(f'{value:16.8f}' for value in row)}</v>\n" for row in rows)
    return f'<varray name="{name}" >\n{body}</varray>'


def _energies(values: Mapping[str, float]) -> str:
    body = "".join(f'<i name="{name}">{value:16.8f}</i>\n' for name, value in values.items())
    return f"<energy>\n{body}</energy>\n"


if __name__ == "__main__":
    main()
