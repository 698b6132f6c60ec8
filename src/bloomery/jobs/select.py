"""The job `select`: draw the probe, apply selectors in turn, and give every selected frame its role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.configurations import Configurations
from bloomery.engines.contract import Progress, load_potential
from bloomery.errors import InputError
from bloomery.jobs.base import Job
from bloomery.plugins import PluginSpec
from bloomery.roles import Role, RoleSettings, count_roles, draw_probe, split_roles
from bloomery.samplers.contract import ORIGIN_KEYS
from bloomery.samplers.origin import with_origin
from bloomery.scale import Scale
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import (
    CLEANERS,
    FunnelStep,
    Selection,
    apply_selectors,
    at_most,
    split_cleaners,
)
from bloomery.selectors.contract import Pool, Selector
from bloomery.selectors.shares import apply_by_share

SELECTED_FILE = "selected.npz"
CONTROL_FILE = "control.npz"
PROBE_RULE = "probe"
PROBE_ROLE: Role = "probe"


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
    predict_all: bool = False
    """Predict the disagreement of all candidates, also where the pool brings one (that of another potential)."""


@dataclass(frozen=True)
class Known:
    """Labelled frames that an arm has: content hashes, and features, ``(K, F)``."""

    hashes: frozenset[str] = frozenset()
    features: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Candidates:
    """The frames of all pools, one after the other: where each comes from, and its block's name.

    ``known_probe`` are the content hashes of the probe so far, ``control`` what the control arm has.
    """

    pool: Pool
    keys: NDArray[np.str_]
    rows: NDArray[np.int64]
    blocks: list[str]
    known_probe: frozenset[str]
    control: Known

    @property
    def probe_blocks(self) -> frozenset[str]:
        """Blocks with a frame that is in the probe already: the others of it must not be trained on."""
        return self._blocks_with(self.known_probe)

    @property
    def trained_blocks(self) -> frozenset[str]:
        """Blocks with a frame that has been trained on: the others of it must not enter the probe."""
        return self._blocks_with((self.pool.known_hashes | self.control.hashes) - self.known_probe)

    def outside(self, blocks: frozenset[str], indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those indices whose frames are in none of the blocks."""
        return np.array([index for index in indices if self.blocks[index] not in blocks], dtype=np.int64)

    def _blocks_with(self, contents: frozenset[str]) -> frozenset[str]:
        return frozenset(
            block for block, content in zip(self.blocks, self.pool.hashes, strict=True) if content in contents
        )


def run(job: Model, folder: Path, progress: Progress) -> dict[str, Any]:
    """Select and write `SELECTED_FILE`, which may hold no frame; the summary is the funnel."""
    selectors: list[Selector] = [spec.load("selectors") for spec in job.selectors]
    candidates = gather(job, folder)
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
    reasons = {
        "in a block of the probe": len(clean.indices) - len(remaining) - len(probe),
        "drawn": len(probe),
    }
    step = FunnelStep(PROBE_RULE, len(clean.indices), len(remaining), {key: n for key, n in reasons.items() if n})
    pool = _with_disagreement(candidates.pool.take(remaining), criteria, job, folder)
    progress("select", 2, 3, {"candidates": len(remaining)})
    if job.shares:
        rest = apply_by_share(criteria, pool, candidates.keys[remaining], job.shares, seed=job.seed)
    else:
        rest = apply_selectors(criteria, pool, seed=job.seed)
    if not criteria and cleaners:
        rest = replace(rest, rule=cleaners[-1].name)
    left = None if job.max_frames is None else max(0, job.max_frames - len(probe))
    if left is not None:
        rest = _cut(rest, ceil(left / 2) if job.control else left)
    others = remaining[rest.indices]
    roles = split_roles([candidates.blocks[index] for index in others], job.roles, seed=derive_seed(job.seed, "roles"))
    disagreement = np.full(len(others), -1.0) if pool.disagreement is None else pool.disagreement[rest.indices]
    selected = _assemble(candidates, probe, others, rest, disagreement, roles)
    selected.save(folder / SELECTED_FILE)
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
        summary["control"] = _select_control(job, candidates, probe, n_control, folder)
    return summary


