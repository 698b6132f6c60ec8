"""The silicon example in plain AiiDA says the same as its campaign file."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.plugins import DataFactory, GroupFactory

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import make_builder
from aiida_bloomery.setup.pseudopotentials import FAMILY
from bloomery.plugins import PluginSpec

SILICON = Path(__file__).resolve().parents[2] / "examples" / "silicon"


@pytest.fixture
def localhost(profile: Any, tmp_path: Path) -> Iterator[None]:
    """What ``aiida-bloomery setup`` makes, by name."""
    machine = orm.Computer("localhost", "localhost", "", "core.local", "core.direct", str(tmp_path)).store()
    machine.configure()
    for label in ("bloomery", "pw"):
        orm.InstalledCode(label=label, computer=machine, filepath_executable="/bin/true").store()
    family = GroupFactory("pseudo.family.cutoffs")(label=FAMILY).store()
    (tmp_path / "Si.upf").write_text('<UPF version="2.0.1">\n<PP_HEADER element="Si" functional="PBE" z_valence="4"/>')
    family.add_nodes([DataFactory("pseudo.upf").get_or_create(tmp_path / "Si.upf").store()])
    family.set_cutoffs({"Si": {"cutoff_wfc": 30, "cutoff_rho": 120}}, "normal", unit="Ry")
    yield
    orm.Group.collection.delete(family.pk)


def plain(builder: Any) -> dict[str, Any]:
    """What the inputs mean: settings with short forms written out, and pw.x's inputs."""

    def specs(values: list[Any]) -> list[Any]:
        return [PluginSpec.model_validate(value).model_dump() for value in values]

    pw = builder.labelling["pw"]
    return {
        "bootstrap": {key: specs(values) for key, values in builder.bootstrap.get_dict().items()},
        "sampling": specs(builder.sampling["samplers"]),
        "selection": specs(builder.selection["selectors"]),
        "stop": builder.stop.get_dict(),
        "seed": builder.seed.value,
        "structures": builder.structures.hashes,
        "pw": pw["parameters"].get_dict(),
        "kpoints": pw["kpoints"].get_kpoints_mesh(),
        "pseudos": {element: node.uuid for element, node in pw["pseudos"].items()},
    }


def test_silicon_says_the_same_both_ways(localhost: None, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = []

    def submit(builder: Any) -> orm.Node:
        submitted.append(builder)
        return orm.Int(1).store()

    monkeypatch.setattr("aiida.engine.submit", submit)
    runpy.run_path(str(SILICON / "submit.py"))
    campaign, _ = load_campaign(SILICON / "campaign.yaml")
    assert plain(submitted[0]) == plain(make_builder(campaign))
