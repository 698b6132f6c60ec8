"""What pw.x is told of one frame: its box, its kinds, its state."""

from __future__ import annotations

import re

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory
from ase.build import bulk, fcc111, molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_bloomery.calculations.pw_frame import MOST_KINDS, frame_input, frame_of, validate_boundaries
from bloomery.errors import InputError

VALENCES = {"Fe": 8, "O": 6, "H": 1, "Al": 3, "Ni": 10}


@pytest.fixture
def pw(profile, tmp_path):
    """Inputs as a workchain has them."""
    upf = DataFactory("pseudo.upf")
    pseudos = {}
    for element, valence in VALENCES.items():
        path = tmp_path / f"{element}.upf"
        path.write_text(f'<UPF version="2.0.1"><PP_HEADER element="{element}" z_valence="{valence}"/></UPF>')
        with path.open("rb") as handle:
            pseudos[element] = upf(handle, filename=path.name).store()

    def make(boundaries=None, hubbard=None, **system):
        return {
            "parameters": orm.Dict(
                {
                    "CONTROL": {"calculation": "scf", "tprnfor": True, "tstress": True},
                    "SYSTEM": {"ecutwfc": 30.0, "nosym": True, "occupations": "smearing", "degauss": 0.01, **system},
                }
            ),
            "pseudos": pseudos,
            "kpoints_rule": orm.Dict({"distance": 0.3, "offset": [0.5, 0.5, 0.5]}),
            "boundaries": orm.Dict(boundaries or {}),
            **({} if hubbard is None else {"hubbard": orm.Dict(hubbard)}),
        }

    return make


def variables(text, *names):
    """Variables of an input, as pw.x would read them."""
    found = {name: re.search(rf"(?m)^\s*{re.escape(name)}\s*=\s*(\S+)", text) for name in names}
    return {name: match and match[1].strip("'") for name, match in found.items()}


def test_a_molecule_stands_in_a_box_at_gamma_without_stress(pw):
    water = molecule("H2O")
    text, _ = frame_input(water, pw())
    assert "K_POINTS gamma" in text
    said = variables(text, "assume_isolated", "tstress", "tprnfor", "ibrav")
    assert said == {"assume_isolated": "martyna-tuckerman", "tstress": ".false.", "tprnfor": ".true.", "ibrav": "0"}
    made = frame_of(water, pw({"molecules": "none"}))
    assert "assume_isolated" not in made.parameters["SYSTEM"]
    assert made.structure.cell_lengths == pytest.approx([13, 14, 13])
    assert made.kpoints.get_kpoints_mesh() == ([1, 1, 1], [0, 0, 0])


def test_makov_and_payne_have_a_cube_of_its_own_lattice(pw):
    text, _ = frame_input(molecule("H2O"), pw({"molecules": "makov-payne", "vacuum": 5}))
    said = variables(text, "assume_isolated", "ibrav", "a")
    assert said["assume_isolated"] == "makov-payne"
    assert said["ibrav"] == "1"
    assert "CELL_PARAMETERS" not in text
    assert float(said["a"].replace("d", "e")) == pytest.approx(12.0)


def test_a_slab_has_one_point_across_and_the_correction_of_choice(pw):
    slab = fcc111("Al", (1, 1, 2), vacuum=8.0, periodic=False)
    plain = frame_of(slab, pw())
    assert plain.kpoints.get_kpoints_mesh()[0][2] == 1
    assert plain.kpoints.get_kpoints_mesh()[0][0] > 4
    assert plain.kpoints.get_kpoints_mesh()[1] == [0.5, 0.5, 0]
    assert plain.parameters["CONTROL"]["tstress"] is False
    assert "edir" not in plain.parameters["SYSTEM"]
    dipole = frame_of(slab, pw({"slabs": "dipole"})).parameters
    assert dipole["CONTROL"]["tefield"]
    assert dipole["CONTROL"]["dipfield"]
    assert dipole["SYSTEM"]["edir"] == 3
    height = slab.cell.lengths()[2]
    region = np.linspace(0, dipole["SYSTEM"]["eopreg"], 11) + dipole["SYSTEM"]["emaxpos"]
    away = np.abs((slab.positions[:, 2, None] / height - region + 0.5) % 1 - 0.5) * height
    assert away.min() > 5  # the field turns back in the vacuum
    assert frame_of(slab, pw({"slabs": "2D"})).parameters["SYSTEM"]["assume_isolated"] == "2D"
    turned = slab.copy()
    turned.rotate(90, "x", rotate_cell=True)
    with pytest.raises(InputError, match="2D needs the surface in the plane of x and y"):
        frame_of(turned, pw({"slabs": "2D"}))


