"""Molecular dynamics: the ensemble, the brakes, and what is kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.constraints import FixCom
from ase.md import langevin as ase_langevin
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits
from bloomery.potentials.prediction import Prediction
from bloomery.potentials.scale import Scale
from bloomery.samplers.dynamics.forces import Evaluation
from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.samplers.dynamics.trajectories import DynamicsSettings, trajectories
from bloomery.samplers.dynamics.watch import Watch
from bloomery.samplers.md import MolecularDynamics
from bloomery.samplers.reference_md import ReferenceMolecularDynamics
from bloomery.testing.potentials import TeacherCommittee


class Scripted(TeacherCommittee):
    """Does as the teacher until a given evaluation, then something absurd."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(members=2, spread=0.0)
        self.at, self.what, self.calls = at, what, 0

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Count evaluations."""
        self.calls += 1
        prediction = super().predict(configurations, stress=stress)
        if self.calls <= self.at:
            return prediction
        if self.what == "raise":
            raise RuntimeError("the machine is on fire")
        forces: NDArray[np.float64] = prediction.forces.copy()
        if self.what == "nan":
            forces[:] = np.nan
        if self.what == "kick":
            forces[:, 0, 0] += 3e3
        if self.what == "disagree":
            forces[0, 1] += 1.0  # of two members: a standard deviation of 1/sqrt(2) in each component
        return Prediction(prediction.counts, prediction.energies, forces, prediction.stresses)


class Springs(TeacherCommittee):
    """Atoms bound to their places in the crystal: what statistical mechanics says of them is known."""

    stiffness = 5.0  # eV/Å^2

    def __init__(self) -> None:
        super().__init__(members=1)
        self.stretch: list[float] = []
        self.places = bulk("Si", cubic=True).positions

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Pull every atom back."""
        places = np.tile(self.places, (len(configurations), 1))
        away = configurations.positions - places
        self.stretch.append(float((away**2).mean()))
        return Prediction(configurations.counts, np.zeros((1, len(configurations))), -self.stiffness * away[None], None)


@pytest.mark.slow
def test_the_ensemble_is_the_canonical_one() -> None:
    start = Configurations.from_atoms([bulk("Si", cubic=True)] * 60)
    potential = Springs()
    sampler = MolecularDynamics.make(temperatures=[600], steps=1000, interval=1000, friction=0.05)
    _, report = sampler.sample(start, potential=potential, seed=11)
    # 60 x 21 degrees of freedom over 1 ps, with a memory of about 20 fs: the means are known to about 1 %.
    mean = np.mean([entry["mean_temperature"] for entry in report.trajectories])
    assert mean == pytest.approx(600, rel=0.03)
    # Equipartition, with the centre of mass held: k <x^2> = kT 21/24. The first 200 steps come from a cold crystal.
    stretch = np.mean(potential.stretch[200:])
    assert potential.stiffness * stretch == pytest.approx(units.kB * 600 * 21 / 24, rel=0.03)


def test_the_trajectory_is_that_of_ase(silicon: Configurations, committee: TeacherCommittee) -> None:
    settings = MolecularDynamics.make(steps=7, interval=7, temperatures=[500]).settings
    frames, _ = MolecularDynamics(settings).sample(silicon[[1]], potential=committee, seed=3)
    prepared = trajectories(silicon[[1]], settings, 3, "md")[0]
    atoms, generator = prepared.frame.to_atoms()[0], np.random.default_rng(prepared.seed)
    masses = atoms.get_masses()[:, None]
    momenta = generator.normal(size=(8, 3)) * np.sqrt(masses * units.kB * 500)
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    atoms.set_constraint(FixCom())
    atoms.calc = committee.calculator()
    dynamics = ase_langevin.Langevin(
        atoms, 1.0 * units.fs, temperature_K=500, friction=0.02 / units.fs, rng=generator, fixcm=False
    )
    dynamics.run(7)
    np.testing.assert_allclose(frames.positions, atoms.positions, atol=1e-10)


def test_frames_carry_the_disagreement_that_drove_them(silicon: Configurations, committee: TeacherCommittee) -> None:
    frames, _ = MolecularDynamics.make(steps=20, interval=4).sample(silicon, potential=committee)
    np.testing.assert_allclose(frames.info["disagreement"], committee.predict(frames).disagreement, rtol=1e-10)
    assert frames.info["step"].tolist() == [4, 8, 12, 16, 20] * 2
    assert set(frames.info["stop_reason"]) == {"completed"}


