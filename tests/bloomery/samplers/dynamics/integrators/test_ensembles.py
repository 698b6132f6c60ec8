"""Integrators sample the ensembles that they are for, and are those of ASE where ASE has them.

Tests of distributions draw from fixed seeds; with others each would fail once in 10^4 runs (`FALSE_ALARM`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.harmonic import SpringCalculator
from ase.constraints import FixCom
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet as AseVerlet
from numpy.typing import NDArray
from scipy import stats

from bloomery.frames.configurations import Configurations
from bloomery.samplers.dynamics.integrators.cell_rescaling import CellRescaling
from bloomery.samplers.dynamics.integrators.contract import Beginning, Integrator
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.samplers.dynamics.integrators.nose_hoover import NoseHooverChain
from bloomery.samplers.dynamics.integrators.velocity_rescaling import VelocityRescaling
from bloomery.samplers.dynamics.integrators.verlet import VelocityVerlet

FALSE_ALARM = 1e-4
STIFFNESS = np.array([3.0, 5.0, 8.0])  # eV/Å^2, another in each direction
CRYSTAL = bulk("Si", cubic=True)

THERMOSTATS: dict[str, Callable[..., Integrator]] = {
    "langevin": partial(Langevin, friction=0.03),
    "nose_hoover": partial(NoseHooverChain, relaxation=30.0),
    "velocity_rescaling": partial(VelocityRescaling, relaxation=30.0),
}


def copies(atoms: Atoms, n: int) -> Configurations:
    """The same frame so many times."""
    return Configurations.from_atoms([atoms] * n, info_keys=[])


def springs(dynamics: Integrator) -> NDArray[np.float64]:
    """Force on atoms that are bound to their places in the crystal."""
    places = np.tile(CRYSTAL.positions, (len(dynamics.frames), 1))
    return -STIFFNESS * (dynamics.positions - places)


def run(dynamics: Integrator, forces: Callable[[Integrator], NDArray[np.float64]], steps: int) -> None:
    """Advance."""
    now = forces(dynamics)
    for _ in range(steps):
        dynamics.move(now)
        now = forces(dynamics)
        dynamics.settle(now)


def soft_spheres(dynamics: Integrator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies and forces of springs and Gaussian repulsion between all atoms: smooth, and not harmonic."""
    n = len(dynamics.frames)
    positions = dynamics.positions.reshape(n, 8, 3)
    away = positions - CRYSTAL.positions
    vectors = positions[:, :, None] - positions[:, None]
    pairs = 5.0 * np.exp(-((vectors**2).sum(axis=-1)) / 2)
    energies = 0.5 * (STIFFNESS * away**2).sum(axis=(1, 2)) + 0.5 * (pairs.sum(axis=(1, 2)) - 8 * 5.0)
    forces = -STIFFNESS * away + (pairs[..., None] * vectors).sum(axis=2)
    return energies, forces.reshape(-1, 3)


def warmed(name: str, n: int, fixed: NDArray[np.bool_] | None = None) -> Integrator:
    """Trajectories of a thermostat at 500 K, from frames that Langevin dynamics has brought to 350 K."""
    frames, seeds = copies(CRYSTAL, n), list(range(n))
    warm = Langevin(Beginning(frames, [350.0] * n, seeds, timestep=2.0, fixed=fixed), friction=0.03)
    run(warm, lambda dynamics: soft_spheres(dynamics)[1], 120)
    dynamics = THERMOSTATS[name](
        Beginning(warm.frames, [500.0] * n, [n + seed for seed in seeds], timestep=2.0, fixed=fixed)
    )
    dynamics.velocities = warm.velocities
    return dynamics


