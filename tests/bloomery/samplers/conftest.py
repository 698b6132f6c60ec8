"""Structures to start from, and a potential that needs no training."""

import numpy as np
import pytest
from ase.build import bulk

from bloomery.frames.configurations import Configurations
from bloomery.testing.potentials import TeacherCommittee


@pytest.fixture
def silicon() -> Configurations:
    """Two cells of silicon: the ideal crystal, and one rattled."""
    rattled = bulk("Si", cubic=True)
    rattled.positions += np.random.default_rng(5).normal(scale=0.05, size=rattled.positions.shape)
    return Configurations.from_atoms([bulk("Si", cubic=True), rattled]).snapped()


@pytest.fixture
def primitive() -> Configurations:
    """The two-atom cell of silicon."""
    return Configurations.from_atoms([bulk("Si")]).snapped()


@pytest.fixture(scope="session")
def committee() -> TeacherCommittee:
    """Three versions of Stillinger-Weber silicon."""
    return TeacherCommittee(members=3, spread=0.1)
