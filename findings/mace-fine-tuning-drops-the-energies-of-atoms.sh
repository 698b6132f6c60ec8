#!/usr/bin/env bash
# mace-torch 0.3.16: fine-tuning from a model that knows exactly the elements of the frames drops the --E0s it is given.
#
# The log says "Atomic Energies used" with the values that were given, but the network begins, and is saved, with the
# energies of atoms of the model that it is tuned from: after the weights every other buffer of the same shape is copied
# too (mace/tools/finetuning_utils.py, end of load_foundations_elements), atomic_energies_fn.atomic_energies among them.
# If the model knows more elements than the frames hold the shapes differ, and the values that were given are used.
# Where labels count from another zero, every energy is off by the difference from the first step on, and since the
# energies of atoms are no parameters, the network is bent to make up for it.
#
# A small model of copper, and one of copper and silver, are trained for one epoch on frames with ASE's EMT, with -4 eV
# an atom; both are then tuned for one epoch on copper whose energies are 150 eV an atom lower, with --E0s "{29: -154}".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check torch==2.13.0 mace-torch==0.3.16 ase==3.29.0

cd "$folder"
export PATH="$folder/environment/bin:$PATH" OMP_NUM_THREADS=1
python - <<'PY'
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

random = np.random.default_rng(0)


def frames(silver: int, lower: float) -> list:
    made = []
    for _ in range(6):
        atoms = bulk("Cu", cubic=True, a=3.7 if silver else 3.6)
        atoms.symbols[:silver] = "Ag"
        atoms.rattle(0.05, rng=random)
        atoms.calc = EMT()
        atoms.info["REF_energy"] = atoms.get_potential_energy() - lower * len(atoms)
        atoms.arrays["REF_forces"] = atoms.get_forces()
        atoms.calc = None
        made.append(atoms)
    return made


write("copper.extxyz", frames(0, 4.0))
write("alloy.extxyz", frames(0, 4.0)[:3] + frames(1, 4.0)[:3])
write("lower.extxyz", frames(0, 154.0))
PY

train() {
    name=$1
    shift
    mace_run_train --name="$name" --model=ScaleShiftMACE --energy_key=REF_energy --forces_key=REF_forces \
        --r_max=4.0 --num_channels=4 --max_L=0 --correlation=2 --max_ell=1 --num_radial_basis=4 --max_num_epochs=1 \
        --batch_size=2 --valid_batch_size=2 --lr=1e-6 --device=cpu --default_dtype=float64 --model_dir=. --seed=1 \
        "$@" >"$name.log" 2>&1 || { tail -20 "$name.log"; exit 1; }
}

train copper --train_file=copper.extxyz --valid_file=copper.extxyz --E0s="{29: -4.0}"
train alloy --train_file=alloy.extxyz --valid_file=alloy.extxyz --E0s="{29: -4.0, 47: -4.0}"
for start in copper alloy; do
    train "of_$start" --train_file=lower.extxyz --valid_file=lower.extxyz --E0s="{29: -154.0}" \
        --foundation_model="$start.model" --multiheads_finetuning=False
done

python - <<'PY'
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")
import torch  # noqa: E402

print("mace-torch", version("mace-torch"))
found = {}
for start in ("copper", "alloy"):
    log = Path(f"of_{start}.log").read_text()
    assert "{29: -154.0}" in log
    model = torch.load(f"of_{start}.model", weights_only=False)  # made above
    found[start] = float(model.atomic_energies_fn.atomic_energies.ravel()[0])
    said = next(line for line in log.splitlines() if "Initial" in line and "RMSE" in line).split("INFO: ")[-1]
    print(f"tuned from the model of {start}: energy of an atom of copper {found[start]:.1f} eV; {said}")
if abs(found["copper"] + 4.0) > 0.01 or abs(found["alloy"] + 154.0) > 0.01:
    sys.exit("the energies of atoms are others now: this finding is out of date.")
PY
echo "as described: the given energies of atoms are dropped where the elements are the same"
