"""The job `select`: draw the probe, apply selectors in turn, and give every selected frame its role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import Role, RoleSettings, count_roles, draw_probe, split_roles
from bloomery.jobs.base import Job
from bloomery.jobs.candidates import PROBE_ROLE, Candidates, Sources, gather
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import load_potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress, no_progress
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import (
    CLEANERS,
    Fates,
    FunnelStep,
    Selection,
    apply_selectors,
    at_most,
    split_cleaners,
)
from bloomery.selectors.contract import Pool, Selector
from bloomery.selectors.measures import Measure, measure
from bloomery.selectors.shares import apply_by_share

SELECTED_FILE = "selected.npz"
CONTROL_FILE = "control.npz"
FATES_FILE = "fates.npz"
PROBE_RULE = "probe"
DRAWN, IN_PROBE_BLOCK = "drawn", "in a block of the probe"
OF_PROBE = "of the probe, or in a block of it"
DISAGREEMENT = Measure("forces", "max")
"""What samplers tell of their frames."""


class Model(Job):
    """What the job file of `select` holds."""

    verb: Literal["select"] = "select"
    selectors: list[PluginSpec] = Field(min_length=1)
    """Selectors in the order in which they are applied."""
    roles: RoleSettings = RoleSettings()
    """Which share of the frames plays which role."""
    pools: dict[str, str] = Field(min_length=1)
    """Files with candidates, by the key of the pool."""
    data_set: dict[str, str] = Field(default_factory=dict)
    """Files with the frames that are labelled already, by the key of the batch."""
    features: str | None = None
    """File with features, arrays ``pool_KEY`` and ``data_KEY``."""
    descriptor: PluginSpec | None = None
    """Descriptor of atoms, for selectors that compare these."""
    potential: str | None = None
    """Folder of the potential whose disagreement counts where the pool does not bring it."""
    scale: Scale | None = None
    """What is known of the potential's errors."""
    max_frames: int | None = Field(default=None, ge=0)
    """Select at most so many frames, the probe among them."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Share of each pool in what is selected, by its key; by default pools are selected from as one."""
    control: list[PluginSpec] = Field(default_factory=list)
    """Selectors of the control arm, which takes as many frames from the same pools."""
    control_data_set: dict[str, str] = Field(default_factory=dict)
    """Files with the labelled frames that the control arm has, by the key of the batch; the probe is that of both."""
    chunk_atoms: int = Field(default=4096, ge=1)
    """The potential is asked about, and atoms are described, so many atoms at a time, one frame at least; memory grows
    with it."""
    memory: float = Field(default=4.0, gt=0)
    """GiB of memory that the job may take, about. Frames and features of pools that need more than a quarter of it stay
    in files in the job's folder and are read from there; a selector that needs all features at once, and finds no room
    for them, says so."""
    predict_all: bool = False
    """Predict the disagreement of all candidates, also where the pool brings one (that of another potential)."""


@dataclass(frozen=True)
class Told:
    """What became of every frame of the pools, of both arms."""

    candidates: Candidates
    fates: Fates
    control: Fates | None = None

    def save(self, path: Path) -> None:
        """Write arrays: ``pools`` and their ``sizes``; and for each frame ``step``, ``score`` and ``reason``.

        ``step`` is the index in the funnel of what dropped it, or the length of the funnel; ``reason`` an index in
        ``reasons``. Those of the control arm begin with ``control_``.
        """
        names, sizes = np.unique(self.candidates.keys, return_counts=True)
        first = [int(np.argmax(self.candidates.keys == name)) for name in names]
        order = np.argsort(first)
        arrays: dict[str, NDArray[Any]] = {"pools": names[order], "sizes": sizes[order]}
        for prefix, fates in (("", self.fates), ("control_", self.control)):
            if fates is not None:
                reasons, codes = np.unique(fates.reasons, return_inverse=True)
                arrays |= {f"{prefix}step": fates.steps, f"{prefix}score": fates.scores}
                arrays |= {f"{prefix}reason": codes.ravel(), f"{prefix}reasons": reasons}
        np.savez_compressed(path, allow_pickle=False, **arrays)


