"""A committee that n2p2 can express, and a box of water to try it on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.engines.hdnnp.model import Form, Ranges, Scaling, initial_parameters
from bloomery.engines.hdnnp.network_potential import descriptor_spec
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import Repulsion
from bloomery.frames.configurations import Configurations

ELEMENTS = ["O", "H"]
MakePotential = Callable[..., HdnnpPotential]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published data, which is not part of the project."""
    for parent in Path(__file__).resolve().parents:
        folder = parent.parent / "shared" / "data"
        if (folder / "n2p2").is_dir():
            return folder
    pytest.skip("the published data (../shared/data) are not there")


@pytest.fixture(scope="session")
def water() -> Configurations:
    """Four molecules in a small periodic box, whose edges are shorter than twice the cutoff."""
    random = np.random.default_rng(0)
    box = Atoms(pbc=True, cell=[[5.9, 0, 0], [0.4, 6.0, 0], [0, -0.3, 6.3]])
    for place in ([0.5, 0.5, 1], [3.5, 3.2, 1], [0.4, 3.3, 4], [3.3, 0.5, 4.2]):
        one = molecule("H2O")
        one.rotate(random.uniform(0, 360), random.normal(size=3))
        one.translate(place)
        box += one
    return Configurations.from_atoms([box])


@pytest.fixture(scope="session")
def make_potential(water: Configurations) -> MakePotential:
    """Return a function that makes a committee of random weights on given symmetry functions."""

    def make(
        activations: tuple[str, ...] = ("tanh", "tanh"),
        form: Form | None = None,
        skip: bool = False,
        repulsion: Repulsion | None = None,
        **settings: Any,
    ) -> HdnnpPotential:
        settings = {"cutoff": 4.0, "rules": {"radial": 3, "angular_radial": 2, "zetas": [1, 4]}, **settings}
        descriptor = Acsf.make(**settings)
        values = descriptor.features(water, ELEMENTS).values.numpy()
        parts = [values[water.numbers == number] for number in (8, 1)]
        mean, deviation = (np.stack([function(part, axis=0) for part in parts]) for function in (np.mean, np.std))
        ranges = Ranges(
            np.stack([p.min(axis=0) for p in parts]), np.stack([p.max(axis=0) for p in parts]), mean, deviation
        )
        return HdnnpPotential(
            parameters=initial_parameters(2, values.shape[1], (6, 5), seeds=[1, 2, 3], skip=skip),
            scaling=Scaling(
                mean=0.9 * mean,
                scale=np.maximum(deviation, 1e-2),
                isolated=np.zeros_like(mean),
                magnitude=np.ones_like(mean),
                offset=np.array([-3.0, -4.0]),
                energy=0.3,
            ),
            ranges=ranges,
            repulsion=repulsion,
            form=form or Form(activations, switch=False),
            descriptor=descriptor_spec(descriptor),
            elements=ELEMENTS,
            energy_reference={"O": -430.0, "H": -13.0},
        )

    return make
