"""A potential that learned one method as the foundation of one that learns another: fidelities in one potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.engines.contract import Potential, TrainingData
from bloomery.engines.delta import Delta
from bloomery.engines.hdnnp.engine import Hdnnp
from bloomery.errors import InputError
from bloomery.foundations.potential import PotentialFoundation
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.testing.foundations import check_foundation

SMALL: dict[str, Any] = {
    "members": 2, "steps": 300, "hidden": [8], "descriptor": {"power_spectrum": {"radial": 5, "max_degree": 3}}
}  # fmt: skip


def crystals(n: int, seed: int) -> Configurations:
    atoms = [bulk("Si", cubic=True) for _ in range(n)]
    rng = np.random.default_rng(seed)
    for one in atoms:
        one.rattle(0.1, rng=rng)
    return Configurations.from_atoms(atoms).snapped()


def labelled(frames: Configurations, **arguments: float) -> Configurations:
    calculator = {"name": "stillinger_weber", "arguments": arguments}
    return CalculatorLabeller.make(calculator=calculator).label(frames)[0]


def trained(engine: Any, frames: Configurations) -> Potential:
    potential, _ = engine.train(TrainingData(frames, frames[:0], fit_energy_reference(frames)), seed=1)
    assert isinstance(potential, Potential)
    return potential


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential of many labels of the cheap method."""
    folder = tmp_path_factory.mktemp("cheap") / "potential"
    trained(Hdnnp.make(**SMALL), labelled(crystals(40, 1))).save(folder)
    return folder


def test_it_keeps_the_contract(cheap: Path) -> None:
    check_foundation(PotentialFoundation.make(model=str(cheap)), crystals(2, 2))


def test_few_dear_labels_on_many_cheap_ones(cheap: Path) -> None:
    """The dear method is a tenth deeper and counts its energies from elsewhere: what is left to learn is smooth."""
    dear, test = (labelled(crystals(n, seed), epsilon=1.1 * 2.1683) for n, seed in ((2, 3), (20, 4)))
    dear = dear.with_labels(energy=dear.label("energy")[0] + 7.0 * dear.counts)

    def error(potential: Potential) -> float:
        return float(np.sqrt(((potential.predict(test).force - test.label("forces")[0]) ** 2).mean()))

    both = trained(Delta.make(baseline={"potential": {"model": str(cheap)}}, engine={"hdnnp": SMALL}), dear)
    assert error(both) < 0.5 * error(trained(Hdnnp.make(**SMALL), dear))
    moved = (both.predict(test).energy - test.label("energy")[0]) / test.counts
    np.testing.assert_allclose(moved, 7.0, atol=0.02)


def test_what_it_says_of_itself(cheap: Path, tmp_path: Path) -> None:
    foundation = PotentialFoundation.make(model=str(cheap), functional="PBE")
    assert (foundation.covers, foundation.precision, foundation.functional) == (["Si"], "float64", "PBE")
    foundation.check_class()
    facts = foundation.read()[1]
    assert (facts.elements, facts.weights, len(facts.digest)) == (["Si"], str(cheap), 64)
    nowhere = PotentialFoundation.make(model=str(tmp_path))
    assert nowhere.covers is None
    (tmp_path / "potential.json").write_text('{"engine": "mace"}', encoding="utf-8")
    with pytest.raises(InputError, match="is of the engine mace, which runs in an environment of its own"):
        nowhere.check_class()
    with pytest.raises(InputError, match=r"there is no folder .* of a potential"):
        PotentialFoundation.make(model=str(tmp_path / "gone")).read()