def test_disagreement_stops_a_trajectory_only_after_patience(primitive: Configurations) -> None:
    sampler = MolecularDynamics.make(steps=30, interval=10, max_disagreement=0.5, patience=4, supercell=(2, 1, 1))
    frames, report = sampler.sample(primitive, potential=Scripted(at=8, what="disagree"))
    # Evaluation 9 is that of step 8: steps 8, 9, 10 and 11 are above the limit.
    entry = report.trajectories[0]
    assert entry["stop_reason"] == "step 11: disagreement of 0.707 eV/Å, above 0.500 eV/Å for 4 steps"
    assert frames.info["step"].tolist() == [10, 11]
    assert report.numbers["stopped"] == 1


@pytest.mark.slow
def test_a_limit_relative_to_the_scale(primitive: Configurations) -> None:
    settings: dict[str, Any] = {"steps": 6, "interval": 3, "max_relative_disagreement": 3, "patience": 1}
    settings["max_disagreement"] = None
    for scale, stopped in ((0.2, 1), (0.3, 0)):
        _, report = MolecularDynamics.make(**settings).sample(
            primitive, potential=Scripted(at=2, what="disagree"), scale=Scale(error=scale)
        )
        assert report.numbers["stopped"] == stopped
    with pytest.raises(InputError, match=r"^md.max_relative_disagreement.*not known"):
        MolecularDynamics.make(**settings).sample(primitive, potential=Scripted(at=2, what="disagree"))
    brake = MolecularDynamics.make(**(settings | {"max_disagreement": 0.4})).settings.brake(Scale(error=0.1), "md")
    assert brake is not None
    assert brake.limit == pytest.approx(0.3)


def test_a_limit_on_the_expected_error() -> None:
    settings = MolecularDynamics.make(max_disagreement=None, max_expected_error="500 meV/Å").settings
    for scale, limit in ((Scale(factor=2.0), 0.25), (Scale(error=0.1), 0.5), (None, 0.5)):
        brake = settings.brake(scale, "md")
        assert brake is not None
        assert brake.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("what", "reason", "last_step"),
    [
        ("nan", "step 5: a force or position is not finite", 4),
        # The kick of evaluation 6, step 5, shows in the momenta at once.
        ("kick", "step 5: the temperature of", 4),
        ("raise", "step 5: failed: RuntimeError: the machine is on fire", 4),
    ],
)
def test_absurd_frames_are_not_kept_but_the_last_sane_one_is(
    silicon: Configurations, what: str, reason: str, last_step: int
) -> None:
    sampler = MolecularDynamics.make(steps=12, interval=3)
    frames, report = sampler.sample(silicon[[0]], potential=Scripted(at=5, what=what))
    assert report.trajectories[0]["stop_reason"].startswith(reason)
    assert frames.info["step"].tolist()[-1] == last_step
    assert np.isfinite(frames.positions).all()


def test_atoms_too_close_stop_a_trajectory(silicon: Configurations, committee: TeacherCommittee) -> None:
    # The crystal's bonds of 2.35 Å soon become shorter than 2.3 Å at 900 K.
    sampler = MolecularDynamics.make(steps=200, interval=50, temperatures=[900], min_distance=2.3)
    frames, report = sampler.sample(silicon[[0]], potential=committee)
    assert "Å apart, less than 2.30 Å" in report.trajectories[0]["stop_reason"]
    distances = [atoms.get_all_distances(mic=True)[~np.eye(8, dtype=bool)].min() for atoms in frames.to_atoms()]
    assert len(distances) == 1
    assert distances[0] >= 2.3


