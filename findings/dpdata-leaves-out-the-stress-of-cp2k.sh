#!/usr/bin/env bash
# dpdata 1.1.0: the stress of a CP2K output is left out without a word; energy and forces are read.
#
# CP2K prints the tensor in lines that begin with "STRESS|" since version 8 or so. The reader `cp2k/output` looks for
# the heading of older versions, finds none, and returns a LabeledSystem without `virials`. A potential that is fitted to
# it has never seen a stress, and nothing says so. (CP2K's tensor is positive under compression.)
#
# CP2K 2023.1 of Debian 12 is unpacked into a temporary folder and computes a water molecule in a small cell.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/debs/partial" "$folder/root"
: >"$folder/status"
# With an empty list of what is installed, all that the program needs is fetched, and nothing is installed.
apt-get -qq -o Dir::State::status="$folder/status" -o Dir::Cache::Archives="$folder/debs" -o Debug::NoLocking=1 \
    -o APT::Install-Recommends=0 --download-only -y install cp2k=2023.1-2 >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check dpdata==1.1.0

cat >"$folder/water.inp" <<'INPUT'
&GLOBAL
  PROJECT water
  RUN_TYPE ENERGY_FORCE
&END GLOBAL
&FORCE_EVAL
  METHOD Quickstep
  STRESS_TENSOR ANALYTICAL
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    &MGRID
      CUTOFF 200
    &END MGRID
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
      ABC 5.0 5.2 5.4
    &END CELL
    &COORD
      O 0.10 0.00 0.00
      H 0.95 0.10 0.05
      H -0.20 0.90 0.02
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
INPUT
libraries=$(find "$folder/root/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
(cd "$folder" && env LD_LIBRARY_PATH="$libraries" OPAL_PREFIX="$folder/root/usr" OMP_NUM_THREADS=1 \
    CP2K_DATA_DIR="$folder/root/usr/share/cp2k" root/usr/bin/cp2k.psmp -i water.inp >water.out 2>&1)
grep -A4 "STRESS| Analytical stress tensor" "$folder/water.out"

"$folder/environment/bin/python" - "$folder/water.out" <<'PY'
import sys

import dpdata

system = dpdata.LabeledSystem(sys.argv[1], fmt="cp2k/output")
print("dpdata", dpdata.__version__, "reads", sorted(system.data))
assert system.data["energies"].shape == (1,)
assert system.data["forces"].shape == (1, 3, 3)
if "virials" in system.data:
    sys.exit("dpdata reads the stress now: this finding is out of date.")
PY
echo "as described: the output holds a stress, dpdata returns none and says nothing"
