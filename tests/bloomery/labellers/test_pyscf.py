"""Molecules by PySCF: against its own energies, by hand and by finite differences, and what is refused."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import ase
import numpy as np
import pytest
from ase import units
from ase.build import molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.pyscf import PyscfLabeller
from bloomery.labellers.pyscf import checks as pyscf_checks

pytest.importorskip("pyscf", reason="pyscf is not installed here: pip install 'aiida-bloomery[pyscf]'")

KCAL = units.kcal / units.mol
CHEAP = {"method": "hf", "basis": "sto-3g"}


def molecule_of(name: str, **info: Any) -> ase.Atoms:
    """A molecule off its minimum; ASE's own moments are left out."""
    atoms = molecule(name)
    atoms.arrays.pop("initial_magmoms", None)
    atoms.rattle(0.05, seed=1)
    atoms.info |= info
    return atoms


def dimer() -> ase.Atoms:
    """Two molecules of water with a hydrogen bond, O-O 2.91 Å, as in J. Chem. Phys. 104, 7821 (1996)."""
    places = [
        [-1.551007, -0.114520, 0.000000], [-1.934259, 0.762503, 0.000000], [-0.599677, 0.040712, 0.000000],
        [1.350625, 0.111469, 0.000000], [1.680398, -0.373741, -0.758561], [1.680398, -0.373741, 0.758561],
    ]  # fmt: skip
    return ase.Atoms("OH2OH2", places)


def labelled(atoms: list[ase.Atoms], **settings: Any) -> Configurations:
    """All of these with their labels."""
    result, ledger = PyscfLabeller.make(**settings).label(Configurations.from_atoms(atoms))
    assert [entry.reason for entry in ledger] == [""] * len(atoms)
    return result


