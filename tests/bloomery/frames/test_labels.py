"""Labels by the names of the field: which are read, in which unit and sign, and what is said of the others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.stress import full_3x3_to_voigt_6_stress

from bloomery.errors import DataWarning, InputError
from bloomery.frames.census import facts
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, PROPERTIES

ENERGY, STRESS = -3.25, np.array([0.011, 0.012, 0.013, 0.004, 0.005, 0.006])
CELL = np.diag([3.0, 4.0, 5.0])
FORCES = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])


def text(comment: str, column: str = "forces", factor: float = 1.0, more: str = "", lattice: str = "Lattice") -> str:
    """Two atoms of copper with a column of forces, as extended XYZ."""
    rows = [
        f"Cu {place} {place} {place} " + " ".join(str(factor * value) for value in force) + more
        for place, force in zip((0.0, 1.5), FORCES, strict=True)
    ]
    cell = " ".join(str(number) for number in CELL.ravel())
    head = f'{comment} {lattice}="{cell}" Properties=species:S:1:pos:R:3:{column}:R:3'
    return "\n".join(["2", head, *rows, ""])


def numbers(values: np.ndarray) -> str:
    """Numbers in quotes, as a value of a comment."""
    return '"' + " ".join(str(value) for value in np.ravel(values)) + '"'


def full(six: np.ndarray) -> np.ndarray:
    """The symmetric matrix of six numbers in the order xx yy zz yz xz xy."""
    xx, yy, zz, yz, xz, xy = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


VOLUME = float(np.linalg.det(CELL))
NAMES = [
    (f"energy={ENERGY} stress={numbers(full(STRESS))}", "forces"),
    (f"energy={ENERGY} stress={numbers(STRESS)}", "forces"),
    (f"Energy={ENERGY} Stress={numbers(STRESS)}", "Force"),
    (f"REF_energy={ENERGY} REF_stress={numbers(full(STRESS))}", "REF_forces"),
    (f"ref_energy={ENERGY} REF_virial={numbers(-VOLUME * full(STRESS))}", "ref_force"),
    (f"dft_energy={ENERGY} dft_virial={numbers(-VOLUME * full(STRESS))}", "dft_force"),
    (f"DFT_energy={ENERGY} DFT_virials={numbers(-VOLUME * STRESS)}", "DFT_forces"),
    (f"TotEnergy={ENERGY} virial={numbers(-VOLUME * full(STRESS))}", "force"),
    (f"free_energy={ENERGY} virials={numbers(-VOLUME * STRESS)}", "forces"),
    (f"potential_energy={ENERGY} VIRIAL={numbers(-VOLUME * full(STRESS))}", "FORCE"),
]


@pytest.mark.parametrize(("comment", "column"), NAMES)
@pytest.mark.parametrize("lattice", ["Lattice", "lattice"])
def test_names_of_the_field_are_read(tmp_path: Path, comment: str, column: str, lattice: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text(comment, column, lattice=lattice))
    found = Configurations.read(path)
    assert found.labels["energy"] == pytest.approx([ENERGY])
    np.testing.assert_allclose(found.labels["forces"], FORCES)
    np.testing.assert_allclose(found.labels["stress"], [STRESS], rtol=1e-12)
    np.testing.assert_allclose(found.cells, [CELL])
    assert found.pbc.all()
    assert not found.info


def test_the_sign_of_a_virial_is_that_of_a_calculator(tmp_path: Path) -> None:
    """Minus the derivative of the energy by a strain, as EMT's energies of strained cells say by themselves."""
    atoms = bulk("Cu", cubic=True).repeat((1, 1, 2))
    atoms.set_cell(atoms.cell.array * [0.97, 1.0, 1.02], scale_atoms=True)
    step, energies = 1e-5, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * step * np.diag([1.0, 0, 0])), scale_atoms=True)
        moved.calc = EMT()
        energies.append(moved.get_potential_energy())
    virial = np.zeros((3, 3))
    virial[0, 0] = -(energies[0] - energies[1]) / (2 * step)
    atoms.info["virial"] = virial
    atoms.write(tmp_path / "a.extxyz")
    atoms.calc = EMT()
    expected = full_3x3_to_voigt_6_stress(atoms.get_stress(voigt=False))[0]
    assert Configurations.read(tmp_path / "a.extxyz").labels["stress"][0, 0] == pytest.approx(expected, rel=1e-4)


def test_what_is_named_reference_wins_and_the_other_is_told(tmp_path: Path) -> None:
    path = tmp_path / "both.xyz"
    rows = text(f"energy={ENERGY + 1} REF_energy={ENERGY}", "forces", 0.5).splitlines()
    rows[1] += ":REF_forces:R:3"
    rows[2:] = [f"{row} " + " ".join(map(str, force)) for row, force in zip(rows[2:], FORCES, strict=True)]
    path.write_text("\n".join([*rows, ""]))
    with pytest.warns(DataWarning) as told:
        found = Configurations.read(path)
    assert found.labels["energy"] == pytest.approx([ENERGY])
    np.testing.assert_allclose(found.labels["forces"], FORCES)
    sentences = " ".join(str(one.message) for one in told)
    assert "REF_energy and energy differ in frame 0, by up to 0.5 eV/atom" in sentences
    assert "REF_forces and forces differ" in sentences


