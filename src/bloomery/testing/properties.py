"""What every model of a property must do."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, Property
from bloomery.frames.neighbours import find_neighbours
from bloomery.properties.contract import FittedProperty, PropertyModel, load_property
from bloomery.properties.laws import LAWS, with_known
from bloomery.testing.frames import refusal

Array = NDArray[np.float64]
REACH = 3.0
"""How far atoms feel each other in Å in the property of `teacher`."""


def check_property_model(model: PropertyModel, name: Property, seed: int = 0, tolerance: float = 1e-10) -> None:
    """Check that a model learns a property, that it turns and adds up as the property does, and what is refused."""
    frames = teacher(name, frames_for(name, 48, seed))
    known, new = frames[:40], frames[40:]
    fitted = model.fit(known, name, seed)
    check_learnt(fitted, new)
    check_turns(fitted, new, tolerance, seed)
    check_adds_up(fitted, new, tolerance)
    check_kept(fitted, new)
    check_refusals(model, fitted, known)


def check_learnt(fitted: FittedProperty, frames: Configurations) -> None:
    """Predictions of new frames are better than their mean, and the standard error is of the size of the error."""
    prediction, labels = fitted.predict(frames), frames.label(fitted.name)[0]
    assert prediction.values.shape == labels.shape
    assert prediction.members.shape[1:] == labels.shape
    error = float(np.sqrt(((prediction.values - labels) ** 2).mean()))
    assert error < 0.3 * float(labels.std(axis=0).mean()), "nothing was learnt"
    sigma = float(np.sqrt((prediction.sigma**2).mean()))
    assert error / 4 < sigma < 4 * error, f"errors are {error:.3g}, and are said to be {sigma:.3g}"


def check_turns(fitted: FittedProperty, frames: Configurations, tolerance: float, seed: int) -> None:
    """Rotations, proper and improper, act on predictions as on the property; shifts and the order of atoms do not."""
    random = np.random.default_rng(seed)
    values = fitted.predict(frames).values
    size = tolerance * max(1.0, float(np.abs(values).max()))
    for sign in (1, -1):
        turn = sign * Rotation.random(rng=random).as_matrix()
        turned = replace(frames, positions=frames.positions @ turn.T, cells=frames.cells @ turn.T)
        found, expected = fitted.predict(turned).values, turned_tensor(values, turn, len(LABELS[fitted.name].shape))
        assert np.abs(found - expected).max() < size, "a rotation does not act on predictions as on the property"
    shifted = replace(frames, positions=frames.positions + random.normal(size=3))
    assert np.abs(fitted.predict(shifted).values - values).max() < size, "a shift changes predictions"
    order = np.argsort(frames.frame_of_atom + random.uniform(size=frames.n_atoms))
    mixed = replace(frames, positions=frames.positions[order], numbers=frames.numbers[order], labels={}, masks={})
    expected = values[order] if LABELS[fitted.name].per == "atom" else values
    assert np.abs(fitted.predict(mixed).values - expected).max() < size, "the order of atoms changes predictions"


def turned_tensor(values: Array, turn: Array, rank: int) -> Array:
    """Turn every index of tensors ``(..., 3, 3)``, as polar ones turn."""
    for axis in range(values.ndim - rank, values.ndim):
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ turn.T, -1, axis)
    return values


def check_adds_up(fitted: FittedProperty, frames: Configurations, tolerance: float) -> None:
    """Sum rules hold, and a frame beside a far copy, or a supercell, has what two frames have."""
    name, law = fitted.name, LAWS[fitted.name]
    prediction = fitted.predict(frames)
    size = tolerance * frames.n_atoms * max(1.0, float(np.abs(prediction.values).max()))
    if law.gather == "centred":
        sums = np.zeros((len(frames), *LABELS[name].shape))
        np.add.at(sums, frames.frame_of_atom, prediction.values)
        assert np.abs(sums).max() < size, "atoms of a frame without charge do not add up to nothing"
    atoms = frames.to_atoms()[0]
    if frames.pbc[0].all():
        double = atoms.repeat((2, 1, 1))
    else:
        double = atoms + ase.Atoms(atoms.numbers, atoms.positions + np.array([1000.0, 0, 0]))
    double.calc = None
    one = prediction.values[: 1 if law.gather == "sum" else len(atoms)]
    two = fitted.predict(Configurations.from_atoms([double], info_keys=())).values
    expected = np.concatenate([one, one])
    if law.gather == "sum":
        expected = one if name == "dielectric_tensor" else 2 * one
    assert np.abs(two - expected).max() < size, "two of a frame do not have what one has twice"


def check_kept(fitted: FittedProperty, frames: Configurations) -> None:
    """What is written and read again predicts the same, to the last digit."""
    with tempfile.TemporaryDirectory() as folder:
        again = load_property(fitted.save(Path(folder) / "kept"))
    assert (again.name, again.elements, again.cutoff) == (fitted.name, fitted.elements, fitted.cutoff)
    first, second = fitted.predict(frames), again.predict(frames)
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.sigma, second.sigma)


def check_refusals(model: PropertyModel, fitted: FittedProperty, known: Configurations) -> None:
    """Frames without the label, of other elements, and without such a property are refused in a sentence."""
    name = fitted.name
    assert name in refusal(lambda: model.fit(known.without_labels(), name))
    strange = replace(known[:1], numbers=np.full_like(known[:1].numbers, 79))
    assert "Au" in refusal(lambda: fitted.predict(strange))
    cell = LAWS[name].cell
    if cell != "any":
        other = known[:1].pbc ^ True
        said = refusal(lambda: fitted.predict(replace(known[:1], pbc=other, cells=10 * np.eye(3)[None])))
        assert "frame 0" in said
        assert name in said


def frames_for(name: Property, count: int, seed: int = 0) -> Configurations:
    """Return frames that may have such a property: distorted molecules, or crystals of two elements."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        if LAWS[name].cell == "periodic" or LAWS[name].gather != "sum":
            places = np.array([[0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0], [0.75, 0.75, 0.25]])
            cell = 4.2 * np.eye(3) + random.normal(scale=0.1, size=(3, 3))
            atoms = ase.Atoms("SiCSiC", scaled_positions=places, cell=cell, pbc=True)
        else:
            places = np.array([[0, 0, 0.1], [0, 0.76, 0.6], [0, -0.76, 0.6], [1.1, 0, -0.5]])
            atoms = ase.Atoms("CSiSiC", positions=1.6 * places @ Rotation.random(rng=random).as_matrix())
        atoms.positions += random.normal(scale=0.12, size=(4, 3))
        frames.append(atoms)
    return Configurations.from_atoms(frames)