def _select_control(
    job: Model, candidates: Candidates, probe: NDArray[np.int64], n_wanted: int, folder: Path
) -> dict[str, Any]:
    """Let the control arm take so many frames from what is left without the probe; write `CONTROL_FILE`."""
    known = candidates.control
    pool = replace(candidates.pool, known_hashes=known.hashes, known_features=known.features)
    specs = [spec for spec in job.selectors if spec.name in CLEANERS]
    clean = apply_selectors([spec.load("selectors") for spec in specs], pool, seed=job.seed)
    drawn = frozenset(pool.hashes[index] for index in probe)
    barred = candidates.probe_blocks | {candidates.blocks[index] for index in probe}
    free = candidates.outside(frozenset(barred), clean.indices)
    free = np.array([index for index in free if pool.hashes[index] not in drawn], dtype=np.int64)
    reasons = {"of the probe, or in a block of it": len(clean.indices) - len(free)}
    step = FunnelStep(PROBE_RULE, len(clean.indices), len(free), {key: n for key, n in reasons.items() if n})
    criteria: list[Selector] = [spec.load("selectors") for spec in job.control]
    pool = _with_disagreement(pool.take(free), criteria, job, folder)
    rest = apply_selectors(criteria, pool, seed=derive_seed(job.seed, "control"))
    if len(rest.indices) > n_wanted:  # in order of preference
        rest = replace(rest, indices=rest.indices[:n_wanted], scores=rest.scores[:n_wanted])
    chosen = free[rest.indices]
    roles = split_roles([candidates.blocks[index] for index in chosen], job.roles, seed=derive_seed(job.seed, "roles"))
    disagreement = np.full(len(chosen), -1.0) if pool.disagreement is None else pool.disagreement[rest.indices]
    _assemble(candidates, probe[:0], chosen, rest, disagreement, roles).save(folder / CONTROL_FILE)
    return {
        "n_wanted": n_wanted,
        "n_selected": len(chosen),
        "funnel": [entry.as_dict() for entry in (*clean.funnel, step, *rest.funnel)],
        "roles": count_roles(roles),
    }


def gather(job: Model, folder: Path) -> Candidates:
    """Read pools, data set and features.

    Raises
    ------
    InputError
        If the pools are empty, or the features do not belong to them.
    """
    pools = {key: _with_all_origins(Configurations.read(folder / path)) for key, path in job.pools.items()}
    known = {key: Configurations.read(folder / path) for key, path in job.data_set.items()}
    controls = {key: Configurations.read(folder / path) for key, path in job.control_data_set.items()}
    if not any(len(frames) for frames in pools.values()):
        raise InputError(f"the pools ({', '.join(pools)}) hold no frame, so there is nothing to select from.")
    keys = np.array([key for key, frames in pools.items() for _ in range(len(frames))], dtype=np.str_)
    rows = np.concatenate([np.arange(len(frames)) for frames in pools.values()])
    frames = Configurations.concatenate(list(pools.values()))
    blocks = [
        f"{key}/{trajectory}/{block}"
        for key, trajectory, block in zip(keys, frames.info["trajectory"], frames.info["block"], strict=True)
    ]
    features = _read_features(job, folder, pools, known | controls)
    probes = {key: np.flatnonzero(_roles(batch) == PROBE_ROLE) for key, batch in known.items()}
    theirs = {key: rows for key, rows in probes.items() if key not in controls}
    theirs |= {key: np.arange(len(batch)) for key, batch in controls.items()}
    ours = {key: np.arange(len(batch)) for key, batch in known.items()}
    arm = _known(known, ours, features)
    pool = Pool(
        configurations=frames,
        hashes=frames.hashes(),
        known_hashes=arm.hashes,
        features=_stacked([features[f"pool_{key}"] for key in pools]) if features else None,
        known_features=arm.features,
        disagreement=frames.info["disagreement"],
        scale=job.scale,
    )
    return Candidates(
        pool, keys, rows, blocks, _known(known, probes, {}).hashes, _known(known | controls, theirs, features)
    )


