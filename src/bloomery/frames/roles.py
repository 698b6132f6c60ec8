"""Which role a frame plays: probe, train, early stopping or calibration; or held out, of frames that somebody chose.

The probe is drawn from the pool before any criterion has looked at it, and never trained on: what is measured on it is
honest. Frames that are held out of a data set which somebody has put together are not trained on either, but they are
no probe: whoever chose the frames has chosen them too. Everything is ranked by hashes of content and seed, so that the
same seed draws the same frames in another run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.quantities import Share
from bloomery.seeds import derive_seed, draw

Role = Literal["probe", "held_out", "train", "early_stopping", "calibration"]
ROLES: tuple[Role, ...] = get_args(Role)
UNSEEN_ROLES: list[Role] = ["probe", "held_out"]
"""Roles of frames that no potential sees."""
TRAINED_ROLES: list[Role] = [role for role in ROLES if role not in UNSEEN_ROLES]
"""Roles of frames that have a say in a potential."""


class RoleSettings(Settings):
    """Which share of the labelled frames plays which role."""

    probe_share: Share = Field(default=0.2, ge=0, lt=1)
    """Share of each batch that is drawn at random and never trained on; of data that is brought, the share held out."""
    min_probe: int = Field(default=2, ge=0)
    """Frames of the probe in each batch, at least."""
    early_stopping_share: Share = Field(default=0.1, ge=0, lt=1)
    """Share of the other frames that trainings stop on; one at least, of five or more."""
    calibration_share: Share = Field(default=0.1, ge=0, lt=1)
    """Share of the other frames on which uncertainties are calibrated; one at least, of eight or more."""

    @model_validator(mode="after")
    def _some_are_trained_on(self) -> RoleSettings:
        if self.early_stopping_share + self.calibration_share > 0.5:
            raise ValueError("early_stopping_share and calibration_share must leave half of the frames to train on")
        return self

    def n_probe(self, n_wanted: int, n_pool: int, max_frames: int | None = None) -> int:
        """Size of the probe for a batch of ``n_wanted`` frames at most that selectors take, the probe not counted.

        Of the ``n_pool`` frames that there are half go to the probe at most; ``max_frames`` may be labelled in all, the
        probe among them.
        """
        if self.probe_share == 0 and self.min_probe == 0:
            return 0
        n = ceil(round(self.probe_share / (1 - self.probe_share) * n_wanted, 9))
        n = min(n, ceil(round(self.probe_share * n_pool, 9)))
        if max_frames is not None:
            n = min(n, ceil(round(self.probe_share * max_frames, 9)))
        n = min(max(n, self.min_probe), n_pool // 2)
        return n if max_frames is None else min(n, max_frames)


@dataclass(frozen=True)
class ProbeDraw:
    """Indices of the frames of the probe, in the order of the draw, and of what is left of the pool."""

    probe: NDArray[np.int64]
    remaining: NDArray[np.int64]
    n_blocks: int


def draw_probe(
    hashes: Sequence[str], blocks: Sequence[str], n_probe: int, *, seed: int, barred: frozenset[str] = frozenset()
) -> ProbeDraw:
    """Draw frames at random; with each its whole block leaves the pool, and every frame of equal content.

    One frame is taken of each block, and half of the blocks at most: if these are too few, further frames of the same
    blocks follow. A pool of a single block gives no probe, since nothing independent would be left to train on. Content
    hashes and block names are those of each frame; ``barred`` are the blocks that must not be drawn, because frames of
    theirs have been trained on.
    """
    order = sorted(range(len(hashes)), key=lambda frame: (draw(seed, hashes[frame]), hashes[frame], blocks[frame]))
    free = [frame for frame in order if blocks[frame] not in barred]
    most_blocks = len(set(blocks)) // 2
    drawn_blocks: set[str] = set()
    taken: dict[str, int] = {}
    for frame in free:
        if len(taken) >= n_probe or len(drawn_blocks) >= most_blocks:
            break
        if blocks[frame] not in drawn_blocks and hashes[frame] not in taken:
            drawn_blocks.add(blocks[frame])
            taken[hashes[frame]] = frame
    for frame in free:
        if len(taken) >= n_probe:
            break
        if blocks[frame] in drawn_blocks:
            taken.setdefault(hashes[frame], frame)
    places = enumerate(zip(hashes, blocks, strict=True))
    left = [frame for frame, (content, block) in places if block not in drawn_blocks and content not in taken]
    probe, remaining = (np.array(frames, dtype=np.int64) for frames in (list(taken.values()), left))
    return ProbeDraw(probe, remaining, len(drawn_blocks))


def split_roles(blocks: Sequence[str], settings: RoleSettings, *, seed: int) -> list[Role]:
    """Give each frame that is not of the probe its role; the frames of one block share it.

    Blocks are ranked by a hash of seed and name, and the shares cut from that ranking. A block that would take more
    than twice the share, or a third of the frames, is passed over, and half of the frames are always trained on.
    """
    sizes, n = Counter(blocks), len(blocks)
    ranked = _ranked(sizes, seed)
    roles: dict[str, Role] = dict.fromkeys(ranked, "train")
    shares: tuple[tuple[Role, float, int], ...] = (
        ("early_stopping", settings.early_stopping_share, 5),
        ("calibration", settings.calibration_share, 8),
    )
    for role, share, least in shares:
        wanted = max(int(share * n + 1e-9), int(n >= least)) if share else 0
        free = [block for block in ranked if roles[block] == "train"]
        trained = sum(sizes[block] for block in free)
        most = max(2 * wanted, n // 3)
        roles |= dict.fromkeys(_whole_blocks(free, sizes, wanted, most, spare=trained - ceil(n / 2)), role)
    return [roles[block] for block in blocks]


def hold_out(blocks: Sequence[str], settings: RoleSettings, *, seed: int) -> list[Role]:
    """Give frames that somebody has put together their roles: whole blocks are held out, the others as `split_roles`.

    The share is that of a probe; half of the frames are left at least.
    """
    sizes, n = Counter(blocks), len(blocks)
    ranked, wanted = _ranked(sizes, derive_seed(seed, "held out")), settings.n_probe(n, n)
    held = set(_whole_blocks(ranked, sizes, wanted, max(2 * wanted, n // 3), spare=n // 2))
    others = iter(split_roles([block for block in blocks if block not in held], settings, seed=seed))
    return ["held_out" if block in held else next(others) for block in blocks]


def _ranked(sizes: Counter[str], seed: int) -> list[str]:
    """Blocks in an order that follows from seed and name."""
    return sorted(sizes, key=lambda block: (draw(seed, block), block))


def _whole_blocks(ranked: Sequence[str], sizes: Counter[str], wanted: int, most: int, *, spare: int) -> list[str]:
    """The first blocks that make up so many frames; passed over is what would make more than ``most`` or ``spare``."""
    taken: list[str] = []
    have = 0
    for block in ranked:
        if have < wanted and have + sizes[block] <= min(most, spare):
            taken.append(block)
            have += sizes[block]
    return taken


def assigned(frames: Configurations, roles: Sequence[str] | None, where: str) -> Configurations:
    """Return frames with other roles than they came with; as they are, if none are given.

    If there are not as many roles as frames, that is an `InputError`, in which the frames are called ``where``.
    """
    if roles is None:
        return frames
    if len(roles) != len(frames):
        raise InputError(f"split: gives {len(roles)} roles for {where}, which has {len(frames)} frames.")
    return frames.with_info(role=np.array(roles, dtype=np.str_))


def split_by_file(split: Sequence[Sequence[str]] | None, files: Sequence[str]) -> Sequence[Sequence[str] | None]:
    """Return the roles that are given for the frames of each file; none where none are given at all."""
    return [None] * len(files) if split is None else split


def count_roles(roles: Sequence[str]) -> dict[str, int]:
    """How many frames play each role, every role named."""
    return {role: sum(other == role for other in roles) for role in ROLES}
