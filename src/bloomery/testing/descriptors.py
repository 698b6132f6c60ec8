"""What every descriptor must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from bloomery.descriptors.contract import Descriptor, Features
from bloomery.frames.configurations import Configurations
from bloomery.potentials.acceptance import STENCIL
from bloomery.testing.frames import odd_frames, open_frames, refusal


def check_descriptor(descriptor: Descriptor, elements: Sequence[str] = ("C", "Si"), seed: int = 0) -> None:
    """Check shapes, invariances, gradients, cutoff and refusals on frames of every kind."""
    names = list(elements)
    frames = odd_frames(names, seed)
    check_shapes(descriptor, frames, names)
    check_invariance(descriptor, frames, names, seed)
    check_gradients(descriptor, frames, names, seed)
    check_cutoff(descriptor, names)
    check_refusals(descriptor, frames, names)


def check_shapes(descriptor: Descriptor, frames: Configurations, elements: list[str]) -> None:
    """Features are float64, finite, as many as announced, and those of a frame do not depend on its neighbours."""
    found = descriptor.features(frames, elements)
    assert found.values.shape == (frames.n_atoms, descriptor.size(elements))
    assert found.values.dtype == torch.float64
    assert bool(torch.isfinite(found.values).all())
    assert found.jacobian is None, "gradients were not asked for"
    alone = torch.cat([descriptor.features(frame, elements).values for frame in frames])
    torch.testing.assert_close(found.values, alone, rtol=1e-12, atol=1e-12)
    averages = descriptor.averages(frames, elements)
    assert averages.shape == (len(frames), descriptor.size(elements))
    for frame, average in zip(frames, averages, strict=True):
        expected = descriptor.features(frame, elements).values.numpy().sum(axis=0) / max(frame.n_atoms, 1)
        np.testing.assert_allclose(average, expected, rtol=1e-10, atol=1e-12)
    nothing = descriptor.features(Configurations.empty(), elements, gradients=True)
    assert nothing.values.shape == (0, descriptor.size(elements))
    assert nothing.jacobian is not None
    assert nothing.jacobian.shape == (0, 3, descriptor.size(elements))


def check_invariance(descriptor: Descriptor, frames: Configurations, elements: list[str], seed: int) -> None:
    """Rotation, translation, wrapping, permutation of atoms and the choice of the cell change nothing."""
    random = np.random.default_rng(seed)
    values = descriptor.features(frames, elements).values
    turn = Rotation.random(rng=random).as_matrix()
    changed = {
        "rotation": replace(frames, positions=frames.positions @ turn, cells=frames.cells @ turn),
        "inversion": replace(frames, positions=-frames.positions, cells=-frames.cells),
        "translation": replace(frames, positions=frames.positions + random.normal(size=3)),
    }
    whole = random.integers(-2, 3, size=(frames.n_atoms, 3)) * frames.pbc[frames.frame_of_atom]
    images = np.einsum("ai,aij->aj", whole, frames.cells[frames.frame_of_atom])
    changed["wrapping"] = replace(frames, positions=frames.positions + images)
    for name, other in changed.items():
        found = descriptor.features(other, elements).values
        assert torch.allclose(found, values, rtol=1e-9, atol=1e-9), f"{name} changes the features"
    order = np.argsort(frames.frame_of_atom + random.uniform(size=frames.n_atoms))
    mixed = replace(frames, positions=frames.positions[order], numbers=frames.numbers[order])
    torch.testing.assert_close(descriptor.features(mixed, elements).values, values[order], rtol=1e-9, atol=1e-9)
    periodic = frames[[int(np.flatnonzero(frames.pbc.all(axis=1))[0])]]
    double = Configurations.from_atoms([periodic.to_atoms()[0].repeat((2, 1, 1))])
    found = descriptor.features(double, elements).values
    expected = descriptor.features(periodic, elements).values.repeat(2, 1)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9), "a supercell changes the features"


def check_gradients(descriptor: Descriptor, frames: Configurations, elements: list[str], seed: int) -> None:
    """Jacobians agree with finite differences to 1e-6, and contracted gradients with Jacobians."""
    random = np.random.default_rng(seed)
    found = descriptor.features(frames, elements, gradients=True)
    assert found.edges is not None
    assert found.vectors is not None
    assert found.jacobian is not None
    assert bool((found.edges[0].diff() >= 0).all()), "edges are sorted by centre"
    weights = torch.from_numpy(random.normal(size=(2, *found.values.shape)))
    by_place = _by_place(found, weights, frames.n_atoms)
    # Short, so that hardly any distance crosses a kink: cosine cutoffs have jumps in their second derivative.
    step = 1e-5
    for _ in range(3):
        move = random.normal(size=frames.positions.shape)
        slope = sum(
            factor * _weighted(descriptor, frames, elements, weights, place * step * move) for place, factor in STENCIL
        )
        expected = (by_place * torch.from_numpy(move)).sum(dim=(1, 2))
        torch.testing.assert_close(torch.as_tensor(slope) / step, expected, rtol=1e-6, atol=1e-6)
    edges, vectors, gradients = descriptor.edge_gradients(frames, elements, lambda _, atoms: weights[:, atoms])
    assert gradients.shape == (2, len(vectors), 3)
    contracted = torch.zeros_like(by_place)
    contracted.index_add_(1, edges[1], gradients)
    contracted.index_add_(1, edges[0], -gradients)
    torch.testing.assert_close(contracted, by_place, rtol=1e-9, atol=1e-9)


def check_cutoff(descriptor: Descriptor, elements: list[str]) -> None:
    """A neighbour that leaves takes its part in the features with it, without a jump, as if it had never been."""
    cutoff = getattr(descriptor.settings, "cutoff", None)
    if cutoff is None:
        return
    values = {
        distance: descriptor.features(_dimer(elements, distance), elements).values
        for distance in (cutoff - 1e-5, cutoff + 1e-5, 3 * cutoff)
    }
    inside, outside, far = values.values()
    torch.testing.assert_close(inside, far, rtol=0, atol=1e-6)
    torch.testing.assert_close(outside, far, rtol=0, atol=0)
    lone = descriptor.features(_dimer(elements, cutoff)[[0]], elements).values
    assert lone.shape[0] == 2
    gradients = descriptor.features(_dimer(elements, cutoff - 1e-5), elements, gradients=True).jacobian
    assert gradients is not None
    assert float(gradients.abs().max()) < 1e-4, "the slope vanishes at the cutoff"


def check_refusals(descriptor: Descriptor, frames: Configurations, elements: list[str]) -> None:
    """An element that was not asked for is refused, and the frame is named."""
    stranger = replace(frames, numbers=np.where(np.arange(frames.n_atoms) == 6, 79, frames.numbers))
    message = refusal(lambda: descriptor.features(stranger, elements))
    assert "Au" in message, "an element that was not asked for must be refused"
    assert f"frame {stranger.frame_of_atom[6]}" in message, "the message must name the frame"


def _by_place(found: Features, weights: torch.Tensor, n_atoms: int) -> torch.Tensor:
    """Derivatives of weighted sums of all features by the positions, ``(M, A, 3)``."""
    assert found.edges is not None
    assert found.jacobian is not None
    by_edge = torch.einsum("mef,ecf->mec", weights[:, found.edges[0]], found.jacobian)
    result = torch.zeros((len(weights), n_atoms, 3), dtype=torch.float64)
    result.index_add_(1, found.edges[1], by_edge)
    return result.index_add_(1, found.edges[0], -by_edge)


def _weighted(
    descriptor: Descriptor, frames: Configurations, elements: list[str], weights: torch.Tensor, move: np.ndarray
) -> torch.Tensor:
    values = descriptor.features(replace(frames, positions=frames.positions + move), elements).values
    return (weights * values).sum(dim=(1, 2))


def _dimer(elements: list[str], distance: float) -> Configurations:
    return open_frames([2], odd_frames(elements)[[3]].numbers[:2], [[0.0, 0, 0], [distance, 0, 0]])
