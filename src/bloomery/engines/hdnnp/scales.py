"""What is learnt from the training frames before the first step: scales, components, and how much labels vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.species import species_of
from bloomery.engines.hdnnp.components import FIRST_LAYER, Components
from bloomery.engines.hdnnp.loss import ENERGY_SCALE, Spreads
from bloomery.engines.hdnnp.model import Parameters, Ranges, Scaling, hidden_layers
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import reference_energies

ISOLATED = 1e-3
"""An atom whose features are so small beside those of the usual one is isolated."""
MOVED = 0.05
"""Angstrom. Atoms of frames with few atoms are moved by this to see what their features depend on."""
MANY_ATOMS = 1000
"""An element with as many atoms needs no such copies."""
MOST_COPIES = 16
"""No frame is copied more often."""


def feature_values(
    descriptor: Descriptor, frames: Configurations, elements: list[str], device: str
) -> NDArray[np.float64]:
    """Features of all atoms, ``(A, F)``."""
    parts = (frames[i : i + 64] for i in range(0, len(frames), 64))
    found = [descriptor.features(part, elements, device=device).values.cpu().numpy() for part in parts]
    return np.concatenate(found)


def moved_a_little(train: Configurations, elements: list[str]) -> Configurations:
    """Return copies of frames whose atoms are few, with all atoms moved a little at random.

    Few atoms span few directions, a perfect crystal none, but their forces are derivatives along many more: these have
    to be among the components.
    """
    species = species_of(train, elements)
    rarest = np.full(len(train), MANY_ATOMS)
    np.minimum.at(rarest, train.frame_of_atom, np.bincount(species)[species])
    copies = np.minimum(-(-MANY_ATOMS // rarest) - 1, MOST_COPIES)
    moved = train[np.repeat(np.arange(len(train)), copies)]
    random = np.random.default_rng(0)
    return replace(moved, positions=moved.positions + random.normal(scale=MOVED, size=moved.positions.shape))


def learnt_scaling(
    train: Configurations,
    elements: list[str],
    descriptor: Descriptor,
    around: NDArray[np.float64],
    reference: dict[str, float],
    device: str,
) -> tuple[Scaling, Ranges]:
    """Learn all scales from the training frames, and what values their features have.

    ``around`` are features of their atoms and, after these, of `moved_a_little` ones, ``(A, F)``.
    """
    values = around[: train.n_atoms]
    lonely = Configurations.from_atoms([Atoms(element) for element in elements])
    isolated = feature_values(descriptor, lonely, elements, device)
    mean, scale, magnitude = np.zeros_like(isolated), np.ones_like(isolated), np.ones_like(isolated)
    ranges = Ranges(*[np.zeros_like(isolated) for _ in range(4)])
    for species, number in enumerate(symbols_to_numbers(elements)):
        rows = values[train.numbers == number]
        mean[species] = rows.mean(axis=0)
        ranges.minimum[species], ranges.maximum[species] = rows.min(axis=0), rows.max(axis=0)
        ranges.mean[species], ranges.deviation[species] = mean[species], rows.std(axis=0, ddof=min(1, len(rows) - 1))
        away = (rows - isolated[species]) ** 2
        magnitude[species], usual = _least_magnitude(away.mean(axis=1)), np.sqrt(away.mean(axis=0))
        # A feature that hardly varies in the training frames must not be blown up outside them.
        spread = np.maximum(rows.std(axis=0), np.maximum(1e-3 * usual, 1e-8))
        scale[species] = spread
    # One number for all: features keep their natural proportions, and mean the same for every element.
    scale[:] = np.sqrt(np.mean(scale**2))
    energies, mask = train.label("energy")
    residual = train.without_labels().with_labels(
        energy=np.where(mask, energies - reference_energies(train, reference), 0.0), masks={"energy": mask}
    )
    fitted = fit_energy_reference(residual, elements)
    offset = np.array([fitted[element] for element in elements])
    unit = _unit(train, label_spreads(train, residual.label("energy")[0]))
    return Scaling(mean, scale, isolated, magnitude, offset, unit), ranges


def no_narrower(scaling: Scaling, ranges: Ranges, start: HdnnpPotential) -> tuple[Scaling, Ranges]:
    """Return scales and ranges that hold for the frames of the start as well, which may not be among those given.

    Where few and similar frames are given, their own scales would blow up every difference from them, and a step that
    is small for them would be large for all others.
    """
    old, known = start.scaling, start.ranges
    scaling = replace(scaling, scale=np.maximum(scaling.scale, old.scale), energy=max(scaling.energy, old.energy))
    if known is not None:
        lowest, highest = np.minimum(ranges.minimum, known.minimum), np.maximum(ranges.maximum, known.maximum)
        ranges = replace(ranges, minimum=lowest, maximum=highest)
    return scaling, ranges


def rescaled(parameters: Parameters, old: Scaling, new: Scaling) -> Parameters:
    """Turn parameters for old scales of inputs and outputs into those of the same function for new scales."""
    result = {name: value.clone() for name, value in parameters.items()}
    last = hidden_layers(result)
    ratio = torch.from_numpy(new.scale / old.scale)[None, :, :, None]
    shift = torch.from_numpy((new.mean - old.mean) / old.scale)[None, :, None, :]
    result["bias_0"] += shift @ result["weight_0"]
    if "skip" in result:
        result[f"bias_{last}"] += shift @ result["skip"]
        result["skip"] *= ratio * (old.energy / new.energy)
    result["weight_0"] *= ratio
    unit = old.energy / new.energy
    for name in (f"weight_{last}", f"bias_{last}"):
        result[name] *= unit
    result[f"bias_{last}"] += torch.from_numpy((old.offset - new.offset) / new.energy)[None, :, None, None]
    return result


def learnt_components(
    settings: HdnnpSettings,
    train: Configurations,
    n_elements: int,
    around: tuple[NDArray[np.float64], NDArray[np.int64]],
    scaling: Scaling,
    start: HdnnpPotential | None,
) -> Components:
    """Learn the components of the training frames; those of a start are kept if its frames are not all among them.

    ``around`` are features ``(A, F)`` and species ``(A,)`` of the atoms, and of `moved_a_little` ones.
    """
    values, species = around
    inputs = (values - scaling.mean[species]) / scaling.scale[species]
    kept = np.zeros((n_elements, inputs.shape[1], 0))
    if start is not None and not start.seen <= set(train.hashes()):
        old = rescaled(start.parameters, start.scaling, scaling)
        # From (M, S, F, H) to (S, F, M H).
        kept = np.concatenate(
            [torch.cat(list(old[name]), dim=2).numpy() for name in FIRST_LAYER if name in old], axis=2
        )
    return Components.of(inputs, species, settings.most_components(n_elements), settings.feature_scaling, kept)


def label_spreads(train: Configurations, energies: NDArray[np.float64]) -> Spreads:
    """Spread of the labels, bounded from below where frames hardly differ."""
    mask = train.has("energy")
    energy = float((energies[mask] / train.counts[mask]).std()) if mask.any() else 0.0
    forces, has = train.label("forces")
    present = forces[has[train.frame_of_atom]]
    force = float(np.sqrt((present**2).mean())) if present.size else 0.0
    stress, has = train.label("stress")
    tension = float(np.sqrt((stress[has] ** 2).mean())) if has.any() else 0.0
    energy, force = max(energy, 1e-3), max(force, 1e-2)
    unit = max(energy, ENERGY_SCALE * force)
    return Spreads(unit, force, max(tension, 1e-4), (energy / unit) ** 2)


def _unit(train: Configurations, spreads: Spreads) -> float:
    """By how much atomic energies vary in eV, roughly: what the networks' outputs are counted in."""
    if train.has("forces").any():
        return 0.2 * spreads.forces
    if train.has("energy").any():
        return spreads.energy * float(np.sqrt(train.counts.mean()))
    return 0.2 * spreads.stress * float((train.volumes / train.counts).mean())


def _least_magnitude(squares: NDArray[np.float64]) -> float:
    """Return how far the features of an atom are at least from those of an isolated one, from mean squares ``(A,)``.

    The isolation switch leaves atoms alone that are as far, and so all of the training frames: were they counted by
    what is usual, it would pull at those of them that are less usual. Those that are as good as isolated do not count.
    """
    bound = squares[squares > ISOLATED**2 * squares.mean()]
    return float(np.sqrt(bound.min())) if len(bound) else 1.0
