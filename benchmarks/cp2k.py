"""CP2K: energies by the size of the box for each Poisson solver, and packs against the program called by hand.

    python benchmarks/cp2k.py boxes           # P2, and a layer of it, in boxes of 3 to 9 Å of vacuum
    python benchmarks/cp2k.py pack [FRAMES]   # many frames in one job, against a plain loop over the same inputs

Both need ``cp2k.psmp`` on the path; the second makes an AiiDA profile that is gone afterwards.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase
import numpy as np
from aiida import engine, load_profile, orm
from aiida.storage.sqlite_temp import SqliteTempBackend
from rich.console import Console
from rich.table import Table

from aiida_bloomery.calculations.cp2k_data import data_folder
from aiida_bloomery.calculations.cp2k_input import SOLVERS, TAIL, frame_sections, rendered
from aiida_bloomery.calculations.cp2k_output import read_frame
from aiida_bloomery.calculations.pw_output import FrameLabels
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.parsers.frame_pack import read_log
from aiida_bloomery.setup.machine import cp2k_program
from aiida_bloomery.workflows.labelling.cp2k import Cp2kLabellingWorkChain
from aiida_bloomery.workflows.labelling.cp2k_inputs import cp2k_settings
from bloomery.frames.configurations import Configurations

CORES = 2
CHEAP: dict[str, Any] = {
    "functional": "LDA",
    "basis": "SZV-MOLOPT-SR-GTH",
    "kpoints": {"mesh": [1, 1, 1]},
    "vacuum": 4.0,
    "parameters": {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": 100, "REL_CUTOFF": 30}}}},
}
VACUUMS = (3.0, 4.0, 5.0, 6.0, 9.0)
SYSTEMS = {
    "molecule": (ase.Atoms("P2", [[0, 0, 0], [1.2, 1.5, 0.3]]), ("WAVELET", "MT", "ANALYTIC")),
    "slab": (
        ase.Atoms("P2", [[0, 0, 0], [0.7, 2.2, 0.6]], cell=[3.5, 4.5, 0], pbc=[1, 1, 0]),
        ("MT", "ANALYTIC", "PERIODIC"),
    ),
}


def run(program: Path, folder: Path) -> str:
    """Run CP2K in a folder with its input; return what it says."""
    done = subprocess.run([program, "-i", "aiida.inp"], cwd=folder, capture_output=True, text=True, check=False)
    (folder / "aiida.out").write_text(done.stdout)
    return done.stdout


def boxes(program: Path, console: Console) -> None:
    """Print energy, largest force and seconds for each solver and vacuum; the box is the vacuum's alone."""
    settings = cp2k_settings(["P"], None, CHEAP, data=data_folder(program))
    for name, (atoms, solvers) in SYSTEMS.items():
        table = Table("solver", "vacuum/Å", "energy/eV", "largest force/eV/Å", "s", title=name)
        for solver in solvers:
            for vacuum in VACUUMS if name == "slab" else VACUUMS[:-1]:
                rules = {**settings["rules"], "vacuum": vacuum, "temperature": 1000.0 if name == "slab" else None}
                sections = frame_sections(atoms, settings["parameters"], rules)
                evaluation = sections["FORCE_EVAL"]
                evaluation["DFT"]["POISSON"]["POISSON_SOLVER"] = solver
                if solver == "PERIODIC":
                    evaluation["DFT"]["POISSON"]["PERIODIC"] = evaluation["SUBSYS"]["CELL"]["PERIODIC"] = "XYZ"
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "aiida.inp").write_text(rendered(sections))
                    start = time.perf_counter()
                    labels = read_frame(run(program, Path(folder)), len(atoms))
                    seconds = time.perf_counter() - start
                if isinstance(labels, FrameLabels):
                    largest = np.abs(labels.forces).max()
                    table.add_row(solver, f"{vacuum:g}", f"{labels.energy:.5f}", f"{largest:.5f}", f"{seconds:.1f}")
                else:
                    table.add_row(solver, f"{vacuum:g}", labels.reason, "", f"{seconds:.1f}")
        console.print(table)
    console.print(f"in use: {SOLVERS}; boxes of slabs are at least twice the slab with {TAIL:g} Å on either side")


def pack(program: Path, console: Console, n_frames: int) -> None:
    """Label rattled P2 in one job, then run the inputs that it had by hand, as many at a time."""
    with tempfile.TemporaryDirectory() as home:
        load_profile(SqliteTempBackend.create_profile("cp2k", debug=False), allow_switch=True)
        machine = orm.Computer(
            label="here",
            hostname="localhost",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=f"{home}/work",
        ).store()
        machine.set_minimum_job_poll_interval(0.1)
        machine.set_default_mpiprocs_per_machine(1)
        machine.set_property("bloomery_cores", CORES)
        machine.configure(use_login_shell=False, safe_interval=0.0)
        code = orm.InstalledCode(label="cp2k", computer=machine, filepath_executable=str(program)).store()
        frames = []
        for index in range(n_frames):
            frames.append(SYSTEMS["molecule"][0].copy())
            frames[-1].rattle(0.05, seed=index)
        node = ConfigurationsData(Configurations.from_atoms(frames)).store()
        start = time.perf_counter()
        outputs, done = engine.run_get_node(Cp2kLabellingWorkChain.get_builder_from_protocol(code, node, "fast", CHEAP))
        whole = time.perf_counter() - start
        (job,) = [child for child in done.called if child.process_label == "Cp2kPackCalculation"]
        files = job.outputs.retrieved.base.repository
        lines = [line.split() for line in files.get_object_content("frames.log").splitlines()]
        packed = float(lines[-1][2]) - float(lines[0][2])
        own = sum(entry.seconds for entry in read_log(files.get_object_content("frames.log")).values())
        folders = []
        for index in range(n_frames):
            folders.append(Path(home) / f"by_hand_{index}")
            folders[-1].mkdir()
            text = job.base.repository.get_object_content(f"frame_{index:04d}/aiida.inp")
            (folders[-1] / "aiida.inp").write_text(text)
        start = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            said = list(pool.map(lambda folder: run(program, folder), folders))
        bare = time.perf_counter() - start
    energies = outputs["labelled"].configurations.label("energy")[0]
    by_hand = [float(re.findall(r"ENERGY\|.*\s(\S+)\n", text)[-1]) for text in said]
    console.print(f"{n_frames} frames, {CORES} at a time: {packed:.1f} s in the pack, {bare:.1f} s by hand")
    console.print(f"ratio {packed / bare:.3f}; {own / n_frames:.2f} s a frame; {whole:.1f} s from submission to ledger")
    console.print(f"energies: largest difference {np.ptp(energies / by_hand):.1e} of the unit that both share")


def main() -> None:
    """Run what the command line says."""
    program, console = cp2k_program(), Console()
    if program is None or len(sys.argv) < 2 or sys.argv[1] not in {"boxes", "pack"}:
        raise SystemExit(__doc__)
    if sys.argv[1] == "boxes":
        boxes(program, console)
    else:
        pack(program, console, int(sys.argv[2]) if len(sys.argv) > 2 else 20)


if __name__ == "__main__":
    main()
