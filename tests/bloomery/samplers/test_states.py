"""Children are in the state of their parents, whatever a sampler does to them, and have their masses."""

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin
from bloomery.samplers.building.paths import PathSettings, path_between
from bloomery.samplers.defects import Defects
from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.samplers.on_the_fly import OnTheFly
from bloomery.samplers.path_integral import PathIntegral
from bloomery.testing.potentials import TeacherCommittee

KEEPING: dict[str, dict[str, Any]] = {
    "batched_md": {"replicas": 2, "steps": 6, "interval": 3},
    "from_file": {},
    "md": {"steps": 6, "interval": 3, "strains": [0, 0.01]},
    "metadynamics": {
        "variables": {"d": {"define": "DISTANCE ATOMS=1,2", "width": 0.1}}, "steps": 6, "interval": 3, "pace": 2,
    },
    "monte_carlo": {"steps": 6, "interval": 3},
    "normal_modes": {"frames": 2},
    "on_the_fly": {"steps": 6, "interval": 3},
    "path_integral": {"beads": 2, "beads_kept": 2, "steps": 2, "interval": 2},
    "rattle_strain": {"frames": 2},
    "supercells": {"repeats": [[1, 1, 1]], "sizes": []},
    "reference_md": {
        "calculator": {
            "name": "stillinger_weber",
            "state": dict.fromkeys(("charge", "spin", "electronic_temperature", "initial_magmoms"), "info"),
        },
        "steps": 6, "interval": 3,
    },
}  # fmt: skip
"""Samplers whose frames are made of the same atoms, and settings."""


def stated(frames: Configurations) -> Configurations:
    """Frames in two states, with moments and masses that differ from atom to atom."""
    ramp = np.arange(frames.n_atoms) / frames.n_atoms
    return frames.with_states(
        charge=2 * np.arange(len(frames)), spin=3, electronic_temperature=500, initial_magmoms=ramp, masses=28 + ramp
    )


def sampled(name: str, start: Configurations, committee: TeacherCommittee, **settings: Any) -> Configurations:
    sampler = load_plugin("samplers", name).make(**settings)
    try:
        return sampler.sample(start, potential=committee if sampler.needs_potential else None, seed=4)[0]
    except InputError as error:
        if "install" in str(error):
            pytest.skip(str(error))
        if name == "normal_modes" and "needs a potential" in str(error):
            return sampler.sample(start, potential=committee, seed=4)[0]
        raise


@pytest.mark.parametrize("name", KEEPING)
def test_children_are_in_the_state_of_their_parents(
    name: str, silicon: Configurations, committee: TeacherCommittee
) -> None:
    start = stated(silicon)
    found = sampled(name, start, committee, **KEEPING[name])
    assert len(found)
    parents = start[found.info["start"]]
    assert found.state_keys() == parents.state_keys()
    assert {*found.stated} == {*parents.stated}
    np.testing.assert_allclose(found.masses, parents.masses)
    assert not set(found.hashes()) & set(found.without_states().hashes())


@pytest.mark.parametrize("name", ["md", "rattle_strain", "monte_carlo", "supercells"])
def test_supercells_have_as_many_times_the_state(
    name: str, primitive: Configurations, committee: TeacherCommittee
) -> None:
    start = primitive.with_states(charge=1, spin=2, initial_magmoms=[0.5, -0.5], masses=[28.0, 30.0])
    settings = dict(KEEPING[name]) | {"supercell": [2, 1, 1]}
    if name == "supercells":
        settings = {"repeats": [[2, 1, 1]], "sizes": [2]}
    found = sampled(name, start, committee, **settings)
    assert set(found.states["charge"]) == {2.0}
    assert set(found.states["spin"]) == {3.0}
    assert sorted(found[0].states["initial_magmoms"]) == [-0.5, -0.5, 0.5, 0.5]
    assert sorted(found[0].masses) == [28.0, 28.0, 30.0, 30.0]


def test_frames_without_a_state_have_none(silicon: Configurations, committee: TeacherCommittee) -> None:
    for name in ("md", "rattle_strain"):
        assert not sampled(name, silicon, committee, **KEEPING[name]).states


@pytest.mark.parametrize(
    ("name", "settings", "state", "problem"),
    [
        (
            "defects",
            {"frames": 2},
            {"spin": 1},
            "defects: starting structure 0 says spin 1, which",
        ),
        ("surfaces", {}, {"charge": 1}, "surfaces: starting structure 0 says charge 1, which"),
        ("random_search", {}, {"charge": 1}, "random_search: starting structure 0 says charge 1, which"),
        ("random_search", {}, {"initial_magmoms": 1.0}, "random_search: starting structure 0 says initial_magmoms"),
        ("reference_md", {"calculator": "stillinger_weber"}, {"charge": 2}, "frame 0: charge: the calculator"),
        ("normal_modes", {"calculator": "stillinger_weber"}, {"charge": 2}, "frame 0: charge: the calculator"),
    ],
)
def test_states_that_cannot_be_inherited_are_refused(
    name: str, settings: dict[str, Any], state: dict[str, float], problem: str, silicon: Configurations
) -> None:
    with pytest.raises(InputError, match=problem):
        load_plugin("samplers", name).make(**settings).sample(silicon.with_states(**state))


