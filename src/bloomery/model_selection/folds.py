"""Which frames a model learns from and which it is judged on: folds for cross-validation, subsets for learning curves.

Frames of one block, and frames of the same content, are alike: all of them go to one side, or errors would look better
than they are. Everything follows from content and seed, not from the order of the frames. Frames of the probe stay out
of what models are chosen by, or the probe would have a say in the choice that it is to judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.blocks import blocks_of, smallest_of_each
from bloomery.frames.configurations import Configurations
from bloomery.frames.roles import UNSEEN_ROLES, RoleSettings, split_roles
from bloomery.plugins import Settings
from bloomery.quantities import Share
from bloomery.seeds import derive_seed, draw

UNUSED = "unused"
"""What stands for the role of a frame that a model neither learns from nor is judged on."""

Split = list[str]
"""Role of each frame: `probe` for those to be judged on, `train`, `early_stopping`, or `UNUSED`."""


@dataclass(frozen=True)
class Subset:
    """One of several random subsets of a size, as the split that trains on it."""

    size: int
    repeat: int
    split: Split


class Splitting(Settings):
    """How frames are shared between learning and judging."""

    groups: str | None = None
    """Per-frame value by which frames belong together; by default their trajectory block, where they tell one."""
    early_stopping: Share = Field(default=0.1, ge=0, le=0.5)
    """Share of the frames to learn from that trainings stop on."""


class FoldSettings(Splitting):
    """Settings of a cross-validation."""

    folds: int = Field(default=5, ge=2)
    """Folds: each is predicted by a potential that has learned from the others."""


class SubsetSettings(Splitting):
    """Settings of a learning curve."""

    sizes: list[Annotated[float, Field(gt=0)]] | None = None
    """Numbers of frames to learn from; those below 1 are shares of all. By default all, half of them, and so on."""
    repeats: int = Field(default=3, ge=1)
    """Random subsets of each size; there is one of all frames."""
    test_share: float = Field(default=0.2, gt=0, le=0.5)
    """Share of the frames that all potentials are judged on, where the frames have no probe."""
    targets: dict[Literal["forces", "energy"], Annotated[float, Field(gt=0)]] = Field(default={})
    """RMSE in meV/Å and meV/atom, for which the frames are counted that the curve asks for."""


def joined(batches: Sequence[Configurations]) -> Configurations:
    """Join batches of which some tell roles and blocks and others do not; every frame then has both.

    A frame without a role is one to learn from, as for a training.
    """
    parts = []
    for index, batch in enumerate(batches):
        role = np.asarray(batch.info.get("role", np.full(len(batch), "train")))
        told = batch.with_info(batch=index, role=np.where(role == "", "train", role), block=blocks_of(batch))
        parts.append(told.without_info(*(key for key in ("pool", "trajectory") if key in told.info)))
    return Configurations.concatenate(parts)


def groups_of(frames: Configurations, key: str | None = None) -> NDArray[np.int64]:
    """Number the groups of frames that must not be torn apart, ``(N,)``.

    The per-frame value ``key`` names a frame's group, by default its trajectory block, where frames tell one; if there
    is no such value, that is an `InputError`.
    """
    if key is None:
        groups = blocks_of(frames)
    elif key in frames.info and frames.info[key].ndim == 1:
        groups = np.unique(frames.info[key], return_inverse=True)[1]
    else:
        known = ", ".join(sorted(frames.info)) or "none"
        raise InputError(f"groups: the frames have no value {key!r} to be told apart by (there: {known}).")
    return _joined(groups, frames.hashes())


def _joined(groups: NDArray[np.int64], hashes: Sequence[str]) -> NDArray[np.int64]:
    """Join groups that have a frame of the same content in common."""
    from scipy.sparse import coo_array  # noqa: PLC0415  a tenth of a second to import
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    contents = np.unique(np.asarray(hashes, dtype=np.str_), return_inverse=True)[1]
    shift = int(groups.max(initial=-1)) + 1
    n = shift + int(contents.max(initial=-1)) + 1
    links = coo_array((np.ones(len(groups)), (groups, shift + contents)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1])[groups].astype(np.int64)


def _names(frames: Configurations, groups: NDArray[np.int64]) -> list[str]:
    """Name of the group of each frame: its smallest content hash."""
    first = smallest_of_each(groups.tolist(), frames.hashes())
    return [first[group] for group in groups.tolist()]


def assign_folds(frames: Configurations, folds: int, *, seed: int, key: str | None = None) -> NDArray[np.int64]:
    """Number of the fold that each frame belongs to, ``(N,)``: whole groups, and folds of nearly equal size.

    The largest groups are given away first, each to the fold that has the fewest frames; equals in an order that
    follows from the seed. Fewer groups than folds are an `InputError`.
    """
    names = _names(frames, groups_of(frames, key))
    sizes = Counter(names)
    if len(sizes) < folds:
        raise InputError(
            f"folds: {len(frames)} frames of {len(sizes)} group(s) cannot be shared by {folds} folds; ask for fewer."
        )
    filled = [0] * folds
    fold_of: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], draw(seed, name), name)):
        emptiest = min(range(folds), key=lambda fold: (filled[fold], fold))
        fold_of[name] = emptiest
        filled[emptiest] += sizes[name]
    return np.array([fold_of[name] for name in names], dtype=np.int64)


def learners(frames: Configurations) -> NDArray[np.int64]:
    """Frames that models may be chosen by: labelled, and neither of the probe nor held out; their indices."""
    return _labelled(frames)[0]


def _labelled(frames: Configurations) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of labelled frames: those that may be learned from, and those of the probe, or without one held out."""
    role = frames.info.get("role", np.full(len(frames), "train"))
    labelled = frames.has("energy") | frames.has("forces")
    unseen = [np.flatnonzero(labelled & (role == name)) for name in UNSEEN_ROLES]
    judged = next((found for found in unseen if len(found)), unseen[0])
    return np.flatnonzero(labelled & ~np.isin(role, UNSEEN_ROLES)), judged


