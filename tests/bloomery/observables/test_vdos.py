"""Vibrational densities of states, against harmonic crystals whose frequencies are known."""

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk

from bloomery.errors import DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.motion import unwrapped
from bloomery.observables.vdos import Vdos
from bloomery.testing.potentials import CalculatorTeacher, TeacherCommittee

THZ = 1000 * units.fs / (2 * np.pi)
"""From the square root of (eV/Å^2/u) to THz."""


def window(distance: np.ndarray, length: float) -> np.ndarray:
    """What a Hann window of ``length`` fs on each side makes of a single frequency, ``distance`` THz away."""
    t = np.arange(0, length + 0.5, 1.0)
    weight = 0.5 * (1 + np.cos(np.pi * t / length)) * np.where(t == 0, 0.5, 1)
    return np.cos(2e-3 * np.pi * np.multiply.outer(distance, t)) @ weight


def normal_modes(potential: CalculatorTeacher, atoms: ase.Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in THz and mass-weighted modes, columns, without translations."""
    frames = []
    for coordinate in range(3 * len(atoms)):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[coordinate // 3, coordinate % 3] += sign * 0.001
            frames.append(moved)
    forces = potential.predict(Configurations.from_atoms(frames)).force.reshape(len(frames), -1)
    hessian = -(forces[::2] - forces[1::2]) / 0.002
    masses = np.repeat(atoms.get_masses(), 3)
    squares, modes = np.linalg.eigh((hessian + hessian.T) / 2 / np.sqrt(np.outer(masses, masses)))
    return np.sqrt(squares[3:]) * THZ, modes[:, 3:]


def test_one_oscillator_is_one_line() -> None:
    # Two atoms that swing against each other at 20 THz, one frame every 4 fs: there central differences lose 8 %.
    times, nu = np.arange(4000) * 4.0, 20.0
    positions = np.zeros((4000, 2, 3))
    positions[:, 0, 0] = 0.05 * np.cos(2e-3 * np.pi * nu * times)
    positions[:, 1, 0] = 1 - positions[:, 0, 0]
    frames = Configurations.from_atoms([ase.Atoms("H2", positions=places) for places in positions]).with_info(
        time=times
    )
    observation = Vdos.make(window_fs=2000).observe(None, frames)
    x, found = observation.arrays["H__trajectory_x"], observation.arrays["H__trajectory"]
    expected = window(x - nu, 2000) + window(x + nu, 2000)
    expected /= expected.sum() * 0.1
    # The window is known; what is left is that a trajectory is not infinitely long.
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())
    assert observation.summary["trajectory"]["H:mean_frequency"]["value"] == pytest.approx(20, abs=0.05)
    assert observation.units["H__trajectory"] == "1/THz"


def test_masses_are_those_of_the_frames() -> None:
    """Of two pairs the heavier counts for more; frames that change their masses are no trajectory."""
    times = 2.0 * np.arange(2000)
    places = np.zeros((2000, 4, 3))
    for pair, nu in ((0, 40), (2, 10)):
        swing = 0.1 * np.cos(2e-3 * np.pi * nu * times) / nu  # of equal velocities
        places[:, pair, 0], places[:, pair + 1, 0] = 6 * pair - swing, 6 * pair + 3 + swing
    frames = Configurations.from_atoms([ase.Atoms("H2O2", positions=each) for each in places]).with_info(time=times)
    heavy = frames.with_states(masses=np.tile([3.0, 3.0, 1.0, 1.0], 2000))
    mean = Vdos.make(blocks=2, window_fs=1000).observe(None, heavy).summary["trajectory"]["all:mean_frequency"]
    assert mean["value"] == pytest.approx(0.75 * 40 + 0.25 * 10, abs=0.3)
    mixed = frames.with_states(masses=3.0, stated={"masses": np.arange(2000) < 1000})
    with pytest.raises(InputError, match="do not give their atoms the same masses"):
        Vdos.make(blocks=3, window_fs=100).observe(None, mixed)


def harmonic_trajectory(frequencies: np.ndarray, modes: np.ndarray, atoms: ase.Atoms, steps: int, seed: int):
    """Every mode with the same energy and a random phase: exact, no integrator."""
    generator = np.random.default_rng(seed)
    times = 2.0 * np.arange(steps)
    phases = generator.uniform(0, 2 * np.pi, len(frequencies))
    amplitudes = 0.05 / frequencies
    swing = amplitudes * np.cos(2e-3 * np.pi * np.outer(times, frequencies) + phases)
    places = atoms.positions + (swing @ modes.T / np.sqrt(np.repeat(atoms.get_masses(), 3))).reshape(steps, -1, 3)
    frames = [ase.Atoms(atoms.numbers, positions=each, cell=atoms.cell, pbc=True) for each in places]
    return Configurations.from_atoms(frames).with_info(time=times)


@pytest.mark.slow
def test_a_harmonic_crystal_has_its_modes(silicon_teacher: CalculatorTeacher) -> None:
    atoms = bulk("Si", a=5.43095, cubic=True)
    frequencies, modes = normal_modes(silicon_teacher, atoms)
    assert len(frequencies) == 21
    frames = harmonic_trajectory(frequencies, modes, atoms, 20_000, seed=0)
    observation = Vdos.make(window_fs=1000).observe(None, frames)
    x, found = observation.arrays["Si__trajectory_x"], observation.arrays["Si__trajectory"]
    expected = sum(window(x - nu, 1000) + window(x + nu, 1000) for nu in frequencies)
    expected /= expected.sum() * 0.1
    # Equal energies are equal areas. Products of different modes average out as 1 / (time x difference in frequency):
    # degenerate modes do not, which is why the overlap is not 100 %; 40 ps of 21 modes leave about 2 %.
    assert 100 * (1 - np.abs(found - expected).sum() / (np.abs(found) + np.abs(expected)).sum()) > 95
    # Area below each group of modes counts them: 18 modes above 4 THz or so.
    split = 0.5 * (np.sort(frequencies)[6] + np.sort(frequencies)[5])
    assert found[x < split].sum() * 0.1 == pytest.approx((frequencies < split).mean(), abs=0.03)


def test_an_alloy_has_a_spectrum_per_element_and_one_of_all() -> None:
    # Two independent pairs: H at 40 THz, O at 10 THz, equal kinetic energies.
    times = 2.0 * np.arange(3000)
    h, o = np.cos(0.08 * np.pi * times) / 40, 4 * np.cos(0.02 * np.pi * times) / 40 / 4
    places = np.zeros((3000, 4, 3))
    places[:, 0, 0], places[:, 1, 0] = 0.1 * h, 3 - 0.1 * h
    places[:, 2, 1], places[:, 3, 1] = 5 + 0.1 * o, 8 - 0.1 * o
    frames = Configurations.from_atoms([ase.Atoms("H2O2", positions=each) for each in places]).with_info(time=times)
    observation = Vdos.make(blocks=2, window_fs=1500).observe(None, frames)
    mean = {name: observation.summary["trajectory"][f"{name}:mean_frequency"]["value"] for name in ("H", "O", "all")}
    assert mean["H"] == pytest.approx(40, abs=0.1)
    assert mean["O"] == pytest.approx(10, abs=0.1)
    # v ~ frequency x amplitude: 1 for H (mass 1.008), 1/4 for O (15.999).
    share = 1.008 / (1.008 + 15.999 / 16)
    assert mean["all"] == pytest.approx(40 * share + 10 * (1 - share), abs=0.2)


@pytest.mark.slow
def test_a_potential_vibrates_at_its_own_frequencies(silicon_teacher: CalculatorTeacher) -> None:
    atoms = bulk("Si", a=5.43095, cubic=True)
    frequencies, _ = normal_modes(silicon_teacher, atoms)
    dynamics = {"temperature": 5, "steps": 2500, "equilibration": 200, "friction": 0.02, "timestep_fs": 3.0}
    observable = Vdos.make(dynamics=dynamics, blocks=2, window_fs=2000, max_frequency=25)
    observation = observable.observe(silicon_teacher, Configurations.from_atoms([atoms]), seed=1)
    x, found = observation.arrays["Si__trajectory_x"], observation.arrays["Si__trajectory"]
    near = np.abs(x[:, None] - frequencies).min(axis=1) < 1.0
    # A step of 3 fs is 5 % of the shortest period; a Hann window of 2 ps is 1 THz wide at its foot.
    assert found[near].sum() * 0.1 == pytest.approx(1, abs=0.03)
    assert near.mean() < 0.5  # so that this says something


def test_time_is_taken_from_where_it_is_known() -> None:
    times = 2.0 * np.arange(1500)
    places = np.zeros((1500, 2, 3))
    places[:, 0, 0] = 0.1 * np.cos(0.04 * np.pi * times)
    places[:, 1, 0] = 3 - places[:, 0, 0]
    frames = Configurations.from_atoms([ase.Atoms("H2", positions=each) for each in places])
    for timed, settings in (
        (frames.with_info(time=times, step=np.arange(1500)), {}),
        (frames.with_info(step=4 * np.arange(1500)), {"timestep_fs": 0.5}),
        (frames, {"timestep_fs": 2.0}),
    ):
        found = Vdos.make(blocks=2, **settings).observe(None, timed).summary["trajectory"]["H:mean_frequency"]
        assert found["value"] == pytest.approx(20, abs=0.1)
    gap = frames[np.r_[0:700, 701:1500]].with_info(time=np.delete(times, 700))
    with pytest.raises(InputError, match=r"vdos: frame 700 does not follow at the interval .* \(2 fs\)"):
        Vdos.make(blocks=2).observe(None, gap)
    with pytest.raises(InputError, match="window_fs: is longer than a block of the trajectory, 296 fs"):
        Vdos.make(blocks=10, window_fs=400, timestep_fs=2).observe(None, frames)
    other = Configurations.from_atoms([ase.Atoms("HHe", positions=places[0])])
    with pytest.raises(InputError, match="do not hold the same atoms"):
        Vdos.make(blocks=2).observe(None, Configurations.concatenate([frames[:20], other, frames[:20]]))


def test_jumps_over_the_boundary_are_undone() -> None:
    generator = np.random.default_rng(0)
    path = np.cumsum(generator.normal(0, 0.3, (200, 5, 3)), axis=0)
    cell = np.array([[6.0, 0, 0], [1.0, 5.0, 0], [0, -2.0, 7.0]])
    atoms = [ase.Atoms("H5", positions=places, cell=cell, pbc=(True, True, False)) for places in path]
    for frame in atoms:
        frame.wrap()
    frames = Configurations.from_atoms(atoms)
    found = unwrapped(frames.positions.reshape(200, 5, 3), frames.cells, frames.pbc[0])
    np.testing.assert_allclose(found - found[0], path - path[0], atol=1e-9)


def test_dynamics_that_breaks_apart_is_reported() -> None:
    hot = {"temperature": 3000, "timestep_fs": 25, "steps": 200, "equilibration": 0}
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    with pytest.raises(DivergedError, match=r"trajectory 0 broke apart [0-9.]+ fs after the thermostat was taken off"):
        Vdos.make(dynamics=hot).observe(TeacherCommittee(), start)
    with pytest.raises(InputError, match=r"vdos\.dynamics: needs a potential"):
        Vdos.make(dynamics={}).observe(None, start)
