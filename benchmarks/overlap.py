"""Wall time of a campaign whose stages overlap against that of the same campaign without, through a Slurm of its own.

Labels take a stated time each, one after the other, as if they were expensive; they are a teacher's. Both campaigns run
from the same seed in one home, one after the other; what is told is their wall times, their ratio, and the errors of
what they deliver, each with its 95 % interval. Debian's slurmctld, slurmd, slurm-client and munge must be there.

    python benchmarks/overlap.py [--seconds 5] [--frames 8] [--iterations 4] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from ase.build import bulk
from ase.io import write

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.harness import PROGRAMS, Home, home_in
from tests.servers import missing
from tests.slurm import PROGRAMS as SLURM_PROGRAMS
from tests.slurm import slurm_in

CALCULATOR = """
import time

from ase.calculators.calculator import Calculator, all_changes

from bloomery.reference.teachers import teacher_for


class Slow(Calculator):
    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.teacher = seconds, teacher_for(["Si"]).make()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        time.sleep(self.seconds)
        copy = atoms.copy()
        copy.calc = self.teacher
        self.results = {
            "energy": copy.get_potential_energy(), "forces": copy.get_forces(), "stress": copy.get_stress(),
        }
"""


def campaign_file(folder: Path, arguments: argparse.Namespace, *, overlaps: bool) -> Path:
    """Write a campaign file."""
    content: dict[str, Any] = {
        "name": "overlapping" if overlaps else "sequential",
        "structures": ["si8.extxyz"],
        "seed": arguments.seed,
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 2 * arguments.frames, "rattle": 0.08, "strain": 0.02}}],
            "selection": ["sanity", {"random": {"frames": arguments.frames}}],
        },
        "sampling": [{"md": {"temperatures": [300, 900], "steps": 10 * arguments.frames, "interval": 5}}],
        "selection": ["sanity", "duplicates", {"farthest_point": {"frames": arguments.frames}}],
        # Times differ by nothing that counts, so that the second campaign does not find the labels of the first.
        "labelling": {
            "calculator": {
                "calculator": {"name": "slow:Slow", "arguments": {"seconds": arguments.seconds + 1e-6 * overlaps}}
            }
        },
        "training": {"hdnnp": {"members": 4, "steps": arguments.steps, "warm_steps": arguments.steps}},
        "stop": {"iterations": {"min": arguments.iterations, "max": arguments.iterations}, "labels": 10**6},
        "codes": {"bloomery": {"code": "bloomery@cluster", "walltime": "30 min"}},
        "pipeline": overlaps,
    }
    file = folder / f"{content['name']}.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def measured(home: Home, file: Path) -> tuple[float, str, int]:
    """Run a campaign: its seconds, the error of what it delivers, and its labels."""
    status = home.wait(home.submit(file))
    if status["exit_status"]:
        raise SystemExit(f"{file.stem} ended with {status['exit_status']}: {status['message']}")
    forces = status["iterations"][-1]["errors"]["forces"]
    error = f"{forces['value']:.0f} ({forces['lower']:.0f} to {forces['upper']:.0f}) {forces['unit']}"
    return float(status["seconds"]), error, int(status["labels"])


def main() -> None:
    """Run both, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="what a label takes")
    parser.add_argument("--frames", type=int, default=8, help="of a batch")
    parser.add_argument("--iterations", type=int, default=4, help="after the bootstrap")
    parser.add_argument("--steps", type=int, default=200, help="of a training")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if lacking := missing(*SLURM_PROGRAMS):
        raise SystemExit(f"{lacking} not installed: apt-get install slurmctld slurmd slurm-client munge")
    with tempfile.TemporaryDirectory() as temporary, slurm_in(Path(temporary) / "slurm", nodes=2, cpus=2) as slurm:
        folder = Path(temporary)
        (folder / "slow.py").write_text(CALCULATOR)
        write(folder / "si8.extxyz", bulk("Si", cubic=True))
        description = {
            "label": "cluster",
            "host": "localhost",
            "scheduler": "slurm",
            "work": str(folder / "work"),
            "cores": 2,
            "queue": "normal",
            "programs": {"bloomery": str(PROGRAMS / "bloomery")},
        }
        (folder / "cluster.yaml").write_text(yaml.safe_dump(description))
        with home_in(folder / "home", **slurm.environment, PYTHONPATH=str(folder)) as home:
            home.call("cluster", "add", folder / "cluster.yaml", "--no-rehearse")
            home.python("orm.load_computer('cluster').set_minimum_job_poll_interval(0.5)\nprint('null')")
            walls = []
            for name, overlaps in (("one after the other", False), ("overlapping", True)):
                seconds, error, labels = measured(home, campaign_file(folder, arguments, overlaps=overlaps))
                print(f"{name}: {seconds:.0f} s, {labels} labels, force RMSE {error}", flush=True)
                walls.append(seconds)
    print(f"ratio: {walls[1] / walls[0]:.2f}")


if __name__ == "__main__":
    main()