class Fragile(TeacherCommittee):
    """Cannot bear a frame of two atoms, after a while."""

    calls = 0

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Fail as a whole, as an engine would."""
        self.calls += 1
        if self.calls > 3 and (configurations.counts == 2).any():
            raise ValueError("two atoms are too few")
        return super().predict(configurations, stress=stress)


def test_one_failing_trajectory_does_not_lose_the_others(silicon: Configurations, primitive: Configurations) -> None:
    start = Configurations.concatenate([silicon[[0]], primitive, silicon[[1]]])
    sampler = MolecularDynamics.make(steps=6, interval=3)
    frames, report = sampler.sample(start, potential=Fragile())
    assert [entry["stop_reason"] for entry in report.trajectories] == [
        "completed",
        "step 3: failed: ValueError: two atoms are too few",
        "completed",
    ]
    assert frames.info["trajectory"].tolist() == [0, 0, 1, 2, 2]
    assert frames.info["step"].tolist() == [3, 6, 2, 3, 6]
    whole, _ = sampler.sample(silicon, potential=TeacherCommittee())
    np.testing.assert_allclose(frames[[0, 1, 3, 4]].positions, whole.positions, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("batch_atoms", [1, 20, 1000])
def test_trajectories_side_by_side_are_those_one_by_one(
    silicon: Configurations, primitive: Configurations, batch_atoms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Configurations.concatenate([silicon, primitive])
    monkeypatch.setattr("bloomery.samplers.dynamics.forces.CommitteeDriver.batch_atoms", batch_atoms)
    sampler = MolecularDynamics.make(
        steps=12, interval=4, temperatures=[300, 900], max_disagreement=0.1, patience=2, strains=[0, 0.03]
    )
    frames, report = sampler.sample(start, potential=TeacherCommittee(members=2, spread=0.3), seed=2)
    assert 0 < report.numbers["stopped"] < 12
    monkeypatch.setattr("bloomery.samplers.dynamics.forces.CommitteeDriver.batch_atoms", 5)
    alone, other = sampler.sample(start, potential=TeacherCommittee(members=2, spread=0.3), seed=2)
    assert alone.hashes() == frames.hashes()
    assert [entry["stop_reason"] for entry in other.trajectories] == [
        entry["stop_reason"] for entry in report.trajectories
    ]


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.4))
@hypothesis_settings(max_examples=40, deadline=None)
def test_no_short_distance_escapes_the_watch(seed: int, stride: float) -> None:
    """Distances are not looked at in every step; what is found must be the same as if they were."""
    generator = np.random.default_rng(seed)
    frames = Configurations.from_atoms([bulk("Si", cubic=True), bulk("Si", cubic=True), bulk("Si")])
    limits = DistanceLimits(absolute=1.9)
    dynamics = Langevin(Beginning(frames, [1.0] * 3, [0] * 3, timestep=1.0), friction=0.01)
    watch = Watch(dynamics, limits, 5.0, None)
    quiet = Evaluation(np.zeros((frames.n_atoms, 3)), np.full(3, -1.0))
    for _ in range(12):
        dynamics.frames = replace(
            dynamics.frames, positions=dynamics.positions + generator.normal(scale=stride, size=(frames.n_atoms, 3))
        )
        found = watch.absurd(quiet)
        for place, frame in enumerate(dynamics.frames):
            expected = limits.broken_by(frame.numbers, frame.positions, frame.cells[0], frame.pbc[0])
            assert found.get(place, "") == expected
        if found:
            return


def test_hot_fluctuations_of_few_atoms_are_no_absurdity(primitive: Configurations) -> None:
    # Two atoms have three degrees of freedom: five times the target is no rarity, one reading in 500.
    dynamics = Langevin(Beginning(primitive, [2000.0], [0], timestep=1.0), friction=0.01)
    watch = Watch(dynamics, DistanceLimits(), 5.0, None)
    assert watch.hottest[0] > 12 * 2000
    many = Langevin(
        Beginning(Configurations.from_atoms([bulk("Si") * (4, 4, 4)]), [2000.0], [0], timestep=1.0), friction=0.01
    )
    assert Watch(many, DistanceLimits(), 5.0, None).hottest[0] == 5 * 2000


def test_more_structures_and_temperatures_do_not_change_a_trajectory(
    silicon: Configurations, committee: TeacherCommittee
) -> None:
    alone, _ = MolecularDynamics.make(steps=5, interval=5, temperatures=[700]).sample(silicon[[1]], potential=committee)
    among, _ = MolecularDynamics.make(steps=5, interval=5, temperatures=[300, 700]).sample(silicon, potential=committee)
    assert alone.hashes()[0] == among.hashes()[3]


def test_equal_structures_take_different_paths(silicon: Configurations, committee: TeacherCommittee) -> None:
    frames, _ = MolecularDynamics.make(steps=5, interval=5).sample(silicon[[0, 0]], potential=committee)
    assert len(set(frames.hashes())) == 2


def test_blocks_and_equilibration(primitive: Configurations, committee: TeacherCommittee) -> None:
    sampler = MolecularDynamics.make(
        steps=20, interval=2, equilibration=6, block_steps=10, temperatures=[300, 400], strains=[0, 0.01]
    )
    frames, _ = sampler.sample(primitive, potential=committee)
    first = frames[frames.info["trajectory"] == 0]
    assert first.info["step"].tolist() == [6, 8, 10, 12, 14, 16, 18, 20]
    assert first.info["block"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert len(set(frames.info["block"])) == 8
    assert sampler.plan(1) == {"frames": 36, "md_steps": 80, "blocks": 8}


def test_thinning_keeps_the_frames_at_which_trajectories_stopped(silicon: Configurations) -> None:
    sampler = MolecularDynamics.make(steps=60, interval=2, max_frames=5, max_disagreement=0.5, patience=3)
    frames, _ = sampler.sample(silicon, potential=Scripted(at=40, what="disagree"))
    assert len(frames) == 5
    stops = [reason.split(":")[0].removeprefix("step ") for reason in frames.info["stop_reason"]]
    assert sum(str(step) == stop for step, stop in zip(frames.info["step"], stops, strict=True)) == 2


def test_a_time_step_too_long_for_the_lightest_atom_is_refused(committee: TeacherCommittee) -> None:
    water = Configurations.from_atoms([molecule("H2O", cell=[8] * 3, pbc=True)])
    sampler = ReferenceMolecularDynamics.make(calculator="emt", timestep_fs=1.5)
    with pytest.raises(InputError, match=r"timestep_fs: 1.5 fs is too long for H; take at most 1.1 fs"):
        sampler.sample(water)


def test_md_without_a_potential_is_refused(silicon: Configurations, committee: TeacherCommittee) -> None:
    with pytest.raises(InputError, match="needs a potential"):
        MolecularDynamics.make().sample(silicon)
    copper = Configurations.from_atoms([bulk("Cu")])
    with pytest.raises(InputError, match="frame 0 holds Cu"):
        MolecularDynamics.make().sample(copper, potential=committee)


def test_units_may_be_given() -> None:
    settings = MolecularDynamics.make(temperatures=["300 K", 600], timestep_fs="0.001 ps", max_disagreement="300 meV/Å")
    assert settings.settings.temperatures == [300.0, 600.0]
    assert settings.settings.timestep_fs == 1.0
    assert settings.settings.max_disagreement == 0.3
    with pytest.raises(InputError, match=r"temperatures.0: should be a temperature in K, but 'Å' measures a length"):
        MolecularDynamics.make(temperatures=["300 Å"])
    with pytest.raises(InputError, match="greater than 0"):
        MolecularDynamics.make(temperatures=["-3 K"])


def test_settings_that_keep_no_frame_are_refused() -> None:
    with pytest.raises(InputError, match="no frame would be kept"):
        MolecularDynamics.make(steps=5, interval=10)


def test_reference_md_labels_are_those_of_the_calculator(silicon: Configurations) -> None:
    sampler = ReferenceMolecularDynamics.make(calculator="stillinger_weber", steps=6, interval=3, strains=[0.02])
    frames, _ = sampler.sample(silicon)
    again = TeacherCommittee(members=1, spread=0.0).label(frames.without_labels())
    for name in ("energy", "forces", "stress"):
        assert frames.has(name).all()
        np.testing.assert_allclose(frames.label(name)[0], again.label(name)[0], atol=1e-10)


def test_a_single_atom_moves() -> None:
    argon = Configurations.from_atoms([bulk("Ar", "fcc", a=5.3)])
    frames, _ = ReferenceMolecularDynamics.make(calculator="lj", steps=5, interval=5).sample(argon)
    assert len(frames) == 1
    assert abs(frames.positions).max() > 0


def test_the_plan_counts_every_frame() -> None:
    settings = DynamicsSettings(steps=100, interval=10, temperatures=[300, 600], strains=[0.0, 0.01, -0.01])
    assert settings.plan(2) == {"frames": 12 * 11, "md_steps": 1200, "blocks": 12}
