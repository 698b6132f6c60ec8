"""Size, time and memory of the report of a large campaign, from facts that are made up.

Everything that grows with the data set is as large as it would be: frames with their origin, errors by frame, parity
data, disagreement on the pools, the ledger. The map is computed; reading the graph is not part of it. Where there is a
Chromium, the page is opened in it, without a window: how long until something can be read, and until all is loaded.

    python benchmarks/report.py [FRAMES] [--atoms ATOMS] [--to FOLDER]
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from ase.build import bulk

from aiida_bloomery.report import draw, render, write_figures
from aiida_bloomery.report.facts import CampaignFacts, DataSet, Outcome
from bloomery.descriptors.maps import map_of
from bloomery.frames.configurations import Configurations

ITERATIONS = 20
POOL = 5000
"""Frames in the pool of an iteration."""


def uuids(generator: np.random.Generator, n: int) -> list[str]:
    """Draw UUIDs."""
    return [str(UUID(bytes=generator.bytes(16), version=4)) for _ in range(n)]


def frames_of(generator: np.random.Generator, n: int, atoms: int) -> Configurations:
    """Rattled and strained rock salt."""
    cell = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    cell = cell.repeat((max(1, round(atoms / len(cell))), 1, 1))
    found = []
    for _ in range(n):
        frame = cell.copy()
        frame.set_cell(frame.cell.array * generator.uniform(0.96, 1.04), scale_atoms=True)
        frame.positions += generator.normal(scale=generator.uniform(0.02, 0.3), size=frame.positions.shape)
        found.append(frame)
    return Configurations.from_atoms(found)


def data_set(generator: np.random.Generator, n: int, atoms: int) -> DataSet:
    """Frames with all that a campaign knows of them."""
    frames = frames_of(generator, n, atoms)
    iteration = np.sort(generator.integers(0, ITERATIONS, n))
    errors = generator.lognormal(-3, 0.6, n)
    role = np.where(generator.random(n) < 0.2, "probe", "train")
    columns = {
        "role": role.tolist(),
        "rule": np.where(role == "probe", "probe", "farthest_point").tolist(),
        "score": generator.random(n).tolist(),
        "sampler": np.where(generator.random(n) < 0.8, "md", "rattle_strain").tolist(),
        "pool": ["md_0"] * n,
        "trajectory": generator.integers(0, 64, n).tolist(),
        "step": generator.integers(0, 10_000, n).tolist(),
        "temperature": generator.choice([300.0, 600.0, 900.0], n).tolist(),
        "disagreement": generator.lognormal(-3, 0.6, n).tolist(),
        "error_before": errors.tolist(),
        "error_now": [float(error) if part == "probe" else None for error, part in zip(errors, role, strict=True)],
        "label_uuid": uuids(generator, n),
        "parent_uuid": np.array(uuids(generator, ITERATIONS))[iteration].tolist(),
        "parent_index": generator.integers(0, POOL, n).tolist(),
        "driven_by": np.array(uuids(generator, ITERATIONS))[iteration].tolist(),
        "hash": frames.hashes(),
    }
    index = np.arange(n) - np.searchsorted(iteration, iteration)
    return DataSet(frames, iteration, index, columns, map_of(frames))


def facts_of(n: int, atoms: int) -> CampaignFacts:
    """A campaign with so many labelled frames."""
    generator = np.random.default_rng(0)
    data = data_set(generator, n, atoms)
    probe = n // 5
    forces = generator.normal(size=(probe * atoms, 3))
    energies = generator.normal(-3.4, 0.05, probe)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    number = {"value": 50.0, "lower": 45.0, "upper": 55.0, "unit": "meV/Å"}
    entries = [
        {
            "iteration": i,
            "labels_total": (i + 1) * n // ITERATIONS,
            "labels": {
                "labelled": n // ITERATIONS,
                "cached": 0,
                "failed": 0,
                "by_role": {"train": n // ITERATIONS},
                "seconds": 1e4,
            },
            "validation": {"forces": {"rmse": number}, "n_frames": n // 5},
        }
        for i in range(ITERATIONS)
    ]
    return CampaignFacts(
        title="large", pk=1, uuid=uuids(generator, 1)[0], outcome=Outcome("finished"), started=start,
        changed=start + timedelta(days=3), made=start + timedelta(days=3),
        history={"iterations": entries, "decision": {"success": True, "reason": "made up", "rule": "targets"}},
        times={i: {"sample": 300.0, "label": 9000.0, "train": 900.0} for i in range(ITERATIONS)},
        pools={i: generator.lognormal(-3, 0.5, POOL) for i in range(1, ITERATIONS)},
        ledger=[{"frame": i, "outcome": "labelled", "attempts": 1, "seconds": 30.0} for i in range(n)],
        validation={
            "forces_reference": forces, "forces_predicted": forces + generator.normal(scale=0.05, size=forces.shape),
            "energy_reference": energies, "energy_predicted": energies + generator.normal(scale=2e-3, size=probe),
            "disagreement": generator.lognormal(-3, 0.5, probe),
            "frame_force_rmse": generator.lognormal(-3, 0.5, probe),
        },
        data_set=data,
    )  # fmt: skip


def opened(page: Path) -> tuple[float, float] | None:
    """Seconds until Chromium has painted the first screen, and until all is loaded; ``None`` where there is none."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.aiida_bloomery.report.chromium import PROGRAM, tab  # noqa: PLC0415

    if PROGRAM is None:
        return None
    with tempfile.TemporaryDirectory() as profile, tab(Path(profile)) as browser:
        browser.open(page)
        painted = browser.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        loaded = browser.run("performance.getEntriesByType('navigation')[0].loadEventStart")
    return painted / 1e3, loaded / 1e3


def main() -> None:
    """Measure, and print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="?", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=16, help="of each frame")
    parser.add_argument("--to", type=Path, default=Path("report-benchmark"), help="folder for page and figures")
    options = parser.parse_args()
    clock = [(time.perf_counter(), time.process_time())]

    def told(what: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        print(f"{what:<28} {wall - clock[-1][0]:7.1f} s wall {cpu - clock[-1][1]:7.1f} s CPU")
        clock.append((wall, cpu))

    facts = facts_of(options.frames, options.atoms)
    told("facts and map")
    drawn = draw(facts)
    told(f"{len(drawn)} figures")
    page = render(facts, drawn)
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "report.html").write_text(page, encoding="utf-8")
    told(f"page, {len(page.encode()) / 1e6:.1f} MB")
    write_figures([figure for _, figure in drawn], options.to / "figures")
    told("figures as files")
    if (times := opened(options.to / "report.html")) is not None:
        print(f"in Chromium: first screen after {times[0]:.2f} s, all after {times[1]:.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
