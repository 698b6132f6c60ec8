#!/usr/bin/env bash
# tblite 0.8: its ASE calculator takes a frame that is periodic along two vectors for one that is periodic along three.
#
# A sheet of water molecules with pbc = (True, True, False) in a cell that is 3 Å high has, to the last digit, the energy
# of the crystal with pbc = True; in a cell of 30 Å, which along an open direction is the same system, it has another one,
# by 0.16 eV. Nothing warns. With no periodic direction at all the cell does not count, as it should be.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=1
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check tblite==0.8.0 ase==3.29.0
cat >"$folder/slab.py" <<'PY'
from importlib.metadata import version

from ase.build import molecule
from tblite.ase import TBLite


def energy(height, pbc):
    sheet = molecule("H2O")
    sheet.set_cell([4.0, 4.0, height])
    sheet.pbc = pbc
    sheet.calc = TBLite(method="GFN1-xTB", verbosity=0)
    return sheet.get_potential_energy()


print("tblite", version("tblite"))
found = {}
for name, pbc in (("crystal", [True, True, True]), ("slab", [True, True, False]), ("molecule", [False, False, False])):
    found[name] = [energy(height, pbc) for height in (3.0, 30.0)]
    print(f"{name:9} cell of 3 Å: {found[name][0]:.6f} eV, of 30 Å: {found[name][1]:.6f} eV")
assert found["slab"] == found["crystal"]
assert abs(found["slab"][0] - found["slab"][1]) > 0.01
assert abs(found["molecule"][0] - found["molecule"][1]) < 1e-6
print("as described")
PY
"$folder/environment/bin/python" -W ignore "$folder/slab.py"
