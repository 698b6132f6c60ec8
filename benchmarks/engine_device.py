"""The embedded engine on an accelerator against the processor of the same machine, and against what the device can do.

The device's own limits are measured by the same torch: bytes per second of a large copy, and operations per second of a
large matrix product in the potential's precision. What an evaluation needs of both is counted, operation by operation:
the bytes that each reads and writes, and the arithmetic of matrix products. Their share of the limits per second of an
evaluation says how well the device is used; the rest is waiting, for the processor's neighbour lists among others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from engine_bench import FEW_FRAMES, Bench, microseconds, potential_folder, run_process, serving, train
from engine_candidates import Candidate, network
from rich.table import Table

PRECISIONS = ("float64", "float32")
CELLS = ([2, 2, 2], [4, 4, 4], [8, 8, 8], [16, 16, 16])
REPLICAS = (1, 8, 64, 512)
MEMBERS = (1, 8, 16)
STEPS = 400
"""Of the training that is timed."""


def obstacle(device: str) -> str:
    """Say why nothing can be measured on a device; empty if it can."""
    if device == "cpu" or torch.cuda.is_available():
        return ""
    return f"torch finds no device {device!r} here: run this where there is one, with a torch that is built for it."


def compare(
    bench: Bench,
    device: str,
    *,
    steps: int = STEPS,
    frames: int = 0,
    largest: int = 32768,
    precisions: Sequence[str] = PRECISIONS,
    sizes: Sequence[int] = MEMBERS,
) -> None:
    """Train, evaluate and run dynamics on the processor and on the device.

    Parameters
    ----------
    frames
        How many to train on; all with 0.
    largest
        Most atoms of a cell and of a batch.
    sizes
        Members of the committees that are compared.
    """
    for dtype in precisions:
        candidate = network(f"8 members, {dtype}", dtype=dtype)
        for place in dict.fromkeys(("cpu", device)):
            record = train(bench, candidate, steps, frames, place)
            if "failed" in record:
                continue
            name = f"{dtype} {place}"
            bench.keep("device", f"training {name}", {"seconds": record["seconds"], "threads": bench.threads})
            with serving(bench, candidate, record, "own") as server:
                for repeats in CELLS:
                    atoms = 8 * math.prod(repeats)
                    if atoms <= largest:
                        cost = microseconds([server.ask(repeats, max(2, 2048 // atoms)) for _ in range(3)], atoms)
                        bench.keep("device", f"evaluation {name} {atoms}", cost)
            found = dynamics(bench, candidate, record, [count for count in REPLICAS if 64 * count <= largest])
            bench.keep("device", f"dynamics {name}", found)
            members(bench, dtype, place, sizes, [repeats for repeats in CELLS if 8 * math.prod(repeats) <= largest][-1])


def members(bench: Bench, dtype: str, device: str, sizes: Sequence[int], repeats: list[int]) -> None:
    """What committees of several sizes cost, on one crystal."""
    atoms = 8 * math.prod(repeats)
    for count in sizes:
        candidate = network(f"{count} members, {dtype}", members=count, dtype=dtype)
        record = train(bench, candidate, candidate.quick, FEW_FRAMES, device)
        if "failed" in record:
            continue
        with serving(bench, candidate, record, "own") as server:
            cost = microseconds([server.ask(repeats, 2) for _ in range(3)], atoms)
        bench.keep("device", f"members {dtype} {device} {count}", cost | {"atoms": atoms})


def dynamics(bench: Bench, candidate: Candidate, record: dict[str, Any], replicas: list[int]) -> dict[str, Any]:
    """Dynamics of many crystals of 64 atoms, in a process of its own."""
    device = record["device"]
    folder = potential_folder(bench, candidate, record["budget"], record["frames"], device)
    result = folder / "dynamics.json"
    job = {"potential": str(folder), "device": device, "replicas": replicas, "result": str(result)}
    failure = run_process(bench, bench.command(candidate, "dynamics", job), folder / "dynamics.log")
    if failure:
        return {"failed": failure}
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def tables_of_device(bench: Bench) -> list[Table]:
    """Times on both, and what share of its limits the device reaches."""
    found = bench.results().get("device", {})
    places = [place for place in dict.fromkeys(name.split()[2] for name in found) if place != "cpu"] or ["cpu"]
    threads = next((record["threads"] for record in found.values() if "threads" in record), bench.threads)
    times = Table("", "cpu", *places, title=f"The processor ({threads} threads) and the device")
    shares = Table("dynamics, best batch", "atoms", "of the bandwidth", "of the arithmetic")
    for name in [name for name in found if name.split()[2] == "cpu"]:
        kind, dtype, _, *count = name.split()
        same = [found.get(" ".join([kind, dtype, place, *count]), {}) for place in ("cpu", *places)]
        what = {
            "training": "training, s",
            "evaluation": "µs per atom",
            "dynamics": "dynamics, atom-steps per s",
            "members": f"µs per atom of {same[0].get('atoms', 0):,}",
        }[kind]
        of = "members" if kind == "members" else "atoms"
        times.add_row(" ".join([what, dtype, *(f"{int(number):,} {of}" for number in count)]), *map(_number, same))
        for place, record in zip(places, same[1:], strict=True):
            if "bandwidth" in record:
                parts = (f"{record[key]:.1%}" for key in ("bandwidth", "arithmetic"))
                shares.add_row(f"{dtype}, {place}", f"{64 * record['best']:,}", *parts)
    return [times, shares]


def _number(record: dict[str, Any]) -> str:
    if "rates" in record:
        return f"{max(record['rates'].values()):,.0f}"
    return f"{record['seconds']:.1f}" if "seconds" in record else ""