def test_a_crystal_is_as_it_was(pw):
    given = pw()
    made = frame_of(bulk("Al"), given)
    assert made.parameters == given["parameters"].get_dict()
    assert made.settings == {}
    assert np.array(made.structure.cell) == pytest.approx(bulk("Al").cell.array)


def test_a_mesh_that_was_given_has_one_point_along_open_directions(pw):
    inputs = pw()
    mesh = orm.KpointsData()
    mesh.set_kpoints_mesh([4, 4, 4], offset=[0.5, 0.5, 0.5])
    inputs["kpoints"] = mesh
    slab = fcc111("Al", (1, 1, 2), vacuum=8.0, periodic=False)
    assert frame_of(slab, inputs).kpoints.get_kpoints_mesh() == ([4, 4, 1], [0.5, 0.5, 0])
    assert frame_of(bulk("Al"), inputs).kpoints is mesh


def test_moments_of_atoms_make_kinds(pw):
    iron = bulk("Fe", cubic=True)
    iron.set_initial_magnetic_moments([2.0, -2.0])
    text, copies = frame_input(iron, pw(hubbard_u={"Fe": 4.0}, lda_plus_u=True))
    assert re.findall(r"(?m)^(Fe\d?) .*Fe.upf$", text) == ["Fe", "Fe1"]
    assert re.findall(r"starting_magnetization\((\d)\) =\s+(\S+)", text) == [
        ("1", "2.5000000000d-01"),
        ("2", "-2.5000000000d-01"),
    ]
    assert re.findall(r"(?i)hubbard_u\((\d)\) =\s+(\S+)", text) == [
        ("1", "4.0000000000d+00"),
        ("2", "4.0000000000d+00"),
    ]
    assert variables(text, "nspin")["nspin"] == "2"
    assert len(copies) == 1
    iron.set_initial_magnetic_moments([9.0, -2.0])
    with pytest.raises(InputError, match="a moment of 9 μB on Fe is more than its 8 valence electrons"):
        frame_of(iron, pw())
    iron.set_initial_magnetic_moments([2.0, -2.0])
    with pytest.raises(InputError, match="initial_magmoms: needs collinear spins"):
        frame_of(iron, pw(nspin=1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_there_are_never_more_kinds_than_pw_takes(pw, moments):
    atoms = ase.Atoms("Fe" * len(moments), np.arange(3.0 * len(moments)).reshape(-1, 3), cell=[50] * 3, pbc=True)
    atoms.set_initial_magnetic_moments(moments)
    structure = frame_of(atoms, pw()).structure
    assert len(structure.kinds) <= MOST_KINDS
    assert [kind.symbol for kind in structure.kinds] == ["Fe"] * len(structure.kinds)
    assert all(len(kind.name) <= 3 for kind in structure.kinds)
    np.testing.assert_allclose([site.position for site in structure.sites], atoms.positions)


def test_opposite_moments_are_never_one_kind(pw):
    atoms = bulk("Fe", cubic=True).repeat((2, 2, 2))
    moments = np.linspace(0.3, 4, 16) * np.where(np.arange(16) % 2, 1, -1)
    atoms.set_initial_magnetic_moments(moments)
    structure = frame_of(atoms, pw()).structure
    for kind in structure.kinds:
        signs = {
            np.sign(moment)
            for moment, site in zip(moments, structure.sites, strict=True)
            if site.kind_name == kind.name
        }
        assert len(signs) == 1


def test_hubbard_parameters_go_into_the_card_of_later_versions(pw):
    rock = bulk("NiO", "rocksalt", a=4.2)
    rock.set_initial_magnetic_moments([1.5, 0.0])
    text, _ = frame_input(rock, pw(hubbard={"projectors": "ortho-atomic", "u": {"Ni-3d": 6.0}}))
    card = text[text.index("HUBBARD") :]
    assert re.search(r"HUBBARD\s+\W?ortho-atomic", card)
    assert re.search(r"U\s+Ni-3d\s+6\.0", card)
    assert "lda_plus_u" not in text
    assert "HUBBARD" not in frame_input(bulk("Al"), pw(hubbard={"projectors": "atomic", "u": {"Ni-3d": 6.0}}))[0]


def test_wrong_boundaries_are_refused(profile):
    assert validate_boundaries(orm.Dict({"vacuum": 8, "slabs": "2D"}), None) is None
    for content, words in (
        ({"vacuum": 0}, "boundaries.vacuum"),
        ({"slabs": "3D"}, "boundaries.slabs"),
        ({"wires": "none"}, "boundaries.wires"),
    ):
        assert validate_boundaries(orm.Dict(content), None).startswith(words)