def fold_splits(frames: Configurations, settings: FoldSettings, *, seed: int) -> list[Split]:
    """Roles of all frames in each fold's training: those of the fold are judged on, the others learned from."""
    chosen = learners(frames)
    fold = assign_folds(frames[chosen], settings.folds, seed=seed, key=settings.groups)
    folds = range(settings.folds)
    return [_split(frames, chosen[fold != index], chosen[fold == index], settings, seed) for index in folds]


def default_sizes(most: int) -> list[int]:
    """Sizes of a learning curve, each half of the next; ten frames at least."""
    sizes = [most]
    while sizes[-1] // 2 >= 10 and len(sizes) < 5:
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def subset_splits(frames: Configurations, settings: SubsetSettings, *, seed: int) -> list[Subset]:
    """Random subsets of several sizes to learn from, all judged on the same frames.

    These are the frames of the probe where there are any, else those held out, and else a fold as large as `test_share`
    says. Subsets are drawn group by group, independently of each other; the last group is cut where it would be too
    many. A size of more than there are, or of fewer than two, is an `InputError`.
    """
    pool, judged = _labelled(frames)
    if not len(judged):
        folds = max(2, round(1 / settings.test_share))
        fold = assign_folds(frames[pool], folds, seed=seed, key=settings.groups)
        pool, judged = pool[fold != 0], pool[fold == 0]
    names, hashes = _names(frames[pool], groups_of(frames[pool], settings.groups)), frames[pool].hashes()
    wanted = settings.sizes or default_sizes(len(pool))
    counts = [round(size * len(pool)) if size < 1 else int(size) for size in wanted]
    subsets = []
    for n in sorted(set(counts)):
        if not 2 <= n <= len(pool):
            raise InputError(f"sizes: {n} is not possible; there are {len(pool)} frames to learn from, two are needed.")
        for repeat in range(settings.repeats if n < len(pool) else 1):
            own = derive_seed(seed, "subset", n, repeat)
            keys = [(draw(own, name), name, content) for name, content in zip(names, hashes, strict=True)]
            order = sorted(range(len(pool)), key=keys.__getitem__)
            subsets.append(Subset(n, repeat, _split(frames, pool[order[:n]], judged, settings, own)))
    return subsets


def _split(
    frames: Configurations, learned: NDArray[np.int64], judged: NDArray[np.int64], settings: Splitting, seed: int
) -> Split:
    part, roles = frames[learned], np.full(len(frames), UNUSED, dtype=object)
    shares = RoleSettings(early_stopping_share=settings.early_stopping, calibration_share=0)
    roles[learned] = split_roles(_names(part, groups_of(part, settings.groups)), shares, seed=seed)
    roles[judged] = "probe"
    return roles.tolist()
