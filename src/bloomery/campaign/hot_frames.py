"""A few hot frames of a campaign's own structures: what settings of a reference method are tried on.

Of every structure that is taken there are several: rattled as far as the campaign rattles at most, and from the most
compressed to the most dilated. Energy differences between them mean something, and their forces and stresses are as
large as those of the frames to come.
"""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import repeated
from bloomery.plugins import Settings
from bloomery.samplers.rattle_strain import RattleStrain, RattleStrainSettings
from bloomery.seeds import derive_seed


class HotFrames(Settings):
    """How many frames, and how hot."""

    frames: int = Field(default=3, ge=2, le=10)
    """Frames of each structure that is taken."""
    rattle_strain: dict[str, Any] = Field(default={})
    """Settings of the sampler `rattle_strain`, of which the frames are the extremes."""


def hot_frames(structures: Configurations, settings: HotFrames, *, seed: int) -> tuple[Configurations, list[int]]:
    """Return frames, and of each the index of its structure.

    Raises
    ------
    InputError
        If a frame cannot be made without atoms that are too close.
    """
    given = RattleStrainSettings.model_validate(settings.rattle_strain)
    low, high = given.strain if isinstance(given.strain, tuple) else (-given.strain, given.strain)
    rattle = given.rattle[1] if isinstance(given.rattle, tuple) else given.rattle
    made: list[Configurations] = []
    parents: list[int] = []
    for index in representatives(structures):
        start = _with_forces(structures[index])
        for number, strain in enumerate(np.linspace(low, high, settings.frames).tolist()):
            own = {"frames": 1, "rattle": rattle, "strain": (strain, strain), "supercell": (1, 1, 1)}
            sampler = RattleStrain(given.model_copy(update=own))
            frames, _ = sampler.sample(start, seed=derive_seed(seed, "hot", index, number))
            if not len(frames):
                raise InputError(
                    f"structure {index} cannot be rattled by {rattle:g} Å without atoms that are too close; let "
                    "rattle_strain rattle less in the bootstrap."
                )
            made.append(frames.without_info(*frames.info))
            parents.append(index)
    return Configurations.concatenate(made), parents


def representatives(structures: Configurations) -> list[int]:
    """The fewest structures, and the smallest ones, that hold all elements and kinds of periodicity there are."""
    found = [
        ({*atoms.numbers.tolist(), f"periodic along {int(atoms.pbc.sum())}"}, len(atoms))
        for atoms in structures.to_atoms()
    ]
    wanted = set().union(*(kinds for kinds, _ in found))
    chosen: list[int] = []
    while wanted:
        best = max(range(len(found)), key=lambda index: (len(found[index][0] & wanted), -found[index][1], -index))
        chosen.append(best)
        wanted -= found[best][0]
    return sorted(chosen)


def _with_forces(structure: Configurations) -> Configurations:
    """Two cells of a crystal of one atom, on which there is never a force."""
    (atoms,) = structure.to_atoms()
    if len(atoms) > 1 or not atoms.pbc.all():
        return structure
    doubled: ase.Atoms = repeated(atoms, (2, 1, 1))
    return Configurations.from_atoms([doubled], info_keys=())
