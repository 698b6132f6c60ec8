"""Frames of the fixed set that the silicon example is measured on, before they are labelled.

``python benchmarks/silicon_test_set.py FRAMES.extxyz`` writes 24 cells from Stillinger-Weber dynamics at 600, 1200,
1800 and 2400 K and three strains, two from each run of 2.8 ps. ``examples/silicon/test.extxyz`` holds them with labels
by ``QuantumEspressoLabellingWorkChain``, cutoffs, mesh and smearing as in the example.
"""

from __future__ import annotations

import sys

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from bloomery.reference.calculators import CalculatorSpec

MELTING = 1500.0
"""K. Above, velocities begin at twice the temperature, half of which goes into the potential energy."""


def frames() -> list[Atoms]:
    """Run the dynamics: the same frames every time."""
    calculator = CalculatorSpec(name="stillinger_weber").make()
    found = []
    for temperature in (600, 1200, 1800, 2400):
        for strain in (-0.03, 0.0, 0.03):
            atoms = bulk("Si", cubic=True)
            atoms.set_cell(atoms.cell * (1 + strain), scale_atoms=True)
            atoms.calc = calculator
            random = np.random.default_rng(int(temperature + 1000 * strain))
            begin = temperature if temperature < MELTING else 2 * temperature
            MaxwellBoltzmannDistribution(atoms, temperature_K=begin, rng=random)
            dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature, friction=0.02, rng=random)
            for _ in range(2):
                dynamics.run(700)
                found.append(Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True))
    return found


if __name__ == "__main__":
    write(sys.argv[1], frames(), format="extxyz")
