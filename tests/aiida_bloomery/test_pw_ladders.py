"""Ladders of pw.x: what there is to choose, and where each begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.plugins import DataFactory
from ase import Atoms
from ase.build import bulk, molecule

from aiida_bloomery.campaign_file.labellers.pw_ladders import pw_ladders
from aiida_bloomery.workflows.protocols import protocol_inputs
from bloomery.campaign.convergence import Ladder, Plan
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

HEADER = '<UPF version="2.0.1"><PP_HEADER element="{element}" pseudo_type="{kind}" z_valence="4.0" functional="PBE" wfc_cutoff="{wfc}" rho_cutoff="{rho}"/></UPF>'  # noqa: E501
PROTOCOL = protocol_inputs("labelling.quantumespresso", "balanced")
RULE = {"distance": 0.3, "offset": [0.5, 0.5, 0.5]}

Make = Callable[..., dict[str, Ladder]]


@pytest.fixture
def ladders(profile: Any, tmp_path: Path) -> Make:
    """Make ladders by name: ``ladders(kind="NC", atoms=..., system={...}, kpoints={...}, ...)``."""

    def make(
        kind: str = "NC", *, atoms: Atoms | None = None, system: dict[str, object] | None = None,
        nodes: dict[str, Any] | None = None, recommended: tuple[float, float] | None = (40.0, 160.0),
        fixed: tuple[str, ...] = (), header: tuple[float, float] = (0, 0), **values: list[float],
    ) -> dict[str, Ladder]:  # fmt: skip
        path = tmp_path / "Si.UPF"
        path.write_text(HEADER.format(element="Si", kind=kind, wfc=header[0], rho=header[1]))
        pseudo = DataFactory("pseudo.upf")(path)
        given = {"occupations": "smearing", "smearing": "cold", "degauss": 0.01, "ecutwfc": 40.0}
        pw: dict[str, Any] = {"pseudos": {"Si": pseudo}, "parameters": orm.Dict({"SYSTEM": given | (system or {})})}
        pw |= nodes or {"kpoints_rule": orm.Dict(RULE)}
        frames = Configurations.from_atoms([atoms or bulk("Si", cubic=True)])
        told = {} if recommended is None else dict(zip(("ecutwfc", "ecutrho"), recommended, strict=True))
        found = pw_ladders(pw, frames, PROTOCOL, recommended=told, fixed=dict.fromkeys(fixed), values=values)
        if found:
            Plan(ladders=found, limits={"forces": 1.0})
        return {ladder.name: ladder for ladder in found}

    return make


def values(ladder: Ladder) -> list[float]:
    return [rung.value for rung in ladder.rungs]


def test_recommended_values_are_in_the_middle(ladders: Make) -> None:
    found = ladders()
    assert list(found) == ["ecutwfc", "smearing", "kpoints"]
    assert values(found["ecutwfc"]) == [25, 30, 40, 50, 60]
    assert values(found["smearing"]) == [0.03, 0.02, 0.01, 0.005]
    assert {name: values(one)[one.middle] for name, one in found.items()} == {
        "ecutwfc": 40, "smearing": 0.01, "kpoints": 0.3
    }  # fmt: skip


def test_the_density_of_norm_conserving_pseudopotentials_is_tied(ladders: Make) -> None:
    rung = ladders()["ecutwfc"].rungs[0]
    assert rung.inputs == {"pw": {"parameters": {"SYSTEM": {"ecutwfc": 25, "ecutrho": 100}}}}
    assert rung.file == {"ecutwfc": "25 Ry", "ecutrho": "100 Ry"}


@pytest.mark.parametrize("kind", ["US", "USPP", "PAW", "odd"])
def test_that_of_others_has_a_ladder_after_the_wavefunctions(ladders: Make, kind: str) -> None:
    found = ladders(kind, recommended=(40.0, 320.0))
    assert list(found) == ["ecutwfc", "ecutrho", "smearing", "kpoints"]
    assert values(found["ecutrho"]) == [160, 240, 320, 400, 480]
    assert found["ecutwfc"].at_top == ["ecutrho"]
    assert found["ecutrho"].follows == ["ecutwfc"]
    assert found["ecutrho"].rungs[0].at_most == {"ecutwfc": 40}
    assert set(found["ecutwfc"].rungs[0].file) == {"ecutwfc"}


def test_every_place_has_a_density_that_holds_the_wavefunctions(ladders: Make) -> None:
    """A family that recommends the least ratio still leaves room for the densest wavefunctions."""
    plan = Plan(ladders=list(ladders("US").values()), limits={"forces": 1.0})
    for chosen in range(4):
        for name in ("ecutwfc", "ecutrho"):
            for place in plan.places(plan.ladder(name), {"ecutwfc": chosen}):
                system = plan.inputs(place)["pw"]["parameters"]["SYSTEM"]
                assert system["ecutrho"] >= 4 * system["ecutwfc"]


def test_without_a_recommendation_the_header_counts(ladders: Make) -> None:
    assert values(ladders(recommended=None, header=(50, 200))["ecutwfc"]) == [30, 40, 50, 60, 75]
    found = ladders("PAW", recommended=None)
    assert values(found["ecutwfc"])[found["ecutwfc"].middle] == 50


def test_who_has_more_than_is_recommended_sees_more(ladders: Make) -> None:
    assert values(ladders(system={"ecutwfc": 90.0})["ecutwfc"]) == [25, 30, 40, 50, 60, 90, 110]
    dense = {"kpoints_rule": orm.Dict(RULE | {"distance": 0.1})}
    assert min(values(ladders(nodes=dense)["kpoints"])) == pytest.approx(0.075)


def test_ladders_do_not_go_by_what_the_file_says(ladders: Make) -> None:
    """What was chosen is written into the file, and the next search is the same."""
    mesh = orm.KpointsData()
    mesh.set_kpoints_mesh([3, 3, 3], offset=[0.5, 0.5, 0.5])
    before = ladders(nodes={"kpoints": mesh}, system={"ecutwfc": 20.0, "degauss": 0.03})
    after = ladders(nodes={"kpoints_rule": orm.Dict(RULE | {"distance": 0.45})}, system={"ecutwfc": 30.0})
    assert before == after


def test_widths_are_compared_at_the_densest_mesh_and_the_mesh_follows_the_width(ladders: Make) -> None:
    found = ladders()
    assert found["smearing"].at_top == ["kpoints"]
    assert found["kpoints"].follows == ["smearing"]
    assert found["smearing"].rungs[0].file == {"smearing": {"type": "cold", "width": "0.03 Ry"}}


@pytest.mark.parametrize(
    "more",
    [
        {"system": {"occupations": "fixed"}},
        {"system": {"smearing": "fermi-dirac"}},
        {"fixed": ("degauss",)},
        {"fixed": ("OCCUPATIONS",)},
    ],
)
def test_no_width_to_choose(ladders: Make, more: dict[str, Any]) -> None:
    found = ladders(**more)
    assert list(found) == ["ecutwfc", "kpoints"]
    assert found["kpoints"].follows == []


def test_what_is_fixed_by_hand_stays(ladders: Make) -> None:
    assert "ecutwfc" not in ladders(fixed=("ecutwfc",))
    assert list(ladders("US", fixed=("ecutrho", "degauss"))) == ["kpoints"]


def test_a_molecule_has_no_mesh(ladders: Make) -> None:
    water = molecule("H2O")
    assert list(ladders(atoms=water)) == ["ecutwfc", "smearing"]
    assert ladders(atoms=water)["smearing"].at_top == []


def test_a_slab_has_a_mesh_in_its_plane(ladders: Make) -> None:
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    slab.cell[2] = 0
    assert values(ladders(atoms=slab)["kpoints"]) == values(ladders()["kpoints"])


def test_a_large_cell_has_few_meshes_and_the_smaller_distance_stays(ladders: Make) -> None:
    # 2 pi / 5.43 = 1.157 1/Å: 0.6 and 0.45 to 0.3, 0.225, 0.15 give 2, 3, 4, 4, 6 and 8 points.
    assert values(ladders()["kpoints"]) == [0.6, 0.45, 0.3, 0.225, 0.15]
    assert list(ladders(atoms=bulk("Si", cubic=True).repeat(8), fixed=("ecutwfc", "degauss"))) == []


def test_a_mesh_gives_way_to_a_distance_with_the_same_shift(ladders: Make) -> None:
    mesh = orm.KpointsData()
    mesh.set_kpoints_mesh([3, 3, 3], offset=[0.5, 0.0, 0.5])
    rung = ladders(nodes={"kpoints": mesh})["kpoints"].rungs[0]
    assert rung.file == {"kpoints": {"mesh": None, "distance": 0.6, "shift": [1, 0, 1]}}
    assert rung.inputs == {"pw": {"kpoints": None, "kpoints_rule": {"distance": 0.6, "offset": [0.5, 0.0, 0.5]}}}


def test_values_of_the_user_stand_in_the_place_of_ours(ladders: Make) -> None:
    found = ladders("US", ecutwfc=[60, 30, 45], ecutrho=[400, 300], kpoints=[0.2, 0.4])
    assert values(found["ecutwfc"]) == [30, 45, 60]
    assert values(found["ecutrho"]) == [300, 400]
    assert values(found["kpoints"]) == [0.4, 0.2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cutoff": [1, 2]}, "--ladder cutoff: there is no such ladder in this campaign; there are ecutwfc, ecutrho"),
        ({"ecutrho": [100, 200]}, "at least 240 Ry, four times the largest of ecutwfc"),
        ({"kpoints": [0.31, 0.3]}, "all distances give the frames the same mesh"),
    ],
)
def test_values_that_make_no_ladder(ladders: Make, given: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ladders("US", **given)
