"""The selection, of both arms: the probe, what selectors take of the rest, and what became of every frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import count_roles, draw_probe, split_roles
from bloomery.jobs.select.candidates import PROBE_ROLE, Candidates, gather
from bloomery.jobs.select.model import CONTROL_FILE, FATES_FILE, SELECTED_FILE, Model
from bloomery.potentials.contract import load_potential
from bloomery.progress import Progress, no_progress
from bloomery.properties.contract import load_property
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import (
    Fates,
    FunnelStep,
    Selection,
    ToldStep,
    apply_by_share,
    apply_selectors,
    at_most,
    split_cleaners,
)
from bloomery.selectors.contract import Pool, Selector
from bloomery.selectors.measures import Measure, measure

PROBE_RULE = "probe"
DRAWN, IN_PROBE_BLOCK = "drawn", "in a block of the probe"
OF_PROBE = "of the probe, or in a block of it"
DISAGREEMENT = Measure("forces", "max")
"""What samplers tell of their frames."""


@dataclass(frozen=True)
class Cleaned:
    """What cleaners and probe left: which of the candidates, and what both did to them."""

    left: NDArray[np.int64]
    funnel: list[FunnelStep]
    fates: Fates

    @classmethod
    def of(cls, clean: Selection, left: NDArray[np.int64], reasons: NDArray[np.str_]) -> Cleaned:
        """Say what the draw of the probe did to the frames that the cleaners left; reasons are of those that went."""
        gone = ~np.isin(clean.indices, left)
        step = FunnelStep(PROBE_RULE, len(clean.indices), len(left), dict(Counter(reasons[gone].tolist())))
        return cls(left, [*clean.funnel, step], clean.fates.after(clean.indices, left, None, reasons))


class ToldArm(TypedDict):
    """What the summary says of one arm."""

    n_selected: int
    funnel: list[ToldStep]
    roles: dict[str, int]


class ToldControl(ToldArm):
    """What it says of the control arm."""

    n_wanted: int


class Summary(ToldArm):
    """What the job reports."""

    n_pool: int
    probe: dict[str, int]
    control: NotRequired[ToldControl]


@dataclass(frozen=True)
class Arm:
    """What one arm selected, and what became of every candidate."""

    frames: Configurations
    funnel: list[FunnelStep]
    fates: Fates

    def told(self) -> ToldArm:
        """Plain values for JSON."""
        return {
            "n_selected": len(self.frames),
            "funnel": [step.told() for step in self.funnel],
            "roles": count_roles(self.frames.info["role"].tolist()),
        }


def run(job: Model, folder: Path, progress: Progress) -> Summary:
    """Select and write `SELECTED_FILE`, which may hold no frame; the summary is the funnel."""
    selectors: list[Selector] = [spec.load("selectors") for spec in job.selectors]
    for_control: list[Selector] = [spec.load("selectors") for spec in job.control]
    described = any(selector.needs_environments for selector in (*selectors, *for_control))
    candidates = gather(job, folder, describe=described)
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
    probe = free[drawn.probe]
    reasons = np.where(np.isin(clean.indices, probe), DRAWN, IN_PROBE_BLOCK)
    cleaned = Cleaned.of(clean, free[drawn.remaining], reasons)
    pool = _asked(candidates.pool.take(cleaned.left), criteria, job, folder, progress)
    progress("select", 2, 3, {"candidates": len(pool)})
    if job.shares:
        rest = apply_by_share(criteria, pool, candidates.keys[cleaned.left], job.shares, seed=job.seed)
    else:
        rest = apply_selectors(criteria, pool, seed=job.seed)
    if not criteria and cleaners:
        rest = replace(rest, rule=cleaners[-1].name)
    left = None if job.max_frames is None else max(0, job.max_frames - len(probe))
    if left is not None:
        rest = rest.cut(ceil(left / 2) if job.control else left, "max_frames", "label budget")
    arm = _arm(job, candidates, cleaned, pool, rest, probe)
    arm.frames.save(folder / SELECTED_FILE)
    progress("select", 3, 3, {"selected": len(arm.frames)})
    told = arm.told()
    summary: Summary = {
        "n_pool": len(candidates.pool),
        "n_selected": told["n_selected"],
        "funnel": told["funnel"],
        "roles": told["roles"],
        "probe": {"wanted": n_probe, "drawn": len(probe), "blocks": drawn.n_blocks},
    }
    fates = {"": arm.fates}
    if job.control:
        n_others = len(rest.indices)
        n_control = n_others if left is None else min(n_others, left - n_others)
        control = _control(job, candidates, probe, for_control, n_control, folder)
        control.frames.save(folder / CONTROL_FILE)
        summary["control"] = {"n_wanted": n_control, **control.told()}
        fates["control_"] = control.fates
    _save_fates(folder / FATES_FILE, candidates, fates)
    return summary


def _control(
    job: Model, candidates: Candidates, probe: NDArray[np.int64], criteria: list[Selector], n_wanted: int, folder: Path
) -> Arm:
    """Let the control arm take so many frames from what is left without the probe."""
    known = candidates.control
    pool = replace(
        candidates.pool,
        known_hashes=known.hashes, known_features=known.features, known_states=known.states,
        environments=known.environments,
    )  # fmt: skip
    selectors: list[Selector] = [spec.load("selectors") for spec in job.selectors]
    clean = apply_selectors([selector for selector in selectors if selector.cleans], pool, seed=job.seed)
    drawn = frozenset(pool.hashes[index] for index in probe)
    barred = candidates.probe_blocks | {candidates.blocks[index] for index in probe}
    free = candidates.outside(frozenset(barred), clean.indices)
    free = np.array([index for index in free if pool.hashes[index] not in drawn], dtype=np.int64)
    cleaned = Cleaned.of(clean, free, np.full(len(clean.indices), OF_PROBE))
    pool = _asked(pool.take(free), criteria, job, folder, no_progress)
    rest = apply_selectors(criteria, pool, seed=derive_seed(job.seed, "control"))
    rest = rest.cut(n_wanted, "max_frames", "as many as the selection took")
    return _arm(job, candidates, cleaned, pool, rest, probe[:0])


def _asked(pool: Pool, selectors: list[Selector], job: Model, folder: Path, progress: Progress) -> Pool:
    """Ask the potential what the selectors need to know of the pool and the pool does not bring."""
    every = frozenset[Measure]().union(*(selector.measures for selector in selectors))
    wanted = frozenset(one for one in every if not one.property)
    values = np.full(len(pool), -1.0) if pool.disagreement is None else pool.disagreement.copy()
    needed = any(selector.needs_disagreement for selector in selectors)
    unknown = needed & (np.full(len(pool), fill_value=True) if job.predict_all else values < 0)
    told = _told_by_models(pool, every - wanted, job, folder) if len(pool) else {}
    if not len(pool) or not (wanted or unknown.any()):
        return replace(pool, measures=told) if told else pool
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
    if needed and potential.members == 1 and not values.any():
        raise InputError(
            "selectors: a selector asks for the disagreement, which a potential of one member does not have; train a "
            "committee."
        )
    return replace(pool, disagreement=values, measures={**found, **told})


def _told_by_models(
    pool: Pool, wanted: frozenset[Measure], job: Model, folder: Path
) -> dict[Measure, NDArray[np.float64]]:
    """Ask models of properties what selectors need to know of the pool, so many atoms at a time."""
    found = {}
    for measure_ in wanted:
        if measure_.property not in job.property_models:
            raise InputError(
                f"selectors: a selector asks for the disagreement on the {measure_.property}, and no model of it is "
                "given; give one, or leave that selector out."
            )
        fitted = load_property(folder / job.property_models[measure_.property])
        parts = [np.zeros(0)]
        for start, end in chunks(pool.configurations.counts, job.chunk_atoms):
            parts.append(measure_.of_model(fitted, pool.configurations[start:end]))
        found[measure_] = np.concatenate(parts)
    return found


def _arm(
    job: Model, candidates: Candidates, cleaned: Cleaned, pool: Pool, rest: Selection, probe: NDArray[np.int64]
) -> Arm:
    """Put the selected frames together, the probe first, with role, rule, score and parent."""
    others = cleaned.left[rest.indices]
    roles = split_roles([candidates.blocks[index] for index in others], job.roles, seed=derive_seed(job.seed, "roles"))
    disagreement = np.full(len(others), -1.0) if pool.disagreement is None else pool.disagreement[rest.indices]
    indices = np.concatenate([probe, others]).astype(np.int64)
    frames = candidates.pool.configurations[indices]
    frames = frames.with_info(
        disagreement=np.concatenate([frames.info["disagreement"][: len(probe)], disagreement]),
        role=np.array([PROBE_ROLE] * len(probe) + list(roles), dtype=np.str_),
        rule=np.array([PROBE_RULE] * len(probe) + [rest.rule] * len(others), dtype=np.str_),
        score=np.concatenate([np.zeros(len(probe)), rest.scores]),
        pool=candidates.keys[indices],
        pool_index=candidates.rows[indices],
    )
    return Arm(frames, [*cleaned.funnel, *rest.funnel], cleaned.fates.then(cleaned.left, rest.fates))


def _save_fates(path: Path, candidates: Candidates, arms: dict[str, Fates]) -> None:
    """Write arrays: ``pools`` and their ``sizes``; and for each frame ``step``, ``score`` and ``reason``.

    ``step`` is the index in the funnel of what dropped it, or the length of the funnel; ``reason`` an index in
    ``reasons``. Those of the control arm begin with ``control_``.
    """
    names, first, sizes = np.unique(candidates.keys, return_index=True, return_counts=True)
    order = np.argsort(first)
    arrays: dict[str, NDArray[Any]] = {"pools": names[order], "sizes": sizes[order]}
    for prefix, fates in arms.items():
        reasons, codes = np.unique(fates.reasons, return_inverse=True)
        arrays |= {f"{prefix}step": fates.steps, f"{prefix}score": fates.scores}
        arrays |= {f"{prefix}reason": codes.ravel(), f"{prefix}reasons": reasons}
    np.savez_compressed(path, allow_pickle=False, **arrays)
