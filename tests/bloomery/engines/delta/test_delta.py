"""A baseline and what is learnt of its error: the sum is the label, whatever zero the baseline counts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from bloomery.engines.contract import TrainingData
from bloomery.engines.delta import Delta
from bloomery.engines.delta.baseline import Baseline
from bloomery.engines.delta.potential import DeltaPotential
from bloomery.errors import InputError
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.potentials.contract import load_potential

QUICK: dict[str, Any] = {
    "hdnnp": {"members": 2, "networks": "none", "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2}}}
}


def silicon(**more: Any) -> dict[str, Any]:
    """Stillinger and Weber's silicon as a baseline, with other numbers."""
    return {"calculator": {"calculator": {"name": "stillinger_weber", "arguments": more}}}


@pytest.fixture(scope="module")
def frames() -> Configurations:
    """Twelve hot frames of Si8, with labels 3 eV/atom above those of the potential."""
    rng = np.random.default_rng(4)
    atoms = [bulk("Si", cubic=True) for _ in range(12)]
    for one in atoms:
        one.rattle(0.1, rng=rng)
    found, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(Configurations.from_atoms(atoms))
    return found.with_labels(energy=found.label("energy")[0] + 3.0 * found.counts)


def trained(frames: Configurations, **settings: Any) -> DeltaPotential:
    data = TrainingData(frames, Configurations.empty(), fit_energy_reference(frames))
    potential, history = Delta.make(**({"engine": QUICK} | settings)).train(data, seed=1)
    assert isinstance(potential, DeltaPotential)
    assert "forces_left" in history.summary
    return potential


def test_a_baseline_that_is_right_is_left_as_it_is(frames: Configurations) -> None:
    potential = trained(frames, baseline=silicon())
    assert potential.energy_reference == {"Si": pytest.approx(3.0)}
    found = potential.predict(frames)
    np.testing.assert_allclose(found.energy, frames.label("energy")[0], atol=1e-6)
    np.testing.assert_allclose(found.force, frames.label("forces")[0], atol=1e-6)
    assert found.stress is not None
    np.testing.assert_allclose(found.stress, frames.label("stress")[0], atol=1e-8)


def test_the_error_of_a_baseline_is_learnt(frames: Configurations) -> None:
    """A baseline that is a tenth too soft: the difference is small, and the sum better than a fit to all of it."""
    potential = trained(frames[:8], baseline=silicon(epsilon=0.9 * 2.1683))
    rest = frames[8:]

    def error(found: Any) -> float:
        return float(np.sqrt(((found - rest.label("forces")[0]) ** 2).mean()))

    alone = Baseline(potential.baseline.spec).evaluate(rest).forces
    assert error(potential.predict(rest).force) < 0.5 * error(alone)
    found, difference = potential.predict(rest), potential.difference.predict(rest)
    np.testing.assert_allclose(found.forces, difference.forces + alone)
    assert found.disagreement == pytest.approx(difference.disagreement)