@pytest.mark.slow
@pytest.mark.parametrize("name", THERMOSTATS)
def test_kinetic_energies_have_the_canonical_distribution(name: str) -> None:
    n = 150
    dynamics = warmed(name, n)
    kinetic, virial = [], []
    for _ in range(4):
        run(dynamics, lambda dynamics: soft_spheres(dynamics)[1], 120)
        kinetic.append(2 * dynamics.kinetic_energies / (units.kB * 500))
        positions = dynamics.positions.reshape(n, 8, 3)
        from_centre = (positions - positions.mean(axis=1, keepdims=True)).reshape(-1, 3)
        virial.append(-dynamics.sums(from_centre * soft_spheres(dynamics)[1]).sum(axis=1) / (units.kB * 500))
    # 24 degrees of freedom, three of them held: 2 K / kT follows chi-squared with 21.
    counts = np.histogram(stats.chi2.cdf(np.concatenate(kinetic[1:]), 21), bins=np.linspace(0, 1, 11))[0]
    assert stats.chisquare(counts).pvalue > FALSE_ALARM
    # Equipartition: <x dU/dx> = kT for each of them.
    assert stats.ttest_1samp(np.mean(virial[1:], axis=0), 21).pvalue > FALSE_ALARM


def ase_springs(atoms: Atoms) -> Any:
    """ASE's springs, of one stiffness."""
    return SpringCalculator(atoms.positions.copy(), 5.0)


def ase_dynamics(name: str, atoms: Atoms, seed: int) -> Any:
    """ASE's integrator of the same name, in step with ours."""
    if name == "verlet":
        return AseVerlet(atoms, 2.0 * units.fs)
    if name == "nose_hoover":
        return NoseHooverChainNVT(atoms, 2.0 * units.fs, temperature_K=400, tdamp=30 * units.fs)
    generator = np.random.default_rng(seed)
    generator.normal(size=(len(atoms), 3))  # our first velocities
    return Bussi(atoms, 2.0 * units.fs, temperature_K=400, taut=30 * units.fs, rng=generator)


@pytest.mark.parametrize("name", ["verlet", "velocity_rescaling", "nose_hoover"])
def test_trajectories_are_those_of_ase(name: str) -> None:
    # One atom for the chains: for more, ASE counts the three degrees of freedom of the centre of mass.
    atoms = Atoms("Si", positions=[[0.1, 0.2, 0.3]]) if name == "nose_hoover" else CRYSTAL.copy()
    calculator = ase_springs(atoms)
    frames = Configurations.from_atoms([atoms], info_keys=[])
    make = VelocityVerlet if name == "verlet" else THERMOSTATS[name]
    dynamics = make(Beginning(frames, [400.0], [7], timestep=2.0))
    atoms.set_velocities(dynamics.velocities)
    if len(atoms) > 1:
        atoms.set_constraint(FixCom())
    atoms.calc = calculator
    # Not for long: springs of one stiffness stand still together, where scaling velocities amplifies rounding.
    ase_dynamics(name, atoms, 7).run(20)

    def forces(dynamics: Integrator) -> NDArray[np.float64]:
        return -5.0 * (dynamics.positions - calculator.ideal_positions)

    run(dynamics, forces, 20)
    np.testing.assert_allclose(dynamics.positions, atoms.positions, atol=1e-10)
    np.testing.assert_allclose(dynamics.velocities, atoms.get_velocities(), atol=1e-10)


