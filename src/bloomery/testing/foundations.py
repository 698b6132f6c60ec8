"""What every foundation must do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bloomery.errors import InputError
from bloomery.foundations.contract import MODEL, Facts, Foundation
from bloomery.frames.configurations import Configurations
from bloomery.samplers.dynamics.forces import Wanted
from bloomery.samplers.foundation_md import FoundationDriver
from bloomery.seeds import digest_of_file

STEP = 0.01
"""Å. Half of the distance over which forces are held against differences of the energy."""
TOLERANCE = 0.01
"""eV/Å. What single precision and the curvature leave of it."""


def check_foundation(foundation: Foundation, frames: Configurations) -> None:
    """Check that what it says of itself is so, that it computes the same twice, and that forces are derivatives.

    Its package must be there. It is given a few ``frames`` with elements that it covers; weights that are not there,
    that are no weights or that have changed are refused in a sentence.
    """
    assert foundation.missing() is None, foundation.missing()
    assert foundation.role == "foundation"
    before = frames.digest()
    made, facts = foundation.read()
    _check_facts(foundation, facts)
    foundation.refuse(frames.elements, facts.elements)
    if facts.elements is not None:
        _refused(lambda: foundation.refuse(["X"], facts.elements), "an element that it does not cover")
    driver = FoundationDriver(foundation, made)
    evaluation = driver(frames, Wanted(labels=True))
    assert not evaluation.failures, evaluation.failures
    assert evaluation.forces.shape == (frames.n_atoms, 3)
    assert np.isfinite(evaluation.forces).all()
    anew = FoundationDriver(foundation, foundation.calculator())(frames)
    np.testing.assert_array_equal(anew.forces, evaluation.forces, "read a second time, it gave other forces")
    assert frames.digest() == before, "the frames were changed"
    _check_forces(driver, frames[[0]])
    _check_weights(foundation)


def _check_facts(foundation: Foundation, facts: Facts) -> None:
    json.dumps(asdict(facts), allow_nan=False)
    assert facts.name == foundation.name
    assert facts.words
    assert not foundation.package or facts.versions.get(foundation.package), "the version of its package is not said"
    assert foundation.covers is None or facts.elements == foundation.covers, "the weights cover other elements"
    if facts.weights:
        found = digest_of_file(Path(facts.weights))
        assert facts.digest == found, "the digest is not that of the file"


def _check_forces(driver: FoundationDriver, frame: Configurations) -> None:
    forces = driver(frame).forces
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-3 * frame.n_atoms, err_msg="forces add up to something")
    (atoms,) = frame.without_labels().to_atoms()
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[0, axis] += sign * STEP
            found = driver(Configurations.from_atoms([moved], info_keys=[]), Wanted(labels=True))
            energies.append(float(np.asarray(found.values[0]["energy"])))
        slope = (energies[0] - energies[1]) / (2 * STEP)
        assert abs(forces[0, axis] + slope) < TOLERANCE, f"the force {forces[0, axis]} is no derivative, {-slope}"


def _check_weights(foundation: Foundation) -> None:
    """Files that cannot be read are refused, those of the user's that have changed too."""
    plugin, given = type(foundation), foundation.settings.model_dump(exclude_unset=True)
    if MODEL not in plugin.Settings.model_fields:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        others = given | {MODEL: str(path)}
        _refused(plugin.make(**others).read, "a file that is not there")
        path.write_text("these are no weights", encoding="utf-8")
        _refused(plugin.make(**others).read, "a file that holds no weights")
        _refused(plugin.make(**others | {"digest": "0" * 64}).read, "a file that has changed")


def _refused(call: Callable[[], object], what: str) -> None:
    said = ""
    try:
        call()
    except InputError as error:
        said = str(error)
    assert said, f"{what} is not refused"
    assert "\n" not in said, f"{what} is not refused in one sentence"