def _roles(batch: Configurations) -> NDArray[np.str_]:
    return np.asarray(batch.info.get("role", np.full(len(batch), "")), dtype=np.str_)


def _known(
    batches: dict[str, Configurations], rows: dict[str, NDArray[np.int64]], features: dict[str, NDArray[np.float64]]
) -> Known:
    """What an arm knows: these rows of the batches."""
    hashes = frozenset(content for key, chosen in rows.items() for content in batches[key][chosen].hashes())
    parts = [features[f"data_{key}"][chosen] for key, chosen in rows.items()] if features else []
    return Known(hashes, _stacked(parts))


def _stacked(parts: list[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    parts = [part for part in parts if len(part)]
    return np.concatenate(parts) if parts else None


def _with_all_origins(frames: Configurations) -> Configurations:
    """Keep only what is said of a frame's origin; frames of plain files are trajectories of their own."""
    order = np.arange(len(frames))
    known = {key: frames.info[key] for key in ORIGIN_KEYS if key in frames.info}
    bare = frames.without_info(*frames.info)
    return with_origin(bare, **({"trajectory": order, "block": order} | known))


def _read_features(
    job: Model, folder: Path, pools: dict[str, Configurations], known: dict[str, Configurations]
) -> dict[str, NDArray[np.float64]]:
    """Features by the name of their array, ``pool_KEY`` and ``data_KEY``; empty if there is no file."""
    if job.features is None:
        return {}
    path = folder / job.features
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name], dtype=float) for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as an archive of features ({error}).") from error
    found = {}
    for prefix, sets in (("pool", pools), ("data", known)):
        for key, frames in sets.items():
            name = f"{prefix}_{key}"
            if name not in arrays:
                raise InputError(f"{path}: holds no array {name!r}; describe all pools and batches.")
            if len(arrays[name]) != len(frames):
                raise InputError(
                    f"{path}: array {name!r} has {len(arrays[name])} rows for {len(frames)} frames; describe them anew."
                )
            found[name] = arrays[name]
        own = [part for name, part in found.items() if name.startswith(prefix) and len(part)]
        if len({part.shape[1] for part in own}) > 1:
            raise InputError(f"{path}: the arrays differ in their number of features; describe all frames alike.")
    return found


def _with_disagreement(pool: Pool, selectors: list[Selector], job: Model, folder: Path) -> Pool:
    """Predict the disagreement where a selector needs it and the pool does not know it."""
    if not any(selector.needs_disagreement for selector in selectors) or not len(pool):
        return pool
    values = pool.disagreement if pool.disagreement is not None else np.full(len(pool), -1.0)
    unknown = np.full(len(pool), fill_value=True) if job.predict_all else values < 0
    if not unknown.any():
        return pool
    if job.potential is None:
        raise InputError(
            "selectors: a selector needs the disagreement, and the pool does not bring it; give a potential, or leave "
            "that selector out."
        )
    potential = load_potential(folder / job.potential, job.device)
    frames = pool.configurations[np.flatnonzero(unknown)]
    sentence = potential.unknown_element(frames)
    if sentence:
        raise InputError(f"select: {sentence}")
    values = values.copy()
    values[unknown] = potential.predict(frames, stress=False).disagreement
    return replace(pool, disagreement=values)


def _cut(selection: Selection, limit: int) -> Selection:
    """Keep the most wanted frames, and say so in the funnel."""
    if len(selection.indices) <= limit:
        return selection
    step = FunnelStep("max_frames", len(selection.indices), limit, {"label budget": len(selection.indices) - limit})
    return replace(
        selection,
        indices=selection.indices[:limit],
        scores=selection.scores[:limit],
        funnel=[*selection.funnel, step],
    )


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
