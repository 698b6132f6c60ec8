"""Metropolis Monte Carlo, against what can be solved."""

from itertools import combinations
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from scipy.stats import chisquare

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.samplers.monte_carlo import MonteCarlo
from bloomery.testing.potentials import TeacherCommittee


class Wells(Potential):
    """Every atom in a harmonic well of 1 eV/Å^2 on its site of a chain, where copper and silver have other energies."""

    engine = "wells"
    dtype = "float64"
    cutoff = 0.0
    elements = ["Cu", "Ag"]  # noqa: RUF012
    members = 2
    site_energies = np.array([0.0, 0.02, 0.05, 0.09])

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        counts, n = configurations.counts, configurations.counts[0]
        away = configurations.positions - np.tile(sites(n), (len(counts), 1))
        energy = 0.5 * (away**2).sum(axis=1) + np.where(
            configurations.numbers == 47, np.resize(self.site_energies, n * len(counts)), 0.0
        )
        energies = np.add.reduceat(energy, configurations.offsets[:-1])
        spread = np.array([1.0, -1.0])[:, None, None] * 0.01
        return Prediction(counts, np.tile(energies, (2, 1)), -away[None] + spread, None)

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError


def sites(n: int) -> np.ndarray:
    return np.array([[4.0 * index, 0.0, 0.0] for index in range(n)])


def chain(symbols: str) -> Configurations:
    atoms = ase.Atoms(symbols)
    atoms.positions = sites(len(atoms))
    return Configurations.from_atoms([atoms])


def run(symbols: str, chains: int = 1, **settings: Any) -> tuple[Configurations, Any]:
    start = Configurations.concatenate([chain(symbols)] * chains)
    sampler = MonteCarlo.make(max_disagreement=None, min_relative_distance=0.0, **settings)
    return sampler.sample(start, potential=Wells(), seed=3)


def test_swaps_visit_orderings_by_their_boltzmann_weights() -> None:
    """Two silver atoms on four sites: six orderings, of energies that add up."""
    frames, report = run("Cu2Ag2", chains=6, swaps=1.0, temperatures=[600], steps=400, interval=10, equilibration=40)
    silver = frames.numbers.reshape(-1, 4) == 47
    pairs = list(combinations(range(4), 2))
    found = [int((silver[:, first] & silver[:, second]).sum()) for first, second in pairs]
    energies = np.array([Wells.site_energies[list(pair)].sum() for pair in pairs])
    weights = np.exp(-energies / (units.kB * 600))
    # Ten moves apart, orderings are independent; a right sampler fails this in one of ten thousand seeds.
    assert chisquare(found, len(frames) * weights / weights.sum()).pvalue > 1e-4
    assert 0.1 < report.numbers["swaps_accepted"] < 0.9


def test_displacements_hold_half_a_kt_in_each_direction() -> None:
    frames, report = run(
        "Cu4", chains=10, temperatures=[300], steps=500, interval=25, equilibration=125, displacement=0.1, moved=4
    )
    away = frames.positions - np.tile(sites(4), (len(frames), 1))
    # 1920 squares, 25 moves of all atoms apart: their mean is known to about 5 %.
    assert (0.5 * away**2).mean() == pytest.approx(units.kB * 300 / 2, rel=0.16)
    assert "swaps_accepted" not in report.numbers


def test_several_atoms_move_at_a_time() -> None:
    frames, _ = run("Cu4", steps=1, interval=1, moved=3, temperatures=[1e6])
    assert (np.abs(frames.positions - sites(4)).max(axis=1) > 0).sum() == 3


def test_a_chain_stops_where_the_committee_disagrees(silicon: Configurations, committee: TeacherCommittee) -> None:
    sampler = MonteCarlo.make(temperatures=[3000], steps=200, displacement=0.2, max_disagreement=0.05)
    frames, report = sampler.sample(silicon, potential=committee)
    assert report.numbers["stopped"] == 2
    assert (frames.info["disagreement"] > 0.05).all()
    assert "disagreement of" in frames.info["stop_reason"][0]
    assert frames.info["step"].max() < 200


@pytest.mark.slow
def test_no_move_brings_atoms_too_close(silicon: Configurations, committee: TeacherCommittee) -> None:
    settings = {"temperatures": [20000], "steps": 30, "interval": 5, "displacement": 0.3, "max_disagreement": None}
    frames, _ = MonteCarlo.make(**settings, min_distance=2.0).sample(silicon, potential=committee)
    for atoms in frames.to_atoms():
        assert atoms.get_all_distances(mic=True)[np.triu_indices(8, 1)].min() >= 2.0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperatures": [-5]}, "monte_carlo.temperatures"),
        ({"steps": 10, "interval": 50}, "no frame would be kept"),
        ({"swaps": 1.5}, "monte_carlo.swaps"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        MonteCarlo.make(**settings)


def test_what_cannot_be_sampled_is_refused(silicon: Configurations, committee: TeacherCommittee) -> None:
    with pytest.raises(InputError, match="starting structure 0 holds one element alone"):
        MonteCarlo.make(swaps=1).sample(silicon, potential=committee)
    with pytest.raises(InputError, match="monte_carlo: needs a potential"):
        MonteCarlo.make().sample(silicon)
    with pytest.raises(InputError, match="monte_carlo: frame 0 holds Ge"):
        MonteCarlo.make().sample(Configurations.from_atoms([bulk("Ge")]), potential=committee)
