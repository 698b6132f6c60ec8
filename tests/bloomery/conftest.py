"""Labelled frames for tests: silicon by the Stillinger-Weber potential, an alloy by effective medium theory."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ase.build import bulk

from bloomery import native
from bloomery.descriptors.power_spectrum import descriptor as power_spectrum
from bloomery.frames.configurations import Configurations
from bloomery.reference.calculators import CalculatorSpec

MakeSilicon = Callable[..., Configurations]


def label(frames: Configurations, teacher: str = "stillinger_weber") -> Configurations:
    """Label frames with the energies, forces and stresses of a calculator."""
    calculator = CalculatorSpec(name=teacher).make()
    energies, forces, stresses = [], [], []
    for atoms in frames.to_atoms():
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stresses.append(atoms.get_stress())
    return frames.with_labels(energy=energies, forces=np.concatenate(forces), stress=stresses)


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch do what kernels in C do where there is a compiler, here and in processes that are started."""
    monkeypatch.setenv("BLOOMERY_NATIVE", "0")
    caches = (native.load_kernel, power_spectrum._make_kernel)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture(scope="session")
def make_silicon() -> MakeSilicon:
    """Return a function that makes rattled and strained cells of eight silicon atoms, with labels."""

    def make(n_frames: int, seed: int = 0, rattle: float = 0.1, strain: float = 0.03) -> Configurations:
        random = np.random.default_rng(seed)
        frames = []
        for _ in range(n_frames):
            atoms = bulk("Si", cubic=True)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.uniform(-strain, strain, (3, 3))), scale_atoms=True)
            atoms.positions += random.normal(scale=rattle, size=(8, 3))
            frames.append(atoms)
        return label(Configurations.from_atoms(frames).snapped())

    return make


@pytest.fixture(scope="session")
def silicon(make_silicon: MakeSilicon) -> Configurations:
    """Sixteen labelled frames of eight silicon atoms."""
    return make_silicon(16)


@pytest.fixture(scope="session")
def alloy() -> Configurations:
    """Twelve labelled frames of eight atoms, copper and silver in turn and by chance, of several compositions."""
    random = np.random.default_rng(0)
    frames = []
    for index in range(12):
        atoms = bulk("Cu", cubic=True, a=3.85).repeat((2, 1, 1))
        atoms.numbers = random.permutation(np.where(np.arange(8) < 3 + index % 3, 29, 47))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.1, size=(8, 3))
        frames.append(atoms)
    return label(Configurations.from_atoms(frames).snapped(), "emt")
