"""Labels from a calculator, and labels that exist already."""

import time
from pathlib import Path
from typing import Any, ClassVar

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.labellers.foundation import FoundationLabeller
from bloomery.labellers.lookup import LookupLabeller
from bloomery.plugins import load_plugin, registered
from bloomery.testing.labellers import check_labeller
from bloomery.testing.potentials import TeacherCommittee

HERE = __name__


class Moody(Calculator):
    """Fails on some frames: three atoms raise, four give NaN, five take too long."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Depend on the number of atoms."""
        super().calculate(atoms, properties, system_changes)
        n = len(self.atoms)
        if n == 3:
            raise RuntimeError("no convergence")
        if n == 5:
            time.sleep(3600)
        self.results = {
            "energy": 1.0 * n,
            "free_energy": np.nan if n == 4 else 2.0 * n,
            "forces": np.zeros((n, 3)),
        }


class Charged(Calculator):
    """Atoms have charges that follow from their number, and these a dipole."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "charges", "dipole"]

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Say what there is, wanted or not."""
        super().calculate(atoms, properties, system_changes)
        charges = np.linspace(-1, 1, len(self.atoms))
        self.results = {
            "energy": 0.0, "forces": np.zeros((len(charges), 3)), "charges": charges,
            "dipole": charges @ self.atoms.positions,
        }  # fmt: skip


def atoms_in_a_row(n: int) -> ase.Atoms:
    """Make a chain."""
    return ase.Atoms(f"Cu{n}", positions=[[2.5 * i, 0, 0] for i in range(n)])


@pytest.fixture
def silicon() -> Configurations:
    """Three frames of silicon."""
    frames = []
    for seed in range(3):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=seed)
        frames.append(atoms)
    return Configurations.from_atoms(frames).snapped()


@pytest.fixture
def library(tmp_path: Path, silicon: Configurations) -> Path:
    """Labels of the first and the last frame."""
    path = tmp_path / "library.extxyz"
    TeacherCommittee(members=1, spread=0.0).label(silicon[[2, 0]]).write_extxyz(path)
    return path


@pytest.mark.parametrize("name", registered("labellers"))
def test_every_labeller_conforms(name: str, silicon: Configurations, library: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "calculator": {"calculator": "stillinger_weber"},
        "foundation": {"foundation": {"calculator": {"calculator": "stillinger_weber"}}},
        "lookup": {"library": str(library)},
        "pyscf": {"method": "hf", "basis": "sto-3g"},
    }
    molecules = Configurations.from_atoms([molecule("H2O"), molecule("NH3")]).snapped()
    plugin = load_plugin("labellers", name)
    assert plugin.name == name
    check_labeller(plugin.make(**settings[name]), molecules if name == "pyscf" else silicon)


def test_a_foundation_labels_as_its_calculator_and_refuses_what_it_does_not_cover(silicon: Configurations) -> None:
    foundation = {"calculator": {"calculator": "stillinger_weber"}}
    labelled, _ = FoundationLabeller.make(foundation=foundation).label(silicon.without_labels())
    expected, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(silicon.without_labels())
    np.testing.assert_array_equal(labelled.label("forces")[0], expected.label("forces")[0])
    np.testing.assert_array_equal(labelled.label("energy")[0], expected.label("energy")[0])
    with pytest.raises(InputError, match="does not cover Cu"):
        FoundationLabeller.make(foundation=foundation).label(Configurations.from_atoms([bulk("Cu")]))


