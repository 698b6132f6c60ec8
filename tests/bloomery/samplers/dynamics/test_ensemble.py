"""Ensembles, stages, fixed atoms and replicas as users set them."""

from typing import Any

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.batched_md import BatchedMolecularDynamics
from bloomery.samplers.md import MolecularDynamics
from bloomery.samplers.reference_md import ReferenceMolecularDynamics
from bloomery.testing.potentials import TeacherCommittee


@pytest.mark.slow
def test_pressure_changes_the_volume_by_what_the_material_yields() -> None:
    copper = Configurations.from_atoms([bulk("Cu", cubic=True)])
    shared: dict[str, Any] = {"calculator": "emt", "ensemble": "npt", "thermostat": "velocity_rescaling", "steps": 250}
    shared |= {"interval": 10, "equilibration": 100, "temperatures": [10], "barostat_time_fs": 20, "timestep_fs": 3}
    for barostat in ("isotropic", "cell"):
        volumes = []
        for pressure in (-5, "100 kbar"):
            sampler = ReferenceMolecularDynamics.make(**shared, barostat=barostat, pressure=pressure)
            frames, _ = sampler.sample(copper)
            volumes.append(frames.volumes.mean())
            # What the labels say, and the kinetic part, that of an ideal gas: together the pressure that was asked for.
            kinetic = 3 * units.kB * 10 / frames.volumes.mean()
            inner = (kinetic - frames.label("stress")[0][:, :3].mean()) / units.GPa
            assert inner == pytest.approx(-5 if pressure == -5 else 10, abs=0.7)
        # EMT copper: bulk modulus 134 GPa at rest, which rises with pressure.
        assert np.log(volumes[0] / volumes[1]) == pytest.approx(15 / 148, rel=0.15)


def test_stages_say_what_frames_were_aimed_at(silicon: Configurations, committee: TeacherCommittee) -> None:
    stages = [
        {"steps": 10, "temperature": [300, 900]},
        {"steps": 6, "temperature": 900},
        {"steps": 4, "temperature": [900, 500], "pressure": [0, "2 GPa"]},
    ]
    sampler = MolecularDynamics.make(stages=stages, interval=4)
    assert sampler.plan(2) == {"frames": 12, "md_steps": 40, "blocks": 2}
    assert sampler.settings.targets(18, 300) == (700, 1)
    frames, report = sampler.sample(silicon, potential=committee)
    assert frames.info["step"].tolist() == [4, 8, 12, 16, 20] * 2
    np.testing.assert_allclose(frames.info["temperature"], [540, 780, 900, 900, 500] * 2)
    assert [entry["temperature"] for entry in report.trajectories] == [300, 300]


def test_fixed_atoms_do_not_move(silicon: Configurations, committee: TeacherCommittee) -> None:
    sampler = MolecularDynamics.make(fixed_atoms=[0, 5], steps=4, interval=2, supercell=(2, 1, 1), temperatures=[900])
    frames, _ = sampler.sample(silicon[[1]], potential=committee)
    start = silicon[[1]].to_atoms()[0].repeat((2, 1, 1))
    fixed = np.isin(np.arange(16), [0, 5, 8, 13])
    for atoms in frames.to_atoms():
        moved = np.linalg.norm(atoms.positions - start.positions, axis=1)
        assert (moved[fixed] == 0).all()
        assert (moved[~fixed] > 1e-3).all()


@pytest.mark.slow
def test_replicas_are_trajectories_of_md(silicon: Configurations, committee: TeacherCommittee) -> None:
    shared: dict[str, Any] = {"ensemble": "nve", "steps": 100, "interval": 50}
    alone, _ = MolecularDynamics.make(**shared).sample(silicon[[1]], potential=committee, seed=3)
    sampler = BatchedMolecularDynamics.make(**shared, replicas=3, batch_atoms=20)
    frames, report = sampler.sample(silicon[[1]], potential=committee, seed=3)
    assert sampler.plan(1) == {"frames": 9, "md_steps": 300, "blocks": 3}
    np.testing.assert_allclose(frames[[0, 1]].positions, alone.positions, atol=1e-9)
    assert len(set(frames.hashes())) == 6
    assert [entry["replica"] for entry in report.trajectories] == [0, 1, 2]


def test_a_replica_that_disagrees_ends_alone(silicon: Configurations) -> None:
    sampler = BatchedMolecularDynamics.make(
        replicas=4, steps=25, interval=5, temperatures=[900], max_disagreement=0.1, patience=1
    )
    frames, report = sampler.sample(silicon[[0]], potential=TeacherCommittee(members=2, spread=0.3))
    assert report.numbers["stopped"] > 0
    assert len({entry["steps"] for entry in report.trajectories}) > 1
    assert len(frames) >= 4


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"temperatures": [0]}, "temperatures.0: input should be greater than 0"),
    ({"thermostat": "nose"}, "thermostat: input should be 'langevin', 'nose_hoover' or 'velocity_rescaling'"),
    ({"stages": [{"steps": 9, "temperature": -1}], "interval": 3}, "temperature"),
    ({"stages": [{"steps": 90, "temperature": 300}], "steps": 90}, "give stages or steps, not both"),
    ({"stages": [{"steps": 9, "temperature": 300}]}, "no frame would be kept"),
    ({"stages": [{"steps": 90, "temperature": 300}], "ensemble": "nve"}, "with stages the ensemble must be nvt"),
    ({"ensemble": "npt", "fixed_atoms": [0]}, "atoms cannot be fixed in a cell that changes"),
    ({"pressure": "3 K"}, "pressure: should be a pressure in GPa"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_mistakes_are_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MolecularDynamics.make(**settings)


def test_structures_that_cannot_be_run_so_are_refused(silicon: Configurations, committee: TeacherCommittee) -> None:
    with pytest.raises(
        InputError, match=r"md\.fixed_atoms: 8 is too large for starting structure 0, which has 8 atoms"
    ):
        MolecularDynamics.make(fixed_atoms=[8]).sample(silicon, potential=committee)
    with pytest.raises(InputError, match="no atom of starting structure 0 is left to move"):
        MolecularDynamics.make(fixed_atoms=list(range(8))).sample(silicon, potential=committee)
    water = Configurations.from_atoms([molecule("H2O", vacuum=4)])
    with pytest.raises(InputError, match=r"reference_md\.ensemble: npt needs structures that are periodic"):
        ReferenceMolecularDynamics.make(calculator="emt", ensemble="npt").sample(water)