def teacher(name: Property, frames: Configurations) -> Configurations:
    """Label frames with a property that turns as it must, and is short-sighted: a formula of pairs and triples."""
    pairs = find_neighbours(frames, REACH)
    first, second = pairs.pairs
    lengths = np.linalg.norm(pairs.vectors, axis=1)
    units = pairs.vectors / lengths[:, None]
    smooth = np.cos(0.5 * np.pi * lengths / REACH) ** 2
    charge = np.where(frames.numbers == 6, 1.0, -0.6)

    def summed(values: Array) -> Array:
        result = np.zeros((frames.n_atoms, *values.shape[1:]))
        np.add.at(result, first, values)
        return result

    scalar = charge + 0.5 * summed(smooth * charge[second])
    near = summed((smooth * charge[second])[:, None] * pairs.vectors)
    far = summed((smooth**2)[:, None] * units)
    outer = summed(smooth[:, None, None] * units[:, :, None] * units[:, None, :])
    symmetric = scalar[:, None, None] * np.eye(3) + outer
    cross = np.cross(near, far)
    turns = np.zeros((frames.n_atoms, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turns[:, a, b], turns[:, b, a] = cross[:, c], -cross[:, c]
    of_atoms: dict[Property, Array] = {
        "dipole": scalar[:, None] * near,
        "polarizability": symmetric,
        "dielectric_tensor": symmetric,
        "born_effective_charges": symmetric + turns,
        "charges": scalar,
        "shieldings": symmetric + turns,
    }
    values, gather = of_atoms[name], LAWS[name].gather
    sums = np.zeros((len(frames), *values.shape[1:]))
    np.add.at(sums, frames.frame_of_atom, values)
    if gather == "sum":
        values = sums
    elif gather == "centred":
        counts = frames.counts.reshape(-1, *[1] * (values.ndim - 1))
        values = values - (sums / counts)[frames.frame_of_atom]
    labels: dict[str, Any] = {name: with_known(name, values, frames)}
    return frames.with_labels(**labels)
