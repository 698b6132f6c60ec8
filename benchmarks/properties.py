"""Models of dipoles and polarizabilities: errors, seconds, and the same of MACE's dipole model at equal data.

Labels are those of GFN2-xTB (tblite, in an environment of its own) for frames of molecules, such as those of
acetylacetone at 300 K of https://github.com/davkovacs/BOTNet-datasets; polarizabilities by central differences in a
field of 0.002 Ha/(e bohr).

    benchmarks/properties.py label frames.xyz labelled.extxyz --tblite ENVIRONMENT/bin/python
    benchmarks/properties.py learn train.extxyz test.extxyz [--first 50 200 500] [--threads 2] [--seeds 0 1 2]
    benchmarks/properties.py mace train.extxyz test.extxyz --first 200 --mace ENVIRONMENT/bin/mace_run_train
        [--seconds 1200] [--threads 2]
    benchmarks/properties.py cost potential/ dipole/ test.extxyz [--threads 1]

``learn`` says for each number of frames the error of a component, the share of it in what test labels scatter, the
share of errors within the standard error, and seconds. ``mace`` trains ``AtomicDipolesMACE`` with 32 channels on the
same frames, judges it on the test frames every second epoch, and says when it was first as good as ours (it is helped
by that: its best epoch on the test frames is looked for). ``cost`` compares a prediction with the committee's forces.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase.units import Debye

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import PROPERTIES, Property
from bloomery.potentials.calibration import coverage
from bloomery.potentials.contract import load_potential
from bloomery.properties.contract import load_property
from bloomery.properties.equivariant_ridge import EquivariantRidge

LABELS = """
import sys
import ase.io, numpy as np
from ase.units import Bohr
from tblite.interface import Calculator

def dipole(atoms, field=None):
    calculator = Calculator("GFN2-xTB", atoms.numbers, atoms.positions / Bohr)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", 0.01)
    if field is not None:
        calculator.add("electric-field", [float(value) for value in field])
    return np.array(calculator.singlepoint().get("dipole"))

step, done = 2e-3, []
for frame in ase.io.read(sys.argv[1], ":"):
    atoms = ase.Atoms(frame.numbers, frame.positions)
    slopes = [(dipole(atoms, step * axis) - dipole(atoms, -step * axis)) / (2 * step) for axis in np.eye(3)]
    tensor = np.array(slopes)
    atoms.info["REF_dipole"] = dipole(atoms) * Bohr
    atoms.info["REF_polarizability"] = ((tensor + tensor.T) / 2 * Bohr**3).ravel()
    done.append(atoms)
ase.io.write(sys.argv[2], done)
"""


def learnt(train: Configurations, test: Configurations, name: Property, seed: int) -> tuple[float, str]:
    """The error of a component, and a row that says it."""
    began = time.perf_counter()
    model = EquivariantRidge.make().fit(train, name, seed)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    prediction = model.predict(test)
    milliseconds = 1e3 * (time.perf_counter() - began) / len(test)
    labels = test.label(name)[0]
    errors = (prediction.values - labels).reshape(len(labels), -1)
    rmse = float(np.sqrt((errors**2).mean()))
    share = rmse / float(np.sqrt(labels.var(axis=0).mean()))
    within = coverage(errors, np.repeat(prediction.sigma[:, None], errors.shape[1], axis=1), [0.68])[0.68]
    row = f"{name:15} {len(train):6} {seed:4} {rmse:9.5f} {100 * share:7.2f} % {100 * within:5.0f} % {seconds:7.1f} s"
    return rmse, f"{row} {milliseconds:6.2f} ms/frame"


def mace(arguments: argparse.Namespace, train: Configurations, test: Configurations) -> None:
    """Train MACE's dipoles until they are as good as ours, or the time is over."""
    ours, row = learnt(train, test, "dipole", arguments.seeds[0])
    print(row)
    command = [
        str(arguments.mace), "--name", "dipole", "--train_file", "train.xyz", "--valid_file", "test.xyz",
        "--model", "AtomicDipolesMACE", "--loss", "dipole", "--error_table", "DipoleRMSE",
        "--dipole_key", "REF_dipole", "--energy_key", "REF_energy",
        "--E0s", str({int(number): 0.0 for number in np.unique(train.numbers)}),
        "--num_channels", "32", "--max_L", "1", "--r_max", "5.0", "--batch_size", "10", "--valid_batch_size", "50",
        "--max_num_epochs", "1000", "--eval_interval", "2", "--lr", "0.01", "--device", "cpu",
        "--default_dtype", "float32", "--seed", str(arguments.seeds[0]), "--num_workers", "0",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in (("train", train), ("test", test)):
            bare = frames.without_labels().with_labels(dipole=frames.label("dipole")[0])
            bare.write_extxyz(Path(folder) / f"{name}.xyz")
            text = (Path(folder) / f"{name}.xyz").read_text(encoding="utf-8")
            changed = re.sub(r"\bdipole=", "REF_energy=0.0 REF_dipole=", text)
            (Path(folder) / f"{name}.xyz").write_text(changed, encoding="utf-8")
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        began, per_atom = None, Debye * 1e-3 * train.counts.mean()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                began = time.perf_counter() if "Started training" in line else began
                found = re.search(r"Epoch (\d+):.*RMSE_MU_per_atom=\s*([\d.]+) mDebye", line)
                if found is None or began is None:
                    continue
                seconds, error = time.perf_counter() - began, float(found[2]) * per_atom
                print(f"mace: epoch {found[1]:>4} {seconds:7.1f} s {error:9.5f} e·Å", flush=True)
                if error <= ours:
                    print(f"mace: as good as ours after {seconds:.0f} s")
                    return
                if seconds > arguments.seconds:
                    print(f"mace: not as good as ours after {seconds:.0f} s")
                    return
        finally:
            process.kill()
            process.wait()


def cost(arguments: argparse.Namespace) -> None:
    """Seconds of a prediction of the property, beside energies and forces of the committee, frame by frame."""
    potential, fitted = load_potential(arguments.files[0], "cpu"), load_property(arguments.files[1])
    frames = Configurations.read(arguments.files[2])[:100].without_labels()
    found: dict[str, list[float]] = {"forces of the committee": [], f"{fitted.name} with its error": []}
    for _ in range(3):
        for frame in frames:
            began = time.perf_counter()
            potential.predict(frame, stress=False)
            between = time.perf_counter()
            fitted.predict(frame)
            for times, seconds in zip(found.values(), (between - began, time.perf_counter() - between), strict=True):
                times.append(seconds)
    for name, times in found.items():
        print(f"{name}: {1e3 * float(np.median(times)):.2f} ms for frames of {frames.counts.mean():.0f} atoms")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["label", "learn", "mace", "cost"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--tblite", type=Path)
    parser.add_argument("--mace", type=Path)
    parser.add_argument("--first", nargs="+", type=int, default=[50, 200, 500])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.command == "label":
        subprocess.run([str(arguments.tblite), "-c", LABELS, *arguments.files], check=True)
        return
    if arguments.command == "cost":
        cost(arguments)
        return
    train, test = (Configurations.read(path) for path in arguments.files)
    if arguments.command == "mace":
        mace(arguments, train[: arguments.first[0]], test)
        return
    for name in PROPERTIES:
        if not (train.has(name).all() and test.has(name).all()):
            continue
        for count in arguments.first:
            for seed in arguments.seeds:
                print(learnt(train[:count], test, name, seed)[1], flush=True)


if __name__ == "__main__":
    main()
