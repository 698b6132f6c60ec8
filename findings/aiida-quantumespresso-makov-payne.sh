#!/usr/bin/env bash
# aiida-quantumespresso 5.1: an output of pw.x with Makov and Payne's correction prints a traceback, and the corrected
# energy is nowhere in what is parsed.
#
# With assume_isolated = 'makov-payne' pw.x prints two lines that begin with an exclamation mark: the total energy, and
# the one with the correction. The parser takes every such line for a total energy and looks for "estimated scf
# accuracy" in the five lines after it, which the second one does not have: a KeyError is printed with its traceback and
# swallowed, and a warning says no more than that something went wrong in that block. The energy of an ion stays that of
# its periodic images, here by 2.1 eV, and the XML file holds no other.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AIIDA_PATH="$folder/home"
mkdir "$AIIDA_PATH"
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check \
    aiida-core==2.9.4 aiida-quantumespresso==5.1.0 aiida-pseudo==1.10.0

# Lines of an output of pw.x 6.7 for a charged molecule of three atoms in a cube of 10 Å.
cat >"$folder/pw.out" <<'OUT'
     Program PWSCF v.6.7MaX starts on  1Dec2026 at  2:34:35
     bravais-lattice index     =            1
     lattice parameter (alat)  =      18.8973  a.u.
     unit-cell volume          =    6748.3345 (a.u.)^3
     number of atoms/cell      =            3
     number of atomic types    =            2
     number of Kohn-Sham states=            4
     number of k points=     1
     Dense  grid:   322453 G-vectors     FFT dimensions: (  90,  90,  90)
     Smooth grid:   113801 G-vectors     FFT dimensions: (  64,  64,  64)

     Self-consistent Calculation

     End of self-consistent calculation

!    total energy              =     -43.19169382 Ry
     estimated scf accuracy    <          8.8E-10 Ry

     Makov-Payne correction     0.15014345 Ry =  2.043 eV (1st order, 1/a0)
                                0.00553661 Ry =  0.075 eV (2nd order, 1/a0^3)
                                0.15568006 Ry =  2.118 eV (total)

!    Total+Makov-Payne energy  =     -43.03601376 Ry
     Corrected vacuum level    =       3.40196863 eV

     convergence has been achieved in  10 iterations

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  2   force =     0.00006049    0.04004604   -0.09945305
     atom    2 type  1   force =    -0.00002873    0.06363995    0.03723727
     atom    3 type  1   force =    -0.00003176   -0.10368599    0.06221578

     Total force =     0.177631     Total SCF correction =     0.000021

   JOB DONE.
OUT

cat >"$folder/parse.py" <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

from aiida_quantumespresso.parsers.parse_raw.pw import parse_stdout

print("aiida-quantumespresso", version("aiida-quantumespresso"))
text = Path(sys.argv[1]).read_text()
for name, part in (("with", text), ("without", text.replace("!    Total+Makov-Payne", "     Total+Makov-Payne"))):
    print(f"-- {name} the line of the corrected energy", file=sys.stderr)
    parsed, logs = parse_stdout(part, {"CONTROL": {}, "SYSTEM": {}, "ELECTRONS": {}})
    energies = [round(value / 13.605693, 5) for value in parsed["trajectory"]["energy"]]
    print(f"{name}: energies in Ry {energies}, warnings {list(logs.warning)}, errors {list(logs.error)}")
    assert energies == [-43.19169], energies
PY
"$folder/environment/bin/python" -W ignore "$folder/parse.py" "$folder/pw.out" 2>"$folder/said"
cat "$folder/said"
# One traceback, and it belongs to the output as pw.x wrote it.
[ "$(grep -c '^Traceback' "$folder/said")" = 1 ]
sed '/-- without/q' "$folder/said" | grep -q "KeyError: 'could not find and parse the line with"
echo "as described"
