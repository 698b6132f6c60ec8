"""The conformance suites find the mistakes that they are there to find."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from bloomery.engines.ase_potential import CalculatorPotential
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.labellers.contract import LedgerEntry
from bloomery.observables.contract import Observable, Observation, number
from bloomery.samplers.contract import SamplerReport
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.selectors.contract import Picks, Pool
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.selectors.random import Random
from bloomery.testing.labellers import check_labeller
from bloomery.testing.limits import check_crossing, check_limits, check_parting
from bloomery.testing.observables import check_observable
from bloomery.testing.potentials import TeacherCommittee
from bloomery.testing.samplers import check_sampler
from bloomery.testing.selectors import check_selector


def two_cells() -> Configurations:
    """Two structures."""
    return Configurations.from_atoms([bulk("Si"), bulk("Si", a=5.5)])


def unseeded(frames: Configurations, report: SamplerReport) -> tuple[Configurations, SamplerReport]:
    noise = np.random.default_rng().normal(size=frames.positions.shape)
    return replace(frames, positions=frames.positions + noise), report


def nameless(frames: Configurations, report: SamplerReport) -> tuple[Configurations, SamplerReport]:
    return frames.without_info("block"), report


def too_many(frames: Configurations, report: SamplerReport) -> tuple[Configurations, SamplerReport]:
    return Configurations.concatenate([frames, frames]), report


def one_block(frames: Configurations, report: SamplerReport) -> tuple[Configurations, SamplerReport]:
    return frames.with_info(block=0), report


def not_json(frames: Configurations, report: SamplerReport) -> tuple[Configurations, SamplerReport]:
    return frames, SamplerReport({"frames": np.nan}, report.trajectories)


@pytest.mark.parametrize("spoil", [unseeded, nameless, too_many, one_block, not_json])
def test_a_sampler_that_errs_is_found_out(spoil: Callable[..., Any]) -> None:
    class Spoilt(RattleStrain):
        def sample(self, start: Configurations, **more: Any) -> tuple[Configurations, SamplerReport]:
            return spoil(*super().sample(start, **more))

    with pytest.raises((AssertionError, KeyError, ValueError)):
        check_sampler(Spoilt.make(frames=2), two_cells())
    check_sampler(RattleStrain.make(frames=2), two_cells())


def first_come(selector: Random, pool: Pool, seed: int) -> Picks:
    return Picks.of(np.arange(min(3, len(pool))), np.zeros(len(pool)))


def twice(selector: Random, pool: Pool, seed: int) -> Picks:
    return Picks.of(np.zeros(min(2, len(pool))), np.zeros(len(pool)))


def greedy(selector: Random, pool: Pool, seed: int) -> Picks:
    order = np.argsort(pool.hashes)
    return Picks.of(order, np.zeros(len(pool)))


@pytest.mark.parametrize("spoilt", [first_come, twice, greedy])
def test_a_selector_that_errs_is_found_out(spoilt: Callable[..., Picks]) -> None:
    class Spoilt(Random):
        def select(self, pool: Pool, *, seed: int = 0) -> Picks:
            return spoilt(self, pool, seed)

    with pytest.raises(AssertionError):
        check_selector(Spoilt.make(frames=3))


def test_a_selector_that_takes_anything_is_found_out() -> None:
    class Careless(FarthestPoint):
        def select(self, pool: Pool, *, seed: int = 0) -> Picks:
            features = np.zeros((len(pool), 1)) if pool.features is None else np.nan_to_num(pool.features)
            return super().select(replace(pool, features=features), seed=seed)

    with pytest.raises(AssertionError, match="was not refused"):
        check_selector(Careless.make(frames=3))


def silent(labelled: Configurations, ledger: list[LedgerEntry]) -> tuple[Configurations, list[LedgerEntry]]:
    return labelled, ledger[:-1]


def orphans(labelled: Configurations, ledger: list[LedgerEntry]) -> tuple[Configurations, list[LedgerEntry]]:
    return labelled.with_info(parent=0), ledger


def moved(labelled: Configurations, ledger: list[LedgerEntry]) -> tuple[Configurations, list[LedgerEntry]]:
    return replace(labelled, positions=labelled.positions + 0.01), ledger


@pytest.mark.parametrize("spoil", [silent, orphans, moved])
def test_a_labeller_that_errs_is_found_out(spoil: Callable[..., Any]) -> None:
    class Spoilt(CalculatorLabeller):
        def label(self, configurations: Configurations, **more: Any) -> tuple[Configurations, list[LedgerEntry]]:
            return spoil(*super().label(configurations, **more))

    with pytest.raises(AssertionError):
        check_labeller(Spoilt.make(calculator="stillinger_weber"), two_cells())


@pytest.mark.parametrize(
    "observation",
    [
        Observation({"a": "text"}),
        Observation({"a": number(np.nan, "eV")}),
        Observation({"a": {"value": 1.0, "unit": "eV", "lower": 2.0, "upper": 0.0}}),
        Observation({"a": number(1.0, "eV")}, {"curve": np.zeros(3)}),
    ],
    ids=["nothing measured", "not finite", "bounds upside down", "no unit"],
)
def test_an_observable_that_errs_is_found_out(observation: Observation) -> None:
    class Spoilt(Observable):
        name = "spoilt"

        def observe(self, potential: Any, configurations: Configurations, **more: Any) -> Observation:
            return observation

    with pytest.raises((AssertionError, ValueError)):
        check_observable(Spoilt(), None, two_cells())


def lennard_jones(smooth: bool) -> CalculatorPotential:
    like = TeacherCommittee(members=1)
    like.cutoff = 5.0
    return CalculatorPotential(LennardJones(sigma=2.0, epsilon=1.0, rc=4.9, ro=4.0, smooth=smooth), like)


@pytest.mark.slow
def test_a_potential_that_ends_at_once_at_its_cutoff_is_found_out() -> None:
    """Lennard-Jones, shifted to zero at the cutoff: its energy has no jump, its force has one of 22 meV/Å."""
    cut, smooth = lennard_jones(smooth=False), lennard_jones(smooth=True)
    with pytest.raises(AssertionError, match=r"part: .* at 4\.9000 Å"):
        check_parting(cut, "Si", "Si")
    with pytest.raises(AssertionError, match=r"moves through its frame: .* of a jump"):
        check_crossing(cut, two_cells()[[0]])
    check_limits(smooth, two_cells())


def test_atoms_that_feel_each_other_beyond_the_cutoff_are_found_out() -> None:
    liar = lennard_jones(smooth=True)
    liar.cutoff = 4.0
    with pytest.raises(AssertionError):
        check_parting(liar, "Si", "Si")