def test_labels_of_a_source_that_is_contradicted_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "mixed.xyz"
    path.write_text(text(f"energy={ENERGY + 1} REF_energy={ENERGY}", "forces"))
    with pytest.warns(DataWarning) as told:
        found = Configurations.read(path)
    assert set(found.labels) == {"energy"}
    assert any("forces look like labels and are not read" in str(one.message) for one in told)


def test_the_energy_is_the_one_whose_derivatives_the_forces_are(tmp_path: Path) -> None:
    path = tmp_path / "free.xyz"
    path.write_text(text(f"energy={ENERGY + 0.2} free_energy={ENERGY}"))
    with pytest.warns(DataWarning, match="free_energy, the energy that forces are derivatives of, is taken"):
        assert Configurations.read(path).labels["energy"] == pytest.approx([ENERGY])
    atoms = bulk("Cu")
    atoms.calc = EMT()
    atoms.get_potential_energy()
    atoms.calc.results["free_energy"] = 7.0
    assert Configurations.from_atoms([atoms]).labels["energy"] == pytest.approx([7.0])


def test_what_looks_like_a_label_is_named_and_a_prefix_makes_it_one(tmp_path: Path) -> None:
    path = tmp_path / "emt.xyz"
    path.write_text(text(f"EMT_energy={ENERGY} kinetic_energy=1.0", "EMT_forces"))
    with pytest.warns(DataWarning, match="EMT_energy, EMT_forces look like labels and are not read.*--prefix EMT_"):
        assert not Configurations.read(path).labels
    found = Configurations.read(path, prefix="EMT_")
    assert found.labels["energy"] == pytest.approx([ENERGY])
    assert set(found.info) == {"kinetic_energy"}


def test_columns_that_nobody_explains_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bare.xyz"
    path.write_text(text(f"energy={ENERGY}").replace("Properties=species:S:1:pos:R:3:forces:R:3", ""))
    with pytest.warns(DataWarning, match=r"rows have 7 columns.*\(Properties=\.\.\.\); what follows .* is not read"):
        assert set(Configurations.read(path).labels) == {"energy"}


@pytest.mark.parametrize("name", ["energy_per_atom", "Etot", "E_pot", "dft_e_tot"])
def test_energies_by_other_names_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "emt.xyz"
    path.write_text(text(f"{name}={ENERGY}", "forces"))
    with pytest.warns(DataWarning, match=f"{name} look like labels and are not read.*; rename what is one"):
        assert set(Configurations.read(path).labels) == {"forces"}