def test_what_a_killed_training_knows_of_the_baseline_is_not_computed_again(
    frames: Configurations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Delta.make(baseline=silicon(), engine=QUICK)
    data = TrainingData(frames[:4], frames[4:6], fit_energy_reference(frames))
    first, _ = engine.train(data, seed=1, folder=tmp_path)

    def never(*_: object) -> None:
        raise AssertionError("evaluated again")

    with monkeypatch.context() as patch:
        patch.setattr(Baseline, "evaluate", never)
        again, _ = engine.train(data, seed=1, folder=tmp_path)
    np.testing.assert_array_equal(again.predict(frames).forces, first.predict(frames).forces)
    (tmp_path / "baseline.npz").write_bytes(b"cut")
    mended, _ = engine.train(data, seed=1, folder=tmp_path)
    np.testing.assert_array_equal(mended.predict(frames).forces, first.predict(frames).forces)


def test_a_training_starts_from_one_with_the_same_baseline_only(frames: Configurations) -> None:
    engine = {"hdnnp": {"members": 2, "hidden": [4], "steps": 20, "warm_steps": 10}}
    before = trained(frames[:6], baseline=silicon(), engine=engine)
    data = TrainingData(frames, Configurations.empty(), fit_energy_reference(frames))
    warm, history = Delta.make(baseline=silicon(), engine=engine).train(data, seed=2, start_from=before)
    assert history.summary["warm_start"]
    assert np.isfinite(warm.predict(frames).forces).all()
    other = Delta.make(baseline=silicon(epsilon=2.0), engine=engine)
    with pytest.raises(InputError, match="start_from: its baseline differ"):
        other.train(data, seed=2, start_from=before)


def test_a_potential_without_its_baseline_says_so(frames: Configurations, tmp_path: Path) -> None:
    trained(frames, baseline=silicon()).save(tmp_path / "there")
    file = tmp_path / "there" / "potential.json"
    file.write_text(file.read_text().replace("stillinger_weber", "gone.package:Class"), encoding="utf-8")
    with pytest.raises(InputError, match="its baseline cannot be had"):
        load_potential(tmp_path / "there")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "delta.baseline: is missing"),
        ({"baseline": "no_such"}, "foundation 'no_such' is not registered"),
        ({"baseline": silicon(), "engine": "delta"}, "engine is the one for the difference, and delta is not it"),
        ({"baseline": silicon(), "engine": {"hdnnp": {"widths": 3}}}, "hdnnp.widths: there is no such key"),
        ({"baseline": "sevennet", "engine": "mace"}, "in the environment of sevennet, and the engine in that of mace"),
        ({"baseline": "sevennet", "engine": "gap"}, "take an engine that needs no environment, such as hdnnp"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Delta.make(**settings)


def test_environments() -> None:
    """Jobs run where the baseline is; a foundation that shares an engine's environment goes with that engine."""
    assert Delta.make(baseline=silicon()).runs_in is None
    assert Delta.make(baseline=silicon(), engine="gap").runs_in == ("engine", "gap")
    assert Delta.make(baseline="chgnet").runs_in == ("foundation", "chgnet")
    assert Delta.make(baseline={"mace": {"model": "mp.model"}}).runs_in == ("engine", "mace")
    assert Delta.make(baseline={"mace": {"model": "mp.model"}}, engine="mace").runs_in == ("engine", "mace")


class Quiet(LennardJones):
    """Argon that does not say its stress."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012


def test_what_a_baseline_cannot_do_is_said(frames: Configurations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    quiet = {"calculator": {"name": "test_delta:Quiet", "arguments": {"sigma": 2.0, "epsilon": 0.01, "rc": 4.0}}}
    with pytest.raises(InputError, match=r"frame 0: is periodic, and the baseline calculator .* computes no stress"):
        trained(frames, baseline={"calculator": quiet})
    clusters = frames.to_atoms()
    for one in clusters:
        one.pbc = False
    bare = Configurations.from_atoms(clusters)
    labelled = bare.without_labels().with_labels(energy=bare.label("energy")[0], forces=bare.label("forces")[0])
    potential = trained(labelled, baseline={"calculator": quiet})
    assert np.isfinite(potential.predict(labelled).forces).all()
    strange = Configurations.from_atoms([bulk("Au", cubic=True)])
    with pytest.raises(InputError, match=r"foundation 'calculator' .* does not cover Au; name another one"):
        Baseline(FoundationSpec.model_validate({"calculator": {"calculator": "emt", "elements": ["Cu"]}})).evaluate(
            strange
        )


def test_a_baseline_alone_is_moved_to_the_zero_of_the_labels(frames: Configurations, tmp_path: Path) -> None:
    """Without an engine nothing is learnt but one energy for each element."""
    potential = trained(frames, baseline=silicon(epsilon=0.9 * 2.1683), engine=None)
    assert potential.members == 1
    assert not Delta.make(baseline=silicon(), engine=None).disagrees
    alone = Baseline(potential.baseline.spec).evaluate(frames)
    potential.save(tmp_path / "alone")
    for one in (potential, load_potential(tmp_path / "alone")):
        found = one.predict(frames)
        np.testing.assert_array_equal(found.force, alone.forces)
        np.testing.assert_array_equal(found.stress, alone.stress)
        per_atom = (found.energy - alone.energy) / frames.counts
        np.testing.assert_allclose(per_atom, potential.energy_reference["Si"])
        assert ((found.energy - frames.label("energy")[0]) / frames.counts).mean() == pytest.approx(0, abs=1e-9)
    assert potential.as_float64() is potential