def test_energy_does_not_drift() -> None:
    n, steps = 10, 2000
    dynamics = VelocityVerlet(Beginning(copies(CRYSTAL, n), [600.0] * n, list(range(n)), timestep=1.0))
    total = []
    energies, forces = soft_spheres(dynamics)
    for _ in range(steps):
        dynamics.move(forces)
        energies, forces = soft_spheres(dynamics)
        dynamics.settle(forces)
        total.append((energies + dynamics.kinetic_energies) / 8)
    drift = np.polynomial.polynomial.polyfit(np.arange(steps) / 1000, np.array(total), 1)[1]
    assert abs(drift).max() < 1e-5  # eV per atom and ps
    assert np.std(total, axis=0).max() > 0, "the energy fluctuates with the time step"


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["isotropic", "cell"])
def test_the_volume_of_an_ideal_gas_fluctuates_as_it_must(shape: Any) -> None:
    n, pressure, temperature = 200, 1.0, 300.0
    mean = 8 * units.kB * temperature / (pressure * units.GPa)
    gas = Atoms("Ar8", positions=np.random.default_rng(0).random((8, 3)), cell=[mean ** (1 / 3)] * 3, pbc=True)
    dynamics = VelocityRescaling(
        Beginning(copies(gas, n), [temperature] * n, list(range(n)), timestep=1.0), relaxation=20.0
    )
    barostat = CellRescaling(shape, timestep=1.0, relaxation=100.0, compressibility=1 / pressure)
    nothing, targets = np.zeros((8 * n, 3)), np.full(n, pressure)
    for _ in range(600):
        inner = barostat.pressure(dynamics, np.zeros((n, 6)))
        dynamics.move(nothing)
        barostat.rescale(dynamics, inner, targets)
        dynamics.settle(nothing)
    # With the centre of mass held p(V) is V^(N - 1) exp(-PV/kT): the Gamma distribution of shape N.
    expected = stats.gamma(8, scale=mean / 8)
    assert stats.kstest(dynamics.frames.volumes, expected.cdf).pvalue > FALSE_ALARM
    counts = np.histogram(stats.chi2.cdf(2 * dynamics.kinetic_energies / (units.kB * 300), 21), bins=8, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_a_cell_under_tension_shears_only_where_it_is_told() -> None:
    # No temperature, no noise: the surplus of pressure alone, along one diagonal.
    frames = copies(Atoms("Ar", cell=[4.0] * 3, pbc=True), 1)
    dynamics = VelocityVerlet(Beginning(frames, [1e-12], [0], timestep=1.0))
    barostat = CellRescaling("cell", timestep=1.0, relaxation=10.0, compressibility=0.3)
    stress = np.array([[0, 0, 0, -0.01, 0, 0]])  # a negative stress pushes outwards, along yz
    barostat.rescale(dynamics, barostat.pressure(dynamics, stress), np.zeros(1))
    strain = dynamics.frames.cells[0] / 4 - np.eye(3)
    expected = 0.3 / units.GPa / 10 / 3 * 0.01
    assert strain[1, 2] == pytest.approx(expected, rel=1e-3)
    assert strain[2, 1] == pytest.approx(strain[1, 2])
    assert abs(strain[0, 1]) + abs(strain[0, 2]) < 1e-6


@pytest.mark.slow
def test_fixed_atoms_stay_and_the_others_are_as_hot_as_they_should_be() -> None:
    n = 120
    fixed = np.tile(np.arange(8) < 3, n)
    for name in THERMOSTATS:
        dynamics = warmed(name, n, fixed)
        run(dynamics, lambda dynamics: soft_spheres(dynamics)[1], 200)
        np.testing.assert_array_equal(dynamics.positions[fixed], np.tile(CRYSTAL.positions[:3], (n, 1)))
        # Five atoms move, and nothing holds their centre of mass: 15 degrees of freedom.
        readings = 2 * dynamics.kinetic_energies / (units.kB * 500)
        assert stats.kstest(readings, stats.chi2(15).cdf).pvalue > FALSE_ALARM, name


def test_state_and_restore_change_nothing() -> None:
    for make in (*THERMOSTATS.values(), VelocityVerlet):
        dynamics, other = (
            make(Beginning(copies(CRYSTAL, 2), [300.0, 600.0], seeds, timestep=1.0)) for seeds in ([1, 2], [3, 4])
        )
        run(dynamics, springs, 5)
        other.restore(dynamics.state())
        run(dynamics, springs, 5)
        # The first run has moved on, and its arrays with it: nothing of it may be shared.
        run(other, springs, 5)
        np.testing.assert_array_equal(other.positions, dynamics.positions)
        np.testing.assert_array_equal(other.velocities, dynamics.velocities)


def test_single_trajectories_are_those_among_others() -> None:
    for make in (*THERMOSTATS.values(), VelocityVerlet):
        together = make(Beginning(copies(CRYSTAL, 3), [300.0, 600.0, 900.0], [1, 2, 3], timestep=1.0))
        alone = make(Beginning(copies(CRYSTAL, 1), [600.0], [2], timestep=1.0))
        run(together, springs, 5)
        together.keep(np.array([False, True, True]))
        run(together, springs, 5)
        run(alone, springs, 10)
        np.testing.assert_allclose(together.positions[:8], alone.positions, atol=1e-12)
