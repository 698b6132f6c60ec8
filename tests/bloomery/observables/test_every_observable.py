"""What every registered observable must do, each on frames that it is meant for."""

from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin, registered
from bloomery.testing.observables import check_observable
from bloomery.testing.potentials import TeacherCommittee

TEACHER = TeacherCommittee(members=1, spread=0.1)
CHAIN = Configurations.from_atoms(
    [ase.Atoms("Si4", positions=[[0, 2.2, 0], [0, 0, 0], [2.3, 0, 0], [2.4, 1.5, 1.6]], cell=[20] * 3)],
)
CRYSTAL = Configurations.from_atoms([bulk("Si")])


def rattled(n_frames: int, seed: int = 0) -> Configurations:
    """Labelled cells of eight atoms, like a trajectory."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        atoms = bulk("Si", cubic=True)
        atoms.positions += generator.normal(0, 0.05, (8, 3))
        frames.append(atoms)
    return TEACHER.label(Configurations.from_atoms(frames)).with_info(step=10 * np.arange(n_frames))


def with_property(name: str, shape: tuple[int, ...]) -> Configurations:
    """A trajectory with a property that changes along it."""
    labels: dict[str, Any] = {name: np.random.default_rng(2).normal(size=(80, *shape))}
    return rattled(80).with_labels(**labels)


LABELLED = rattled(6)
CASES: dict[str, tuple[Configurations, dict[str, Any], Configurations | None]] = {
    "calibration": (LABELLED.with_info(role=["calibration"] * 3 + ["probe"] * 3), {}, None),
    "angles": (LABELLED, {"dihedrals": True}, rattled(8, seed=1)),
    "coordination": (LABELLED, {}, rattled(8, seed=1)),
    "defects": (CRYSTAL, {"min_length": 6}, None),
    "density": (LABELLED, {}, rattled(8, seed=1)),
    "diffusion": (rattled(80), {"blocks": 4}, rattled(60, seed=1)),
    "dimers": (CRYSTAL, {"points": 5}, None),
    "elastic": (CRYSTAL, {}, None),
    "equation_of_state": (CRYSTAL, {}, None),
    "errors": (LABELLED, {}, None),
    "free_energy_perturbation": (LABELLED, {"temperature": 300}, None),
    "frequencies": (CHAIN, {}, None),
    "infrared": (with_property("dipole", (3,)), {"window_fs": 50, "blocks": 4, "temperature": 300}, None),
    "leakage": (LABELLED, {}, rattled(8, seed=1)),
    "nve_stability": (LABELLED[:1], {"steps": 40, "equilibration": 5, "trajectories": 2}, None),
    "phonons": (CRYSTAL, {"min_length": 6}, None),
    "pmf": (LABELLED, {"temperature": 300, "bin_width": 0.5}, rattled(8, seed=1)),
    "raman": (with_property("polarizability", (3, 3)), {"window_fs": 50, "blocks": 4, "temperature": 300}, None),
    "rdf": (LABELLED, {}, rattled(8, seed=1)),
    "structure_factor": (LABELLED, {}, rattled(8, seed=1)),
    "thermodynamic_integration": (
        CRYSTAL,
        {"supercell": (2, 2, 2), "equilibration": 100, "steps": 100, "trajectories": 2},
        None,
    ),
    "torsions": (CHAIN, {"atoms": [(0, 1, 2, 3)]}, None),
    "vdos": (rattled(80), {"window_fs": 50, "blocks": 4}, rattled(60, seed=1)),
}
"""Frames, settings and reference for each; a reference that is not given is what the teacher says of wanted frames."""
SLOW = {"nve_stability", "phonons", "thermodynamic_integration"}
NEEDS = {"phonons": "phonopy", "thermodynamic_integration": "spglib"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] * (name in {"nve_stability", "phonons", "thermodynamic_integration"})
        )
        for name in registered("observables")
    ],
)
def test_every_observable_conforms(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    plugin = load_plugin("observables", name)
    assert plugin.name == name
    frames, settings, reference = CASES[name]
    observable = plugin.make(**settings)
    wanted = observable.wanted_frames(frames)
    if wanted is not None:
        reference = TEACHER.label(wanted)
    check_observable(observable, TeacherCommittee(), frames, reference)


@pytest.mark.parametrize("name", registered("observables"))
def test_every_setting_is_explained(name: str) -> None:
    plugin = load_plugin("observables", name)
    unexplained = [key for key, field in plugin.Settings.model_fields.items() if not field.description]
    assert not unexplained
    assert plugin.__doc__


@pytest.mark.parametrize("name", registered("observables"))
def test_no_frames_are_no_numbers_or_one_sentence(name: str) -> None:
    frames, settings, _ = CASES[name]
    observable = load_plugin("observables", name).make(**settings)
    try:
        summary = observable.observe(TeacherCommittee(), frames[:0]).summary
    except InputError as error:
        assert str(error).startswith(name)  # noqa: PT017
    else:
        assert summary["n_frames"] == 0