def slope(atoms: ase.Atoms, atom: int, axis: int, step: float = 2e-3, **settings: Any) -> float:
    """A force in eV/Å from energies through the labeller, by differences of fourth order."""
    moved = [atoms.copy() for _ in range(4)]
    for copy, times in zip(moved, (-2, -1, 1, 2), strict=True):
        copy.positions[atom, axis] += times * step
    energies = labelled(moved, **settings).label("energy")[0]
    return float(-(energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("atoms", "settings"),
    [
        (molecule_of("H2O"), {"method": "hf", "basis": "6-31g"}),
        (molecule_of("H2O"), {"method": "hf", "basis": "6-31g", "density_fit": True}),
        (molecule_of("H2O"), {"xc": "pbe0-d3bj", "basis": "6-31g", "grid_level": 1}),
        (molecule_of("H2O"), {"method": "mp2", "basis": "6-31g", "frozen_core": True}),
        (molecule_of("H2O"), {"method": "ccsd", "basis": "6-31g"}),
        (molecule_of("H2O"), {"method": "ccsd(t)", "basis": "6-31g", "frozen_core": True}),
        (molecule_of("H2O", charge=1, spin=2), {"method": "mp2", "basis": "6-31g"}),
        (molecule_of("OH", charge=-1), {"method": "ccsd(t)", "basis": "6-31g"}),
        (molecule_of("OH", spin=2), {"method": "ccsd", "basis": "6-31g"}),
        (molecule_of("O2", spin=3), {"method": "hf", "basis": "6-31g"}),
        (molecule_of("O2", tot_magnetization=2), {"xc": "pbe", "basis": "sto-3g", "grid_level": 1}),
        (dimer(), {"method": "hf", "basis": "sto-3g"}),
    ],
    ids=lambda value: (
        str(value.symbols) + str(value.info or "")
        if isinstance(value, ase.Atoms)
        else value["method"]
        if "method" in value
        else value["xc"]
    ),
)
def test_forces_are_the_slope_of_energies(atoms: ase.Atoms, settings: dict[str, Any]) -> None:
    """Within 0.1 meV/Å, a coarse grid included: without its response forces on it are off by many times that."""
    forces = labelled([atoms], **settings).label("forces")[0]
    assert slope(atoms, 0, 2, **settings) == pytest.approx(forces[0, 2], abs=1e-4)
    assert np.abs(forces.sum(axis=0)).max() < 1e-5
    assert np.abs(forces).max() > 0.1, "nothing was tried"


@pytest.mark.slow
def test_numbers_are_those_of_pyscf_by_hand() -> None:
    """Coordinates in Å and PySCF's own constants: they differ from those of ASE by 1e-9."""
    from pyscf import gto, mp, scf  # noqa: PLC0415
    from pyscf.data import nist  # noqa: PLC0415

    water = molecule_of("H2O", charge=1, spin=2)
    by_hand = gto.M(
        atom=[(symbol, place) for symbol, place in zip(water.symbols, water.positions, strict=True)],
        basis="6-31g", charge=1, spin=1, verbose=0,
    )  # fmt: skip
    solver = mp.UMP2(scf.UHF(by_hand).run(conv_tol=1e-10)).run()
    got = labelled([water], method="mp2", basis="6-31g")
    assert got.label("energy")[0][0] == pytest.approx(solver.e_tot * nist.HARTREE2EV, abs=1e-5)
    forces = -solver.nuc_grad_method().kernel() * nist.HARTREE2EV / nist.BOHR
    np.testing.assert_allclose(got.label("forces")[0], forces, atol=1e-4)
    assert not got.has("stress").any()


def test_energy_of_water_is_that_of_a_textbook() -> None:
    """Water in STO-3G at 1.809 Bohr and 104.52°: -74.9630 Ha, Szabo and Ostlund, table 3.12."""
    bond, half = 1.809 * units.Bohr, np.radians(104.52 / 2)
    x, z = bond * np.sin(half), bond * np.cos(half)
    water = ase.Atoms("OH2", [[0, 0, 0], [x, 0, z], [-x, 0, z]])
    assert labelled([water], **CHEAP).label("energy")[0][0] / units.Ha == pytest.approx(-74.963, abs=5e-4)


@pytest.mark.slow
def test_energy_differences() -> None:
    """Two waters bind by 5.0 kcal/mol with CCSD(T) at the limit of basis sets (J. Chem. Phys. 104, 7821 (1996)); MP2
    without counterpoise in a small one overbinds. H2 by 4.48 eV + zero point 0.27 eV = 4.75 eV: CCSD is exact for it,
    and cc-pVTZ lacks 0.05 eV.
    """
    both = dimer()
    energies = labelled([both, both[:3], both[3:]], method="mp2", basis="6-31g*", frozen_core=True).label("energy")[0]
    assert 5.0 < (energies[1] + energies[2] - energies[0]) / KCAL < 8.0
    hydrogen = ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.7414]])
    energies = labelled([hydrogen, ase.Atoms("H")], method="ccsd", basis="cc-pvtz").label("energy")[0]
    assert 2 * energies[1] - energies[0] == pytest.approx(4.70, abs=0.01)
    assert energies[1] == pytest.approx(-0.5 * units.Ha, abs=0.01)


def test_atoms_alone_are_in_their_ground_states() -> None:
    """Hund's rules where nothing is said, in a box or free; what is said holds."""
    assert labelled([ase.Atoms("H")], **CHEAP).label("energy")[0][0] / units.Ha == pytest.approx(-0.46658, abs=1e-5)
    assert len(labelled([ase.Atoms("F"), ase.Atoms("Ne")], **CHEAP)) == 2, "nothing to rotate, or forbidden to"
    boxed = ase.Atoms("O", cell=[12, 12, 12], pbc=True)
    oxygen = [ase.Atoms("O"), boxed, ase.Atoms("O", info={"spin": 3}), ase.Atoms("O", info={"spin": 1})]
    energies = labelled(oxygen, **CHEAP).label("energy")[0]
    assert energies[0] == energies[1] == energies[2] < energies[3] - 1
    # What the settings say is for molecules and ions, not for the references of a campaign.
    told = labelled([boxed], **CHEAP, charge=1, spin=4)
    assert told.label("energy")[0][0] == energies[0]
    assert labelled([ase.Atoms("O")], **CHEAP, charge=1, spin=4).label("energy")[0][0] > energies[0] + 5