@pytest.mark.parametrize(
    ("comment", "column", "sentence"),
    [
        ("energy=1.0 energy=2.0", "forces", "frame 1 cannot be read: energy stands twice in its comment"),
        ("energy=T", "forces", "frame 1: energy is 'True', which is no number"),
        ('stress="1 2 3 4 5 6 7 8 9"', "forces", "frame 1: stress is not symmetric"),
        ("energy=None", "forces", "frame 1: energy is 'None', which is no number"),
        ('energy="1 2 3"', "forces", "frame 1: energy has 3 number(s) instead of 1"),
        ('REF_stress="1 2 3"', "forces", "frame 1: REF_stress has 3 number(s) instead of 6 or 9"),
        ('stress="1 2 3"', "forces", "frame 1: stress has 3 number(s) instead of 6 or 9"),
        ("energy=nan", "forces", "frame 1: energy is not finite"),
    ],
)
def test_a_label_that_is_none_is_named_with_its_frame(tmp_path: Path, comment: str, column: str, sentence: str) -> None:
    path = tmp_path / "bad.extxyz"
    path.write_text(text(f"energy={ENERGY}") + text(comment, column))
    with pytest.raises(InputError) as caught:
        Configurations.read(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")


def test_groups_stay_though_one_frame_has_none(tmp_path: Path) -> None:
    path = tmp_path / "groups.extxyz"
    path.write_text(text("energy=1") + text("energy=1 config_type=liquid step=3"))
    found = Configurations.read(path)
    assert found.info["config_type"].tolist() == ["", "liquid"]
    assert np.isnan(found.info["step"][0])
    found.write_extxyz(tmp_path / "out.extxyz")
    written = (tmp_path / "out.extxyz").read_text()
    assert written.count("config_type") == written.count("step") == 1


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    atoms = bulk("Cu").repeat(2)
    atoms.set_tags(range(len(atoms)))
    atoms.set_initial_charges([0.5, -0.5] * (len(atoms) // 2))
    atoms.info |= {"note": {"a": 1}}
    atoms.write(tmp_path / "a.traj")
    with pytest.warns(DataWarning) as told:
        Configurations.read(tmp_path / "a.traj")
    sentences = " ".join(str(one.message) for one in told)
    assert "tags" in sentences
    assert "initial_charges" in sentences
    assert "note" in sentences


# -- properties beyond the energy -------------------------------------------------------------------------------------

KINDS = {name: LABELS[name] for name in PROPERTIES}
DIPOLE, SHIELDING = np.array([0.1, -0.2, 0.3]), np.arange(18.0).reshape(2, 9)


@pytest.mark.parametrize("prefix", ["", "REF_", "dft_"])
@pytest.mark.parametrize("shape", [full, np.asarray])
def test_properties_are_read_under_the_names_of_the_field(tmp_path: Path, prefix: str, shape: Callable) -> None:
    """Tensors of a frame as nine numbers or six; those of atoms in columns of nine, rows of polarisation first."""
    path = tmp_path / "a.xyz"
    comment = f"{prefix}dipole={numbers(DIPOLE)} {prefix}polarizability={numbers(shape(STRESS))}"
    lines = text(f"{comment} {prefix}dielectric_tensor={numbers(shape(STRESS))}").splitlines()
    lines[1] += f":{prefix}becs:R:9"
    for place in (0, 1):
        lines[2 + place] += " " + " ".join(str(number) for number in SHIELDING[place])
    path.write_text("\n".join([*lines, ""]))
    found = Configurations.read(path)
    np.testing.assert_array_equal(found.label("dipole")[0], [DIPOLE])
    for name in ("polarizability", "dielectric_tensor"):
        np.testing.assert_array_equal(found.label(name)[0], [full(STRESS)])
    np.testing.assert_array_equal(found.label("born_effective_charges")[0], SHIELDING.reshape(2, 3, 3))


def test_properties_come_back_from_files(tmp_path: Path) -> None:
    """All of them, some in one frame only, through extended XYZ, as arrays, as atoms, and joined with bare frames."""
    generator = np.random.default_rng(0)
    bare = Configurations.from_atoms([bulk("Cu", cubic=True), bulk("Cu")])
    values = {
        name: generator.normal(size=(5 if kind.per == "atom" else 2, *kind.shape)) for name, kind in KINDS.items()
    }
    values |= {name: values[name] + values[name].transpose(0, 2, 1) for name, kind in KINDS.items() if kind.symmetric}
    frames = bare.with_labels(masks={"dipole": [False, True], "shieldings": [True, False]}, **values)
    frames.write_extxyz(tmp_path / "a.extxyz")
    frames.save(tmp_path / "a.npz")
    for again in (
        Configurations.read(tmp_path / "a.extxyz"),
        Configurations.read(tmp_path / "a.npz"),
        Configurations.from_atoms(frames.to_atoms()),
        Configurations.concatenate([frames[1], bare, frames[0]])[[3, 0]],
    ):
        assert {*again.labels} == {*KINDS}
        for name in KINDS:
            np.testing.assert_allclose(again.label(name)[0], frames.label(name)[0], atol=6e-9)
            assert again.has(name).tolist() == frames.has(name).tolist()
    assert frames.hashes() == bare.hashes()


def test_a_length_of_a_dipole_is_told_and_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text("dipole=1.85 energy=-1"))
    with pytest.warns(DataWarning, match="dipole"):
        found = Configurations.read(path)
    assert (found.has("dipole").any(), found.has("energy").all()) == (False, True)


def test_a_property_that_is_doubted_takes_no_energy_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text(f"energy=-1 dipole={numbers(2 * DIPOLE)} REF_dipole={numbers(DIPOLE)}"))
    with pytest.warns(DataWarning, match="REF_dipole"):
        found = Configurations.read(path)
    np.testing.assert_array_equal(found.label("dipole")[0], [DIPOLE])
    assert (found.has("energy").all(), found.has("forces").all()) == (True, True)


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        ("REF_dipole=1.85", "REF_dipole has 1 number.* instead of 3"),
        ('dipole="0.1 0.2 nan"', "dipole is not finite"),
        ('polarizability="1 2 3 4 5 6 7 8 9"', "polarizability is not symmetric"),
    ],
)
def test_a_property_that_is_wrong_is_refused(tmp_path: Path, comment: str, sentence: str) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text(comment))
    with pytest.raises(InputError, match=sentence) as refused:
        Configurations.read(path)
    assert str(path) in str(refused.value)
    assert "frame 0" in str(refused.value)


def test_a_dipole_of_a_crystal_is_told_to_be_one_of_many() -> None:
    frames = Configurations.from_atoms([bulk("Cu"), molecule("H2O")]).with_labels(dipole=[[0, 0, 0.5], [0, 0.3, 0.4]])
    assert facts(frames)["dipole"] == "0.5 e·Å; of 1 periodic frames, where e times a cell vector is nothing"
