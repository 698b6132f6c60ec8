"""How much each frame, and each atom, counts in the loss, and for which member of the committee."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.hdnnp.settings import GroupWeights, HdnnpSettings, Resampling
from bloomery.engines.preparation import energies_above_lowest, member_frames
from bloomery.frames.configurations import Configurations
from bloomery.seeds import uniform


@dataclass(frozen=True)
class Importance:
    """Weights of the labels of ``N`` frames with ``A`` atoms in all, beside those of the settings' `LossWeights`.

    Parameters
    ----------
    energy, stress
        Of each frame, ``(N,)``; zero where there is no label.
    forces
        Of each atom, ``(A,)``; zero where there is no label.
    """

    energy: NDArray[np.float64]
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


def member_weights(
    hashes: list[str], members: int, share: float, seed: int, resampling: Resampling = "subsample"
) -> NDArray[np.float64]:
    """How often each member sees each frame, ``(M, N)``, from the frame's content alone.

    The same frame is seen by the same members in every training with this seed, so that a member that starts from an
    earlier one has not seen, through it, what it should not see.

    - ``subsample``: a share of the members sees the frame, one at least.
    - ``bootstrap``: as often as in a drawing with replacement: counts follow Poisson's law with mean one, the limit of
      the bootstrap for many frames that needs no count of them (Oza and Russell, Proc. AISTATS 3, 229 (2001)).
    - ``cross_validation``: frames fall into as many folds as there are members; a member sees all but its own fold
      (Krogh and Vedelsby, Adv. Neural Inf. Process. Syst. 7, 231 (1995)).
    - ``disjoint``: a member sees its own fold only.

    A member that would see no frame at all, as may happen with very few, sees all; disjoint folds stay as they are.
    """
    if resampling == "subsample":
        result = member_frames(hashes, members, share, seed).astype(float)
    elif resampling == "bootstrap":
        result = _poisson(hashes, members, seed)
    else:
        fold = np.array([int(uniform(seed, "fold", text) * members) for text in hashes], dtype=np.int64)
        own = np.arange(members)[:, None] == fold
        result = (own if resampling == "disjoint" else ~own).astype(float)
    if resampling != "disjoint":
        result[~result.any(axis=1)] = 1.0
    return result


def _poisson(hashes: list[str], members: int, seed: int) -> NDArray[np.float64]:
    """Counts drawn from Poisson's law with mean one, ``(M, N)``."""
    drawn = np.array([uniform(seed, member, text) for member in range(members) for text in hashes])
    bounds = exp(-1) * np.cumsum(1 / np.array([1, 1, 2, 6, 24, 120, 720, 5040, 40320]))
    return np.searchsorted(bounds, drawn, side="right").reshape(members, len(hashes)).astype(float)


def importance(settings: HdnnpSettings, frames: Configurations, n_train: int) -> Importance:
    """Weigh labels by the group of their frame, and less the hotter they are.

    The first ``n_train`` frames are those that are fitted, and what is usual is learnt from them. Heat leaves the mean
    weight of each kind of label as it was, so that other settings keep their meaning.
    """
    factors = [_factors(settings, group) for group in groups_of(frames, settings.group_key)]
    present = {name: frames.has(name) & (frames.counts > 0) for name in ("energy", "forces", "stress")}
    present["stress"] &= frames.pbc.all(axis=1) & (frames.volumes > 0)
    of_group = {name: np.array([getattr(factor, name) for factor in factors], dtype=float) for name in present}
    energy, forces, stress = (mask * of_group[name] for name, mask in present.items())
    forces = forces[frames.frame_of_atom]
    if settings.hot.energy:
        cooling = _cooling(settings.hot.energy, energies_above_lowest(frames, n_train), present["energy"], n_train)
        energy, stress = (_kept_mean(values, values * cooling, n_train) for values in (energy, stress))
    if settings.hot.forces:
        forces = _cooled_forces(settings.hot.forces, frames, forces, n_train)
    return Importance(energy, forces, stress)


def groups_of(frames: Configurations, key: str) -> list[str]:
    """Return the name of each frame's group; empty for frames in none."""
    return [str(name) for name in frames.info.get(key, np.full(len(frames), ""))]


def _factors(settings: HdnnpSettings, group: str) -> GroupWeights:
    found = settings.groups.get(group, 1.0)
    return found if isinstance(found, GroupWeights) else GroupWeights(energy=found, forces=found, stress=found)


def _cooling(
    strength: float, heat: NDArray[np.float64], present: NDArray[np.bool_], n_train: int
) -> NDArray[np.float64]:
    """``1 / (1 + (strength heat / usual)^2)`` with ``usual`` the root mean square of the heat of training frames."""
    rows = present & (np.arange(len(heat)) < n_train)
    usual = float(np.sqrt((heat[rows] ** 2).mean())) if rows.any() else 0.0
    return 1 / (1 + (strength * heat / usual) ** 2) if usual > 0 else np.ones(len(heat))


def _kept_mean(before: NDArray[np.float64], after: NDArray[np.float64], n_train: int) -> NDArray[np.float64]:
    total = after[:n_train].sum()
    return after * (before[:n_train].sum() / total) if total > 0 else after


def _cooled_forces(
    strength: float, frames: Configurations, weights: NDArray[np.float64], n_train: int
) -> NDArray[np.float64]:
    forces = frames.label("forces")[0]
    fitted = (frames.frame_of_atom < n_train) & (weights > 0)
    usual = float(np.sqrt((forces[fitted] ** 2).mean())) if fitted.any() else 0.0
    if usual == 0:
        return weights
    cooled = weights / (1 + (strength * np.linalg.norm(forces, axis=1) / usual) ** 2)
    # The loss is a mean over frames of means over their atoms, and so is what is kept.
    share = fitted / np.maximum(frames.counts, 1)[frames.frame_of_atom]
    return cooled * ((weights * share).sum() / (cooled * share).sum())