@pytest.mark.slow
def test_open_shells_with_triples_get_an_energy_alone() -> None:
    """PySCF's forces of them are not the slope of the energy; those of closed shells are."""
    frames = [molecule_of("OH", spin=2), molecule_of("OH", charge=-1), ase.Atoms("O")]
    labeller = PyscfLabeller.make(method="ccsd(t)", basis="6-31g")
    assert labeller.without_forces(Configurations.from_atoms(frames)) == [0]
    got, _ = labeller.label(Configurations.from_atoms(frames))
    assert got.has("energy").tolist() == [True, True, True]
    assert got.has("forces").tolist() == [False, True, True]


def test_state_comes_from_the_frame_or_from_the_settings() -> None:
    cation = molecule_of("H2O", charge=1, spin=2)
    plain = molecule_of("H2O")
    from_frame = labelled([cation], **CHEAP).label("energy")[0]
    from_settings = labelled([plain], **CHEAP, charge=1, spin=2).label("energy")[0]
    assert from_frame == pytest.approx(from_settings, abs=1e-9)
    assert from_frame[0] - labelled([plain], **CHEAP).label("energy")[0][0] > 5


def test_core_potentials_come_with_their_basis_sets() -> None:
    """Without one, iodine in def2-svp would have all its 53 electrons in functions for 25."""
    iodide = PyscfLabeller.make(method="hf", basis={"default": "def2-svp"})
    mole = pyscf_checks.molecule(iodide.settings, molecule_of("HCl"), 0, 1)
    assert mole.nelectron == 18
    heavy = ase.Atoms("HI", [[0, 0, 0], [0, 0, 1.61]])
    assert pyscf_checks.molecule(iodide.settings, heavy, 0, 1).nelectron == 1 + 53 - 28
    with pytest.raises(InputError, match="no functions for the core of C"):
        PyscfLabeller.make(method="hf", basis="bfd-vdz").check(Configurations.from_atoms([molecule_of("CH4")]))


@pytest.mark.slow
def test_what_does_not_converge_is_tried_to_second_order_and_then_entered() -> None:
    water = molecule_of("H2O")
    settings = {"xc": "pbe", "basis": "sto-3g", "grid_level": 0}
    hard = PyscfLabeller.make(**settings, max_cycles=4)
    frames = Configurations.from_atoms([water])
    rescued, ledger = hard.label(frames)
    assert ledger[0].outcome == "labelled"
    expected = labelled([water], **settings)
    np.testing.assert_allclose(rescued.label("energy")[0], expected.label("energy")[0], atol=1e-7)
    np.testing.assert_allclose(rescued.label("forces")[0], expected.label("forces")[0], atol=1e-4)
    _, ledger = PyscfLabeller.make(**settings, max_cycles=1).label(frames)
    assert ledger[0].reason.startswith("the orbitals do not converge, with DIIS or to second order, in 1 iterations")
    stretched = Configurations.from_atoms([ase.Atoms("N2", [[0, 0, 0], [0, 0, 2.5]])])
    _, ledger = PyscfLabeller.make(method="ccsd", basis="sto-3g", max_cycles=12).label(stretched)
    assert ledger[0].reason.startswith("the amplitudes of coupled clusters do not converge in 12 iterations")


@pytest.mark.slow
def test_open_shells_are_followed_to_a_lower_state() -> None:
    """Of O2 near its minimum the first solution of Hartree-Fock is 0.27 eV too high, and 12 eV when it is stretched."""
    oxygen = [molecule_of("O2", spin=3), ase.Atoms("O2", [[0, 0, 0], [0, 0, 2.2]], info={"spin": 3})]
    plain = labelled(oxygen, method="hf", basis="6-31g*", stability="none").label("energy")[0]
    followed = labelled(oxygen, method="hf", basis="6-31g*").label("energy")[0]
    assert plain[0] - followed[0] > 0.2
    assert plain[1] - followed[1] > 1
    assert PyscfLabeller.make(**CHEAP).settings.follows(3)
    assert not PyscfLabeller.make(**CHEAP).settings.follows(1)
    assert PyscfLabeller.make(**CHEAP, stability="all").settings.follows(1)