def test_a_cell_with_a_defect_keeps_its_charge_and_moments() -> None:
    rock = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    start = Configurations.from_atoms([rock]).with_states(
        charge=1, initial_magmoms=[1.0, -1.0] * 4, masses=[23.5, 36.9] * 4
    )
    kinds = ["vacancy", "interstitial", "substitution", "swap"]
    made = Defects.make(frames=4, kinds=kinds, substitutions={"Na": ["K"]}, rattle=0.0).sample(start)[0]
    assert set(made.states["charge"]) == {1.0}
    for frame in made:
        for number, moment, mass in ((11, 1.0, 23.5), (17, -1.0, 36.9)):
            own = frame.numbers == number
            assert set(frame.states["initial_magmoms"][own]) <= {moment, 0.0}  # an interstitial has no moment
            assert abs(frame.masses[own] - mass).max() < 1.5
        potassium = frame.numbers == 19
        assert set(frame.states["initial_magmoms"][potassium]) <= {1.0}
        np.testing.assert_allclose(frame.masses[potassium], 39.0983)


def test_swaps_take_moments_along(committee: TeacherCommittee) -> None:
    """A moment of its own for each element tells which atom is which."""
    rock = bulk("SiC", "zincblende", a=4.4, cubic=True)
    moments = np.where(rock.numbers == 14, 1.0, -1.0)
    start = Configurations.from_atoms([rock]).with_states(initial_magmoms=moments, masses=28.0 + moments)

    class Flat(TeacherCommittee):
        """Lets every move pass."""

        def predict(self, configurations: Configurations, *, stress: bool = True) -> Any:
            silicon = Configurations.from_atoms([bulk("Si")] * len(configurations))
            return super().predict(silicon, stress=stress)

        def unknown_element(self, configurations: Configurations) -> str:
            return ""

    sampler = load_plugin("samplers", "monte_carlo").make(steps=20, interval=5, swaps=1.0, max_disagreement=None)
    found = sampler.sample(start, potential=Flat(members=2, spread=0.0), seed=1)[0]
    assert any(not np.array_equal(frame.numbers, rock.numbers) for frame in found)
    for frame in found:
        np.testing.assert_array_equal(frame.states["initial_magmoms"], np.where(frame.numbers == 14, 1.0, -1.0))
        np.testing.assert_array_equal(frame.masses, 28.0 + frame.states["initial_magmoms"])


def test_masses_decide_how_atoms_move(silicon: Configurations) -> None:
    """Four times the mass: half the velocities at one temperature, and half the acceleration of a quarter."""
    four = silicon[[0, 0]].with_states(masses=np.repeat([28.085, 4 * 28.085], 8))
    start = Beginning(four, [300.0, 300.0], [7, 7], 1.0)
    dynamics = Langevin(start, friction=0.01)
    first, second = np.split(dynamics.velocities, 2)
    np.testing.assert_allclose(second, first / 2, atol=1e-12)
    np.testing.assert_allclose(*dynamics.temperatures)


def test_the_time_step_may_be_as_long_as_masses_allow(committee: TeacherCommittee, primitive: Configurations) -> None:
    light = primitive.with_states(masses=1.0)
    with pytest.raises(InputError, match="is too long for Si; take at most"):
        sampled("md", light, committee, timestep_fs=2.0)
    sampled("md", primitive, committee, timestep_fs=2.0, steps=2, interval=1)


def test_trajectories_do_not_go_on_in_another_state(primitive: Configurations, committee: TeacherCommittee) -> None:
    sampler = OnTheFly.make(steps=8, interval=4, steps_per_run=4)
    _, report = sampler.sample(primitive.with_states(charge=1), potential=committee)
    assert report.left is not None
    same, _ = sampler.sample(primitive.with_states(charge=1), potential=committee, continued=report.left)
    other, _ = sampler.sample(primitive, potential=committee, continued=report.left)
    assert set(same.info["continued"]) == {0}
    assert set(other.info["continued"]) == {-1}
    assert set(same.states["charge"]) == {1.0}
    assert not other.states


def test_a_path_is_in_one_state() -> None:
    first, last = bulk("Si"), bulk("Si")
    last.info["charge"] = 1
    with pytest.raises(InputError, match="is not in the state"):
        path_between(first, last, PathSettings(), None)


def test_path_integrals_have_the_masses_of_their_atoms(primitive: Configurations, committee: TeacherCommittee) -> None:
    """Heavy beads spread less: their rings are stiffer by the mass."""
    pytest.importorskip("ipi")
    spreads = []
    for mass in (4.0, 4000.0):
        sampler = PathIntegral.make(beads=8, beads_kept=8, steps=20, interval=10, temperatures=[100], timestep_fs=0.5)
        found, _ = sampler.sample(primitive.with_states(masses=mass), potential=committee, seed=2)
        last = found.positions.reshape(-1, 8, 2, 3)[-1]
        spreads.append(float((last - last.mean(axis=0)).std()))
    assert spreads[1] < 0.3 * spreads[0]
