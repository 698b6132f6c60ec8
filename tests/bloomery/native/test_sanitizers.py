"""All kernels under the address and the undefined-behaviour sanitizer, on random frames and sets of functions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Everything that goes through C: networks, power spectra and symmetry functions, forces, and maps for training.
EVERYTHING = """
import sys, tempfile
from bloomery import native
native.PATIENCE = 3600.0  # a busy machine may take minutes
native.FLAGS = (*native.FLAGS, "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *sys.argv[1:])
native.sys.prefix = tempfile.mkdtemp()
import numpy as np
import torch
from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.testing.frames import odd_frames
from tests.bloomery.native.test_kernels import make_potential

random = np.random.default_rng(0)
for round in range(3):
    elements = [["Si"], ["C", "Si"], ["C", "H", "O", "Si"]][round]
    frames = odd_frames([element for element in ("C", "Si") if element in elements], seed=round)
    sizes = {"radial": int(random.integers(1, 5)), "max_degree": int(random.integers(0, 5))}
    spectrum = PowerSpectrum.make(cutoff=4.0, inner=1.0, **sizes)
    mixed = PowerSpectrum.make(cutoff=4.0, channels=1 + 4 * round, **sizes).fitted(frames, elements)
    functions = Acsf.make(cutoff=4.0, rules={"zetas": [1, 3.5, 4][: 1 + round % 3]})
    # Each descriptor in one precision a round, and over the rounds in both.
    for number, descriptor in enumerate((spectrum, mixed, functions)):
        dtype = ("float64", "float32")[(round + number) % 2]
        hidden = tuple(int(width) for width in random.integers(1, 35, size=1 + round % 3))
        potential = make_potential(dtype=dtype, elements=elements, descriptor=descriptor, hidden=hidden,
                                   members=int(random.integers(1, 6)), skip=bool(round % 2))
        assert potential._evaluator.kernel is not None
        potential.predict(frames)
        potential.predict_mean(frames)
        if descriptor is not functions:
            force_map = descriptor.force_map(frames, elements, dtype=dtype)
            kind = getattr(torch, dtype)
            forces, virials = force_map.forces(torch.ones(3, frames.n_atoms, descriptor.size(elements), dtype=kind))
            force_map.transposed(forces, virials)
    functions.features(frames, elements, gradients=True)
print("done")
"""

# The same on an array that is too short: what must be noticed.
TOO_SHORT = (
    EVERYTHING.split("random =", maxsplit=1)[0]
    + """
from bloomery.engines.hdnnp.kernel import CommitteeKernel
potential = make_potential()
kernel = potential._evaluator.kernel
species, outermost = np.zeros(5, dtype=np.int64), np.empty(5, dtype=np.int64)
context = kernel.context(False, species, np.empty((3, 2)), outermost, np.empty(5))
kernel.evaluate(context, np.zeros((5, potential.parameters["weight_0"].shape[2])), 0, 3)
print("done")
"""
)


def under_sanitizers(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with kernels that watch what they read and write."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc on this machine")
    library = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    preloaded = library.stdout.strip()
    if not Path(preloaded).is_file():
        pytest.skip("gcc has no address sanitizer here")
    changes = {"LD_PRELOAD": preloaded, "ASAN_OPTIONS": "detect_leaks=0", "CC": compiler, "OMP_NUM_THREADS": "1"}
    changes |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | changes, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_kernels_stay_within_their_arrays(tmp_path: Path) -> None:
    done = under_sanitizers(EVERYTHING, tmp_path)
    assert done.stdout.strip() == "done", done.stderr[-4000:]


@pytest.mark.slow
def test_a_kernel_that_does_not_is_caught(tmp_path: Path) -> None:
    done = under_sanitizers(TOO_SHORT, tmp_path)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-4000:]
