"""How calculators are told states, and what is refused."""

from typing import Any, ClassVar

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.reference.calculators import Calculators, CalculatorSpec
from bloomery.reference.states import routes_of

HERE = __name__


class Told(Calculator):
    """Its energy is what it is told, in digits: charge, multiplicity, temperature; forces are the moments."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "magmoms"]
    default_parameters: ClassVar[dict[str, Any]] = {"charge": 0, "mult": 1, "electronic_temperature": 0.0}

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Say what it was told."""
        super().calculate(atoms, properties, system_changes)
        told = self.parameters
        assert isinstance(told["charge"], int)
        assert isinstance(told["mult"], int)
        energy = 100 * told["charge"] + told["mult"] + 1e-3 * told["electronic_temperature"]
        self.results = {
            "energy": float(energy),
            "forces": np.repeat(self.atoms.get_initial_magnetic_moments()[:, None], 3, axis=1),
        }


class Reading(Calculator):
    """Reads ``Atoms.info``, as some models do, and says so nowhere."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Say what it has read."""
        super().calculate(atoms, properties, system_changes)
        info = self.atoms.info
        self.results = {
            "energy": 100.0 * info.get("charge", 0) + info.get("spin", 1),
            "forces": np.zeros((len(self.atoms), 3)),
        }


class Predicting(Told):
    """Gives moments and heeds none, as CHGNet."""


def frames(*said: dict[str, Any]) -> Configurations:
    """Molecules of oxygen that differ in their state alone."""
    atoms = []
    for info in said:
        oxygen = molecule("O2")
        del oxygen.arrays["initial_magmoms"]  # ASE brings some
        moments = info.pop("moments", None)
        if moments is not None:
            oxygen.set_initial_magnetic_moments(moments)
        oxygen.info |= info
        atoms.append(oxygen)
    return Configurations.from_atoms(atoms)


def energies(calculator: Any, *said: dict[str, Any]) -> list[float]:
    found = frames(*said)
    labelled, ledger = CalculatorLabeller.make(calculator=calculator).label(found)
    assert not any(entry.reason for entry in ledger)
    assert labelled.hashes() == found.hashes()
    assert labelled.digest() != found.digest()
    return labelled.label("energy")[0].tolist()


def test_states_are_arguments_of_the_calculator() -> None:
    """One frame after the other, also where only the state changes: nothing is left of the frame before."""
    said: list[dict[str, Any]] = [
        {}, {"charge": 1, "spin": 2}, {}, {"charge": -1}, {"spin": 3}, {"charge": 0}, {"tot_magnetization": -2},
        {"electronic_temperature": 500}, {"spin": 3, "tot_magnetization": 2},
    ]  # fmt: skip
    assert energies(f"{HERE}:Told", *said) == [1, 102, 1, -99, 3, 1, 3, 1.5, 3]


def test_moments_are_those_of_the_atoms() -> None:
    found = frames({"moments": [1.0, -1.0]}, {}, {"moments": [2.0, 0.5]})
    labelled, _ = CalculatorLabeller.make(calculator=f"{HERE}:Told").label(found)
    assert labelled.label("forces")[0][:, 0].tolist() == [1.0, -1.0, 0.0, 0.0, 2.0, 0.5]


def test_what_is_read_in_info_must_be_said() -> None:
    """ASE does not see that something in ``Atoms.info`` is another."""
    state = {"charge": "info", "spin": "info"}
    said: list[dict[str, Any]] = [{}, {"charge": 1, "spin": 2}, {}, {"charge": 1, "spin": 4}, {"spin": 3}]
    assert energies({"name": f"{HERE}:Reading", "state": state}, *said) == [1, 102, 1, 104, 3]
    with pytest.raises(InputError, match=r"calculator: frame 1: charge: the calculator '.*Reading' does not say"):
        energies(f"{HERE}:Reading", {}, {"charge": 1})


