#!/usr/bin/env bash
# parsevasp 3.4.0: a run of VASP that was told to stop is "electronic_converged", and one that converged in its last
# step is not.
#
# Outcar.get_run_status compares the number of electronic steps with NELM, and looks at nothing else. A file STOPCAR
# with LABORT = .TRUE. ends the electronic loop early ("hard stop encountered!  aborting job ..."), and VASP then writes
# energy and forces of a density that is not self-consistent. VASP 6 says why the loop ended ("aborting loop EDIFF was
# not reached (unconverged)"), which is not looked at either. aiida-vasp's workchains ask this status.
#
# An OUTCAR of a few lines, in the words of VASP, is written into a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/environment"
"$folder/environment/bin/pip" install -qq --disable-pip-version-check parsevasp==3.4.0

"$folder/environment/bin/python" - "$folder/OUTCAR" <<'PY'
import importlib.metadata
import logging
import sys
from pathlib import Path

from parsevasp.outcar import Outcar

HEAD = """\
   NELM   =     60;   NELMIN=  2; NELMDL= -5     # of ELM steps
   NSW    =      0    number of steps for IOM
   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG
"""
STEP = "--------------------------------------- Iteration      1({:4d})  ---------------------------------------\n"
END = " General timing and accounting informations for this job:\n"


def converged(steps: int, why: str) -> bool:
    text = HEAD + "".join(STEP.format(step) for step in range(1, steps + 1)) + why + "\n" + END
    Path(sys.argv[1]).write_text(text)
    status = Outcar(file_path=sys.argv[1], logger=logging.getLogger()).get_run_status()
    return status["finished"] and status["electronic_converged"]


UNCONVERGED = "hard stop encountered!  aborting job ...\n ---- aborting loop EDIFF was not reached (unconverged) ----"
stopped = converged(3, UNCONVERGED)
last = converged(60, " ---- aborting loop because EDIFF is reached ----")
usual = converged(12, " ---- aborting loop because EDIFF is reached ----")
print("parsevasp", importlib.metadata.version("parsevasp"), "calls converged:")
print("  3 of 60 steps, hard stop, EDIFF was not reached:", stopped)
print("  60 of 60 steps, EDIFF is reached:               ", last)
print("  12 of 60 steps, EDIFF is reached:               ", usual)
assert usual
if not stopped or last:
    sys.exit("parsevasp looks at why the loop ended now: this finding is out of date.")
PY
echo "as described: the number of steps alone decides"