def run(job: Model, folder: Path, progress: Progress) -> dict[str, Any]:
    """Select and write `SELECTED_FILE`, which may hold no frame; the summary is the funnel."""
    selectors: list[Selector] = [spec.load("selectors") for spec in job.selectors]
    candidates = gather(_sources(job, selectors), folder)
    cleaners, criteria = split_cleaners(selectors)
    clean = apply_selectors(cleaners, candidates.pool, seed=job.seed)
    free = candidates.outside(candidates.probe_blocks, clean.indices)
    progress("select", 1, 3, {"clean": len(free)})
    n_probe = job.roles.n_probe(at_most(criteria, len(free)), len(free), job.max_frames)
    drawn = draw_probe(
        [candidates.pool.hashes[index] for index in free],
        [candidates.blocks[index] for index in free],
        n_probe,
        seed=derive_seed(job.seed, "probe"),
        barred=candidates.trained_blocks,
    )
    probe, remaining = free[drawn.probe], free[drawn.remaining]
    reasons = np.where(np.isin(clean.indices, probe), DRAWN, IN_PROBE_BLOCK)
    step, fates = _probe_step(clean, remaining, reasons)
    pool = _asked(candidates.pool.take(remaining), criteria, job, folder, progress)
    progress("select", 2, 3, {"candidates": len(remaining)})
    if job.shares:
        rest = apply_by_share(criteria, pool, candidates.keys[remaining], job.shares, seed=job.seed)
    else:
        rest = apply_selectors(criteria, pool, seed=job.seed)
    if not criteria and cleaners:
        rest = replace(rest, rule=cleaners[-1].name)
    left = None if job.max_frames is None else max(0, job.max_frames - len(probe))
    if left is not None:
        rest = rest.cut(ceil(left / 2) if job.control else left, "max_frames", "label budget")
    others = remaining[rest.indices]
    roles = split_roles([candidates.blocks[index] for index in others], job.roles, seed=derive_seed(job.seed, "roles"))
    disagreement = np.full(len(others), -1.0) if pool.disagreement is None else pool.disagreement[rest.indices]
    selected = _assemble(candidates, probe, others, rest, disagreement, roles)
    selected.save(folder / SELECTED_FILE)
    told = Told(candidates, fates.then(remaining, rest.fates))
    progress("select", 3, 3, {"selected": len(selected)})
    summary = {
        "n_pool": len(candidates.pool),
        "n_selected": len(selected),
        "funnel": [entry.as_dict() for entry in (*clean.funnel, step, *rest.funnel)],
        "roles": count_roles(selected.info["role"].tolist()),
        "probe": {"wanted": n_probe, "drawn": len(probe), "blocks": drawn.n_blocks},
    }
    if job.control:
        n_control = len(others) if left is None else min(len(others), left - len(others))
        summary["control"], control = _select_control(job, candidates, probe, n_control, folder)
        told = replace(told, control=control)
    told.save(folder / FATES_FILE)
    return summary


def _sources(job: Model, selectors: list[Selector]) -> Sources:
    """What is read; atoms are described only where a selector compares them."""
    wanted = [*selectors, *(spec.load("selectors") for spec in job.control)]
    return Sources(
        job.pools,
        job.data_set,
        job.control_data_set,
        job.features,
        job.scale,
        job.device,
        job.memory,
        job.descriptor if any(selector.needs_environments for selector in wanted) else None,
        job.chunk_atoms,
    )