@pytest.mark.parametrize(
    ("calculator", "state", "problem"),
    [
        ("emt", {"charge": 1}, "frame 1: charge: the calculator 'emt' does not say that it heeds this"),
        ("emt", {"moments": [1.0, 1.0]}, "frame 1: initial_magmoms: the calculator 'emt' does not say"),
        ({f"{HERE}:Told": {"charge": 1}}, {"charge": 2}, "frame 1: charge: frames say it, and the arguments of"),
        ({f"{HERE}:Told": {"charge": 1}}, {"charge": 0}, "frame 1: charge: frames say it, and the arguments of"),
        ({f"{HERE}:Told": {"mult": 3}}, {"tot_magnetization": 2}, "frame 1: tot_magnetization: frames say it, and"),
        (f"{HERE}:Told", {"tot_magnetization": 0.5}, "frame 1: tot_magnetization: is 0.5, and the calculator"),
        (
            {"name": f"{HERE}:Reading", "state": {"spin": "info"}},
            {"tot_magnetization": 2},
            "frame 1: tot_magnetization: the calculator '.*Reading' reads spin; say spin=3",
        ),
        ({"name": f"{HERE}:Told", "state": {"charge": "gone"}}, {"charge": 2}, ""),
    ],
)
def test_what_cannot_be_told_is_refused_beforehand(calculator: Any, state: dict[str, Any], problem: str) -> None:
    labeller = CalculatorLabeller.make(calculator=calculator)
    if problem:
        with pytest.raises(InputError, match=problem):
            labeller.check(frames({}, state))
    else:
        labeller.check(frames({}, state))  # what takes any argument is not asked which


def test_frames_that_say_what_counts_for_nothing_are_taken() -> None:
    """A calculator without electrons labels neutral frames, whether they say so or not."""
    heavy = frames({"charge": 0, "moments": [0.0, 0.0]}).with_states(masses=17.0)
    CalculatorLabeller.make(calculator="emt").check(heavy)


def test_states_of_a_spec_are_known_ones() -> None:
    with pytest.raises(InputError, match="state"):
        CalculatorLabeller.make(calculator={"name": "emt", "state": {"colour": "info"}})


def test_ways_are_found_or_said() -> None:
    assert routes_of(Told(), {}) == {
        "charge": "charge", "spin": "mult", "electronic_temperature": "electronic_temperature",
        "initial_magmoms": "moments",
    }  # fmt: skip
    assert routes_of(Told(), {"charge": "info"})["charge"] == "info"
    assert routes_of(CalculatorSpec(name="stillinger_weber").make(), {}) == {}


def test_a_calculator_is_kept_while_it_can_be() -> None:
    calculators = Calculators(CalculatorSpec(name=f"{HERE}:Told"))
    first = calculators.of({})
    assert calculators.of({}) is first
    charged = calculators.of({"charge": 1})
    assert charged is not first
    assert calculators.of({"charge": 1}) is charged
    calculators.renew()
    assert calculators.of({"charge": 1}) is not charged


def test_tblite_is_told(tmp_path: Any) -> None:
    """Charged water by GFN2-xTB: -131.50015843891822 eV at a charge of -1, in the documentation of tblite."""
    pytest.importorskip("tblite")
    water = molecule("H2O")
    charged = water.copy()
    charged.info["charge"] = -1
    spec = {"tblite.ase:TBLite": {"method": "GFN2-xTB", "verbosity": 0}}
    labelled, _ = CalculatorLabeller.make(calculator=spec).label(Configurations.from_atoms([water, charged, water]))
    np.testing.assert_allclose(
        labelled.label("energy")[0], [-137.96777594361677, -131.50015843891822, -137.96777594361677], atol=1e-4
    )


def test_moments_go_to_no_calculator_that_predicts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert routes_of(Predicting(), {})["initial_magmoms"] == "moments"
    monkeypatch.setattr(Predicting, "__module__", "chgnet.model.dynamics")
    assert "initial_magmoms" not in routes_of(Predicting(), {})
