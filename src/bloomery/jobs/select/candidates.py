"""What the job `select` chooses from: the frames of all pools with their blocks, and what is known already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.devices import choose_device
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, in_order
from bloomery.frames.mapped import join, load_arrays, too_large
from bloomery.frames.roles import UNSEEN_ROLES, Role
from bloomery.jobs.select.model import Model
from bloomery.samplers.contract import ORIGIN_KEYS
from bloomery.samplers.origin import with_origin
from bloomery.selectors.contract import Pool
from bloomery.selectors.features.environments import Environments

PROBE_ROLE: Role = "probe"


@dataclass(frozen=True)
class Known:
    """Labelled frames that an arm has: content hashes, features, ``(K, F)``, states, and, for comparisons, atoms."""

    hashes: frozenset[str] = frozenset()
    features: NDArray[np.float64] | None = None
    states: list[str] | None = None
    environments: Environments | None = None


@dataclass(frozen=True)
class Candidates:
    """The frames of all pools, one after the other, with their blocks, and where each comes from.

    ``known_probe`` are the content hashes of the probe so far, and of what is held out, ``control`` what the control
    arm has.
    """

    pool: Pool
    keys: NDArray[np.str_]
    rows: NDArray[np.int64]
    known_probe: frozenset[str]
    control: Known

    @property
    def blocks(self) -> list[str]:
        """Name of each frame's block."""
        return self.pool.blocks or []

    @property
    def probe_blocks(self) -> frozenset[str]:
        """Blocks with a frame that no potential may see: the others of it must not be trained on."""
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


def gather(job: Model, folder: Path, *, describe: bool) -> Candidates:
    """Read pools, data set and features.

    If frames and features of the pools take more than a quarter of ``memory``, they stay in files. Atoms are described,
    where that is asked for, by the descriptor of the job. `InputError` if pools are empty, or features not theirs.
    """
    files = [folder / path for path in (*job.pools.values(), *([job.features] if job.features else []))]
    aside = folder if too_large(files, job.memory) else None
    pools = {
        key: _with_all_origins(Configurations.read(folder / path, folder=aside), path)
        for key, path in job.pools.items()
    }
    known = {key: Configurations.read(folder / path) for key, path in job.data_set.items()}
    controls = {key: Configurations.read(folder / path) for key, path in job.control_data_set.items()}
    if not any(len(frames) for frames in pools.values()):
        raise InputError(f"the pools ({', '.join(pools)}) hold no frame, so there is nothing to select from.")
    keys = np.array([key for key, frames in pools.items() for _ in range(len(frames))], dtype=np.str_)
    rows = np.concatenate([np.arange(len(frames)) for frames in pools.values()])
    frames = Configurations.united(list(pools.values()))
    blocks = [
        f"{key}/{trajectory}/{block}"
        for key, trajectory, block in zip(keys, frames.info["trajectory"], frames.info["block"], strict=True)
    ]
    features = _read_features(job, folder, pools, known | controls, aside)
    probes = {key: np.flatnonzero(np.isin(_roles(batch), UNSEEN_ROLES)) for key, batch in known.items()}
    theirs = {key: rows for key, rows in probes.items() if key not in controls}
    theirs |= {key: np.arange(len(batch)) for key, batch in controls.items()}
    ours = {key: np.arange(len(batch)) for key, batch in known.items()}
    atoms = _environments(job, [*pools.values(), *known.values(), *controls.values()]) if describe else None
    arm, control = _known(known, ours, features, atoms), _known(known | controls, theirs, features, atoms)
    pool = Pool(
        configurations=frames,
        hashes=frames.hashes(),
        known_hashes=arm.hashes,
        features=_stacked([features[f"pool_{key}"] for key in pools]) if features else None,
        known_features=arm.features,
        known_states=arm.states,
        disagreement=frames.info["disagreement"],
        scale=job.scale,
        blocks=blocks,
        device=job.device,
        environments=arm.environments,
        memory=job.memory,
    )
    return Candidates(pool, keys, rows, _known(known, probes, {}, None).hashes, control)


def _roles(batch: Configurations) -> NDArray[np.str_]:
    return np.asarray(batch.info.get("role", np.full(len(batch), "")), dtype=np.str_)


def _known(
    batches: dict[str, Configurations],
    rows: dict[str, NDArray[np.int64]],
    features: dict[str, NDArray[np.float64]],
    environments: Environments | None,
) -> Known:
    """What an arm knows: these rows of the batches."""
    frames = [batches[key][chosen].without_labels() for key, chosen in rows.items()]
    hashes = frozenset(content for part in frames for content in part.hashes())
    parts = [features[f"data_{key}"][chosen] for key, chosen in rows.items()] if features else []
    bare = [part.without_info(*part.info) for part in frames]
    known = environments and environments.with_known(Configurations.concatenate(bare))
    states = [key for part in frames for key in part.state_keys()]
    return Known(hashes, _stacked(parts), states, known)


def _environments(job: Model, sets: list[Configurations]) -> Environments | None:
    """Make what describes atoms, for all elements that occur; the data set is empty so far."""
    if job.descriptor is None:
        return None
    descriptor: Descriptor = job.descriptor.load("descriptors")
    elements = in_order(element for frames in sets for element in frames.elements)
    device = job.device

    def describe(frames: Configurations) -> NDArray[np.float64]:
        return descriptor.features(frames, elements, device=choose_device(device)).values.cpu().numpy()

    return Environments(describe, Configurations.empty(), job.chunk_atoms)


def _stacked(parts: list[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    parts = [part for part in parts if len(part)]
    return join(parts) if parts else None


def _with_all_origins(frames: Configurations, path: str) -> Configurations:
    """Say the origin of each frame, beside what else is said of it; those of plain files are trajectories of their own.

    An origin of another type than samplers give it is an `InputError`.
    """
    order = np.arange(len(frames))
    known = {key: frames.info[key] for key in ORIGIN_KEYS if key in frames.info}
    for key, values in known.items():
        told = values.dtype.kind == "U"
        if told != (key == "stop_reason") or values.ndim != 1:
            kind = "text" if told else "number"
            raise InputError(
                f"{path}: {key} is a {kind} in its frames, which it is not in frames of a sampler; rename it."
            )
        if not told and not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"{path}: frame {bad} does not say {key}, which others do; say it, or rename it.")
    return with_origin(frames.without_info(*known), **({"trajectory": order, "block": order} | known))


def _read_features(
    job: Model, folder: Path, pools: dict[str, Configurations], known: dict[str, Configurations], aside: Path | None
) -> dict[str, NDArray[np.float64]]:
    """Features by the name of their array, ``pool_KEY`` and ``data_KEY``; empty if there is no file."""
    if job.features is None:
        return {}
    path = folder / job.features
    try:
        arrays = load_arrays(path, aside)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
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