def test_values_are_those_of_ase() -> None:
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    labelled, _ = CalculatorLabeller.make(calculator="emt").label(Configurations.from_atoms([copper]))
    copper.calc = EMT()
    assert labelled.label("energy")[0][0] == pytest.approx(copper.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(labelled.label("forces")[0], copper.get_forces(), atol=1e-12)
    np.testing.assert_allclose(labelled.label("stress")[0][0], copper.get_stress(), atol=1e-12)


def test_stress_is_for_full_cells_only() -> None:
    frames = Configurations.from_atoms([bulk("Cu"), molecule("CO")])
    labelled, _ = CalculatorLabeller.make(calculator="emt").label(frames)
    assert labelled.has("stress").tolist() == [True, False]
    assert labelled.has("energy").tolist() == [True, True]


@pytest.mark.slow
def test_failures_are_entered_and_the_others_go_on() -> None:
    frames = Configurations.from_atoms([atoms_in_a_row(n) for n in (2, 3, 4, 5, 6)])
    labeller = CalculatorLabeller.make(calculator=f"{HERE}:Moody", frame_timeout_s=2)
    labelled, ledger = labeller.label(frames)
    assert labelled.info["parent"].tolist() == [0, 4]
    # The energy that is consistent with the forces is the free energy.
    assert labelled.label("energy")[0].tolist() == [4.0, 12.0]
    assert [entry.reason for entry in ledger] == [
        "",
        "RuntimeError: no convergence",
        "the calculator's result cannot be used: the frame has a label energy that is not finite",
        "TimeoutError: no result within 2 s",
        "",
    ]
    assert [entry.exit_code for entry in ledger] == [0, 1, 1, 1, 0]
    assert 1.9 < ledger[3].seconds < 3600


def test_a_library_gives_labels_of_the_state_alone(tmp_path: Path) -> None:
    """Of one geometry in two states each has its own label, and a third has none; neutral is neutral, said or not."""
    water = [molecule("H2O") for _ in range(2)]
    water[1].info |= {"charge": 1, "spin": 2}
    library = Configurations.from_atoms(water).with_labels(energy=[-1.0, -2.0], forces=np.zeros((6, 3)))
    library.write_extxyz(tmp_path / "library.extxyz")
    wanted = library.without_labels()[[1, 0, 0, 0]]
    wanted = wanted.with_states(charge=[1, 0, 0, -1], stated={"charge": [True, True, False, True]})
    labelled, ledger = LookupLabeller.make(library=str(tmp_path / "library.extxyz")).label(wanted)
    assert labelled.label("energy")[0].tolist() == [-2.0, -1.0, -1.0]
    assert [entry.outcome for entry in ledger] == ["labelled"] * 3 + ["failed"]


def test_labels_are_of_the_version_of_the_calculators_package() -> None:
    assert CalculatorLabeller.make(calculator="ase.calculators.emt:EMT").packages == ("ase",)
    assert CalculatorLabeller.make(calculator="emt").packages == ()


def test_frames_without_atoms_are_refused() -> None:
    frames = Configurations.from_atoms([bulk("Cu"), ase.Atoms()])
    with pytest.raises(InputError, match="frame 1 holds no atom"):
        CalculatorLabeller.make(calculator="emt").label(frames)


@pytest.mark.parametrize(
    ("calculator", "sentence"),
    [
        ("vasp6", "is not known; choose one of emt, lj"),
        ("os:system", "is not a class of ASE calculators"),
        ("nowhere:Nothing", "cannot be imported: No module named 'nowhere'"),
        ({"lj": {"radius": 3}, "more": 1}, "calculator"),
        ({"tersoff": {"parameters": "mine"}}, "parameters 'mine' are not known"),
        ({"stillinger_weber": {"nonsense": 1}}, "nonsense=1 is not one of its numbers A, B"),
        ({"tersoff": {"nonsense": 1}}, "cannot be made with"),
    ],
)
def test_calculators_that_cannot_be_made(calculator: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        CalculatorLabeller.make(calculator=calculator).label(Configurations.from_atoms([bulk("Cu")]))


def test_lookup_copies_labels_of_equal_content(silicon: Configurations, library: Path) -> None:
    labelled, ledger = LookupLabeller.make(library=str(library)).label(silicon)
    assert labelled.info["parent"].tolist() == [0, 2]
    assert [entry.outcome for entry in ledger] == ["labelled", "failed", "labelled"]
    assert ledger[1].reason.startswith("no such frame with labels in")
    expected = TeacherCommittee(members=1, spread=0.0).label(silicon[[0, 2]])
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(labelled.label(name)[0], expected.label(name)[0], atol=1e-7)


def test_lookup_takes_no_frame_without_the_labels_required(tmp_path: Path, silicon: Configurations) -> None:
    whole = TeacherCommittee(members=1, spread=0.0).label(silicon)
    whole.without_labels().with_labels(energy=whole.label("energy")[0]).save(tmp_path / "energies.npz")
    with pytest.raises(InputError, match="no frame has energy and forces"):
        LookupLabeller.make(library=str(tmp_path / "energies.npz")).label(silicon)
    labeller = LookupLabeller.make(library=str(tmp_path / "energies.npz"), require=["energy"])
    labelled, _ = labeller.label(silicon)
    assert len(labelled) == 3
    with pytest.raises(InputError, match="'charge' is not a label"):
        LookupLabeller.make(library=str(tmp_path / "energies.npz"), require=["charge"]).label(silicon)


# -- properties beyond the energy -------------------------------------------------------------------------------------


def test_a_calculator_labels_the_properties_that_are_asked_for() -> None:
    frames = Configurations.from_atoms([atoms_in_a_row(2), atoms_in_a_row(3)])
    bare, _ = CalculatorLabeller.make(calculator=f"{HERE}:Charged").label(frames)
    assert {*bare.labels} == {"energy", "forces"}
    found, ledger = CalculatorLabeller.make(calculator=f"{HERE}:Charged", properties=["dipole", "charges"]).label(
        frames
    )
    assert [entry.reason for entry in ledger] == ["", ""]
    np.testing.assert_array_equal(found.label("dipole")[0], [[2.5, 0, 0], [5, 0, 0]])
    np.testing.assert_array_equal(found.label("charges")[0], [-1, 1, -1, 0, 1])


def test_a_property_that_a_calculator_lacks_is_refused() -> None:
    frames = Configurations.from_atoms([atoms_in_a_row(2)])
    sentence = r"calculator.properties: 'emt' has no dipole; it has none of these properties\."
    with pytest.raises(InputError, match=sentence):
        CalculatorLabeller.make(calculator="emt", properties=["dipole"]).label(frames)
    with pytest.raises(InputError, match=r"calculator\.properties"):
        CalculatorLabeller.make(calculator="emt", properties=["dipol"])