@pytest.mark.slow
def test_labels_do_not_depend_on_what_was_labelled_before() -> None:
    frames = [molecule_of("H2O"), molecule_of("NH3"), molecule_of("OH", spin=2)]
    together = labelled(frames, **CHEAP)
    backwards = labelled(frames[::-1], **CHEAP)
    np.testing.assert_allclose(together.label("energy")[0], backwards.label("energy")[0][::-1], atol=1e-9)


MOMENTS = molecule("O2")
PERIODIC = molecule("H2O", vacuum=5, pbc=[True, True, False])


@pytest.mark.parametrize(
    ("atoms", "settings", "sentence"),
    [
        (molecule_of("OH"), CHEAP, "frame 0: it has 9 electrons, an odd number, and nothing says its multiplicity"),
        (molecule_of("OH"), {**CHEAP, "spin": 1}, "frame 0: 9 electrons cannot have the multiplicity 1; mend spin"),
        (molecule_of("H2O", spin=3), {**CHEAP, "spin": 1}, "frame 0: spin: frames say it, and the settings say"),
        (molecule_of("H2O", charge=0), {**CHEAP, "charge": 1}, "frame 0: charge: frames say it, and the settings say"),
        (molecule_of("H2O", charge=0.5), CHEAP, "charge: is 0.5, and a molecule has a whole number of electrons"),
        (ase.Atoms("H", info={"charge": 1}), CHEAP, "charge: is 1, which leaves no electron; mend the charge"),
        (molecule_of("H2O", electronic_temperature=1000), CHEAP, "electronic_temperature: a calculation of PySCF does"),
        (MOMENTS, CHEAP, r"leave it out \(bloomery convert --without initial_magmoms\); give the multiplicity in its"),
        (PERIODIC, CHEAP, "frame 0: it is periodic, and this labeller takes molecules; give it pbc='F F F', or"),
        (ase.Atoms(), CHEAP, "frame 0: it holds no atom"),
        (ase.Atoms("U"), {**CHEAP, "basis": "def2-svp"}, "frame 0: basis: PySCF has no 'def2-svp' for U"),
        (molecule_of("NH3"), {**CHEAP, "basis": {"O": "sto-3g", "H": "sto-3g"}}, "basis: names none for N; add"),
        (molecule_of("H2O"), {**CHEAP, "basis": "nonsense"}, "frame 0: basis: PySCF has no 'nonsense' for H; choose"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "nonsense"}, "pyscf: xc: PySCF knows no functional 'nonsense'"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "lda"}, "xc: 'lda' is exchange alone; name a correlation too"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "hf"}, "xc: 'hf' is no density functional; write method: hf"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "wb97x-d"}, "wb97x-d is not supported yet by PySCF; choose"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "pbe-3c"}, "Other 3c methods are not supported yet by PySCF"),
        (molecule_of("H2O"), {"basis": "sto-3g", "xc": "wb97x-d4"}, "'wb97x-d4' will mean something else soon; choose"),
        (ase.Atoms("O"), {"method": "ccsd", "basis": "sto-3g"}, "basis: leaves no empty orbital to correlate"),
        (
            molecule_of("C6H6"),
            {"basis": "def2-tzvp", "method": "ccsd", "memory": "0.5 GB"},
            "ccsd of 12 atoms with 222 basis functions takes about .* GB, and memory is 0.5 GB; raise it, or",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_before_anything_is(
    atoms: ase.Atoms, settings: dict[str, Any], sentence: str
) -> None:
    frames = Configurations.from_atoms([atoms])
    labeller = PyscfLabeller.make(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=sentence):
            labeller.check(frames)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"basis": "sto-3g"}, "dft needs a functional; add xc, such as xc: pbe0"),
        ({"basis": "sto-3g", "method": "hf", "xc": "pbe"}, "xc is the functional of dft, and the method is hf; remove"),
        ({"basis": "sto-3g", "method": "mp2", "density_fit": True}, "density_fit is for hf and dft: PySCF has no"),
        ({"basis": "sto-3g", "method": "hf", "frozen_core": True}, "frozen_core is for mp2, ccsd, ccsd"),
        ({"method": "hf"}, "pyscf.basis: is missing; add this key."),
        ({"basis": "sto-3g", "method": "ccsdt"}, "pyscf.method: input should be 'hf', 'dft', 'mp2', 'ccsd' or 'ccsd"),
    ],
)  # fmt: skip
def test_settings_that_do_not_belong_together(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PyscfLabeller.make(**settings)


def test_package_that_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pyscf is not installed here; pip install 'aiida-bloomery\[pyscf\]'\."):
        PyscfLabeller.make(**CHEAP).check(Configurations.from_atoms([molecule_of("H2O")]))


# -- properties beyond the energy -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("atoms", "settings"),
    [
        (molecule_of("H2O"), {"method": "hf", "basis": "6-31g"}),
        (molecule_of("OH"), {"method": "dft", "xc": "pbe", "basis": "6-31g", "spin": 2}),
    ],
)
def test_dipole_and_polarizability_are_slopes_of_the_energy_in_a_field(
    atoms: ase.Atoms, settings: dict[str, Any]
) -> None:
    """By energies alone, in a field that charges far away make."""
    from pyscf import qmmm  # noqa: PLC0415

    from bloomery.labellers.pyscf.checks import molecule as molecule_for  # noqa: PLC0415
    from bloomery.labellers.pyscf.solving import _orbitals  # noqa: PLC0415

    labeller = PyscfLabeller.make(properties=["dipole", "polarizability"], **settings)
    frames = Configurations.from_atoms([atoms])
    found, _ = labeller.label(frames)
    mole = molecule_for(labeller.settings, atoms, 0, settings.get("spin", 1))
    distance, field = 1e4, 2e-3  # two charges make the field between them: 2 q / r^2 of each

    def energy(strength: float, axis: int) -> float:
        mean = _orbitals(labeller.settings, mole)
        if strength:
            places, charge = distance * np.array([-np.eye(3)[axis], np.eye(3)[axis]]), strength * distance**2 / 2
            mean = qmmm.mm_charge(mean, places, np.array([charge, -charge]), unit="Bohr")
            mean.kernel(mean.make_rdm1() if mean.mo_coeff is not None else None)
        return float(mean.e_tot)

    for axis in range(3):
        low, middle, high = (energy(strength, axis) for strength in (-field, 0, field))
        dipole, slope = -(high - low) / (2 * field), -(high - 2 * middle + low) / field**2
        assert found.label("dipole")[0][0, axis] == pytest.approx(dipole * units.Bohr, abs=2e-4)
        assert found.label("polarizability")[0][0, axis, axis] == pytest.approx(slope * units.Bohr**3, abs=2e-3)


def test_a_molecule_that_is_turned_has_turned_properties() -> None:
    atoms = molecule_of("H2O")
    turned = atoms.copy()
    turned.rotate(50, (1, 2, 3))
    axes = ase.Atoms("H3", np.eye(3))
    axes.rotate(50, (1, 2, 3))
    rotation = axes.positions
    found = labelled([atoms, turned], properties=["dipole", "polarizability"], **CHEAP)
    dipoles, tensors = (found.label(name)[0] for name in ("dipole", "polarizability"))
    np.testing.assert_allclose(dipoles[0] @ rotation, dipoles[1], atol=1e-6)
    # Differences over a field of 0.001 leave its square, times what bends the dipole: of no account, and not zero.
    np.testing.assert_allclose(rotation.T @ tensors[0] @ rotation, tensors[1], atol=2e-4)


def test_properties_of_correlated_methods_are_refused() -> None:
    with pytest.raises(InputError, match="properties are for hf and dft, and the method is mp2"):
        PyscfLabeller.make(method="mp2", basis="sto-3g", properties=["dipole"])