def _select_control(
    job: Model, candidates: Candidates, probe: NDArray[np.int64], n_wanted: int, folder: Path
) -> tuple[dict[str, Any], Fates]:
    """Let the control arm take so many frames from what is left without the probe; write `CONTROL_FILE`."""
    known = candidates.control
    pool = replace(
        candidates.pool, known_hashes=known.hashes, known_features=known.features, environments=known.environments
    )
    specs = [spec for spec in job.selectors if spec.name in CLEANERS]
    clean = apply_selectors([spec.load("selectors") for spec in specs], pool, seed=job.seed)
    drawn = frozenset(pool.hashes[index] for index in probe)
    barred = candidates.probe_blocks | {candidates.blocks[index] for index in probe}
    free = candidates.outside(frozenset(barred), clean.indices)
    free = np.array([index for index in free if pool.hashes[index] not in drawn], dtype=np.int64)
    reasons = np.full(len(clean.indices), OF_PROBE)
    step, fates = _probe_step(clean, free, reasons)
    criteria: list[Selector] = [spec.load("selectors") for spec in job.control]
    pool = _asked(pool.take(free), criteria, job, folder, no_progress)
    rest = apply_selectors(criteria, pool, seed=derive_seed(job.seed, "control"))
    rest = rest.cut(n_wanted, "max_frames", "as many as the selection took")
    chosen = free[rest.indices]
    roles = split_roles([candidates.blocks[index] for index in chosen], job.roles, seed=derive_seed(job.seed, "roles"))
    disagreement = np.full(len(chosen), -1.0) if pool.disagreement is None else pool.disagreement[rest.indices]
    _assemble(candidates, probe[:0], chosen, rest, disagreement, roles).save(folder / CONTROL_FILE)
    summary = {
        "n_wanted": n_wanted,
        "n_selected": len(chosen),
        "funnel": [entry.as_dict() for entry in (*clean.funnel, step, *rest.funnel)],
        "roles": count_roles(roles),
    }
    return summary, fates.then(free, rest.fates)


def _probe_step(clean: Selection, left: NDArray[np.int64], reasons: NDArray[np.str_]) -> tuple[FunnelStep, Fates]:
    """What the draw of the probe did to the frames that the cleaners left; reasons are of those that went."""
    gone = ~np.isin(clean.indices, left)
    counts = dict(Counter(reasons[gone].tolist()))
    step = FunnelStep(PROBE_RULE, len(clean.indices), len(left), counts)
    return step, clean.fates.after(clean.indices, left, None, reasons)


def _asked(pool: Pool, selectors: list[Selector], job: Model, folder: Path, progress: Progress) -> Pool:
    """Ask the potential what the selectors need to know of the pool and the pool does not bring."""
    wanted = frozenset[Measure]().union(*(selector.measures for selector in selectors))
    values = np.full(len(pool), -1.0) if pool.disagreement is None else pool.disagreement.copy()
    needed = any(selector.needs_disagreement for selector in selectors)
    unknown = needed & (np.full(len(pool), fill_value=True) if job.predict_all else values < 0)
    if not len(pool) or not (wanted or unknown.any()):
        return pool
    if job.potential is None:
        raise InputError(
            "selectors: a selector needs the disagreement, or something else that a potential says, and the pool does "
            "not bring it; give a potential, or leave that selector out."
        )
    potential = load_potential(folder / job.potential, job.device)
    together = unknown.all()
    found: dict[Measure, NDArray[np.float64]] = {}
    if wanted or together:
        asked = wanted | {DISAGREEMENT} if together else wanted
        found = measure(potential, pool.configurations, asked, chunk_atoms=job.chunk_atoms, progress=progress)
    if together:
        values = found[DISAGREEMENT]
    elif unknown.any():
        frames = pool.configurations[np.flatnonzero(unknown)]
        alone = measure(potential, frames, frozenset({DISAGREEMENT}), chunk_atoms=job.chunk_atoms, progress=progress)
        values[unknown] = alone[DISAGREEMENT]
    return replace(pool, disagreement=values, measures=found)


def _assemble(
    candidates: Candidates,
    probe: NDArray[np.int64],
    others: NDArray[np.int64],
    rest: Selection,
    disagreement: NDArray[np.float64],
    roles: Sequence[Role],
) -> Configurations:
    """Put the selected frames together, the probe first, with role, rule, score and parent.

    ``disagreement`` and ``roles`` are those of the others, which follow the probe.
    """
    indices = np.concatenate([probe, others]).astype(np.int64)
    frames = candidates.pool.configurations[indices]
    return frames.with_info(
        disagreement=np.concatenate([frames.info["disagreement"][: len(probe)], disagreement]),
        role=np.array([PROBE_ROLE] * len(probe) + list(roles), dtype=np.str_),
        rule=np.array([PROBE_RULE] * len(probe) + [rest.rule] * len(others), dtype=np.str_),
        score=np.concatenate([np.zeros(len(probe)), rest.scores]),
        pool=candidates.keys[indices],
        pool_index=candidates.rows[indices],
    )
