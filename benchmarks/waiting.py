"""What it costs to wait for a job: AiiDA's own way against that of our jobs, on a job that sleeps.

Both in one run, in turn, in one process: seconds of its processor, the start and the end of the job among them. Run it
with a default profile whose computer `localhost` is this machine (`aiida-bloomery setup`):

    AIIDA_PATH=.bloomery python benchmarks/waiting.py [SECONDS] [ROUNDS]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from aiida import engine, load_profile, orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation

from aiida_bloomery.calculations.waiting import PatientCalcJob


class PatientAdd(PatientCalcJob, ArithmeticAddCalculation):
    """AiiDA's job that sleeps and adds, waited for as ours are."""


def processor_time(job: type[engine.CalcJob], code: orm.Code, seconds: int) -> float:
    """Run a job, and return the seconds of processor that this process took for it."""
    began = time.process_time()
    options = {"sleep": seconds, "resources": {"num_machines": 1}}
    engine.run(job, x=orm.Int(1), y=orm.Int(2), code=code, metadata={"options": options})
    return time.process_time() - began


def main(seconds: int = 40, rounds: int = 3) -> None:
    """Print both, and their ratio."""
    load_profile()
    computer = orm.load_computer("localhost")
    code = orm.InstalledCode(computer=computer, filepath_executable="/bin/bash", label=f"bash {time.time()}").store()
    jobs = {"AiiDA's": ArithmeticAddCalculation, "ours": PatientAdd}
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            found[name].append(processor_time(job, code, seconds))
    for name, values in found.items():
        told = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:8} {np.median(values):.2f} s of processor for a job of {seconds} s ({told})")
    ratio = np.median(found["ours"]) / np.median(found["AiiDA's"])
    print(f"ratio    {ratio:.2f}, a look every {computer.get_minimum_job_poll_interval():g} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
