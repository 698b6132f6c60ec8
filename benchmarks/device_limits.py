"""What a device can do, what an evaluation asks of it, and how many atom-steps of dynamics come of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from bloomery.frames.configurations import Configurations
    from bloomery.potentials.contract import Potential

COPIED_BYTES = 2**28
PRODUCT_SIZE = 4096
STEPS = 50
SHORT_STEPS = 5


class Traffic(TorchDispatchMode):
    """Add up the bytes that operations read and write; views and fresh memory are free, repeats of a value are one.

    Parameters
    ----------
    bytes
        So far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, in parts where it is made of others."""
        kwargs = kwargs or {}
        with self:
            found = func.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
        found = func(*args, **kwargs)
        if not func.is_view and "empty" not in func.name():
            tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in tensors)
        return found


def bandwidth(device: str, size: int = COPIED_BYTES) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    timer = Timer("target.copy_(source)", globals={"source": source, "target": torch.empty_like(source)})
    return 2 * size / timer.blocked_autorange(min_run_time=0.5).median


def arithmetic(device: str, dtype: str, size: int = PRODUCT_SIZE) -> float:
    """Operations per second of a large matrix product."""
    matrix = torch.ones((size, size), dtype=getattr(torch, dtype), device=device)
    timer = Timer("torch.mm(matrix, matrix, out=out)", globals={"matrix": matrix, "out": torch.empty_like(matrix)})
    return 2 * size**3 / timer.blocked_autorange(min_run_time=0.5).median


def needs(run: Callable[[], Any]) -> tuple[int, int]:
    """Bytes and operations of matrix products that torch spends on a call."""
    with Traffic() as traffic:
        run()
    with FlopCounterMode(display=False) as counter:
        run()
    return traffic.bytes, counter.get_total_flops()


def dynamics(job: dict[str, Any]) -> dict[str, Any]:
    """Atom-steps per second by number of crystals, and at the best, shares of the device's limits of an evaluation."""
    from bloomery.potentials.contract import load_potential  # noqa: PLC0415

    potential, device = load_potential(job["potential"], job["device"]), job["device"]
    rates = {count: atom_steps(potential, crystals(count)) for count in job["replicas"]}
    best = max(rates, key=rates.__getitem__)
    found: dict[str, Any] = {"rates": rates, "best": best}
    if device == "cpu":
        # Kernels in C do its work, whose traffic torch does not see.
        return found
    frames = crystals(best)
    read_written, operations = needs(lambda: potential.predict(frames, stress=False))
    began = time.perf_counter()
    for _ in range(SHORT_STEPS):
        potential.predict(frames, stress=False)
    seconds = (time.perf_counter() - began) / SHORT_STEPS
    found["bandwidth"] = read_written / seconds / bandwidth(device)
    found["arithmetic"] = operations / seconds / arithmetic(device, potential.dtype)
    return found


def crystals(count: int) -> Configurations:
    """Warm crystals of 64 silicon atoms, all different."""
    import numpy as np  # noqa: PLC0415
    from ase.build import bulk  # noqa: PLC0415

    from bloomery.frames.configurations import Configurations  # noqa: PLC0415

    random = np.random.default_rng(0)
    frames = [bulk("Si", cubic=True).repeat(2) for _ in range(count)]
    for atoms in frames:
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
    return Configurations.from_atoms(frames)


def atom_steps(potential: Potential, start: Configurations) -> float:
    """Atom-steps per second of the sampler `batched_md` at 300 K, all frames in one batch, without its start."""
    from bloomery.plugins import load_plugin  # noqa: PLC0415

    seconds = []
    # The first run waits for what is made once.
    for steps in (SHORT_STEPS, SHORT_STEPS, SHORT_STEPS + STEPS):
        settings = {"steps": steps, "interval": steps, "max_disagreement": None, "replicas": 1}
        sampler = load_plugin("samplers", "batched_md").make(**settings, batch_atoms=start.n_atoms)
        began = time.perf_counter()
        sampler.sample(start, potential=potential, seed=0)
        seconds.append(time.perf_counter() - began)
    _, short, long = seconds
    return start.n_atoms * STEPS / (long - short)
