"""A potential survives its node: the same files, the same predictions."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from aiida.common.exceptions import ValidationError
from aiida.manage import get_manager
from aiida.orm import load_node

from aiida_bloomery.data.potential import PotentialData
from bloomery.errors import InputError
from bloomery.potentials.contract import load_potential


def test_predictions_survive(potential, potential_folder, make_silicon):
    frames = make_silicon(2)
    before, after = (
        load_potential(potential_folder, "cpu").predict(frames),
        load_node(potential.pk).load().predict(frames),
    )
    assert np.array_equal(before.energies, after.energies)
    assert np.array_equal(before.forces, after.forces)


def test_calculator_gives_the_committee_mean(potential, make_silicon):
    frames = make_silicon(1)
    atoms = frames.to_atoms()[0]
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(potential.load().predict(frames).energy[0], abs=1e-9)


def test_attributes_say_what_it_is(potential):
    assert potential.engine == "hdnnp"
    assert potential.elements == ["Si"]
    assert potential.members == 2
    assert potential.energy_reference == {"Si": -4.3}
    assert potential.base.attributes.get("cutoff") > 0


def test_export_writes_the_same_files(potential, potential_folder, tmp_path):
    potential.export_to(tmp_path / "new")
    files = sorted(path.name for path in potential_folder.iterdir())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == files
    for name in files:
        assert (tmp_path / "new" / name).read_bytes() == (potential_folder / name).read_bytes()


def test_one_that_the_repository_has_lost_says_so(profile, potential_folder, tmp_path):
    folder = shutil.copytree(potential_folder, tmp_path / "other")
    (folder / "unlike.txt").write_text("no other node has this")
    node = PotentialData(folder).store()
    lost = node.base.repository.serialize()["o"]["unlike.txt"]["k"]
    get_manager().get_profile_storage().get_repository().delete_objects([lost])
    with pytest.raises(InputError, match=rf"node {node.pk}: its potential is missing in the profile's repository"):
        node.load()


def test_equal_files_make_equal_nodes(potential, potential_folder):
    again = PotentialData(potential_folder).store()
    assert again.base.caching.get_hash() == potential.base.caching.get_hash()


def test_folder_without_potential_is_refused(profile, tmp_path):
    with pytest.raises(InputError, match=r"potential\.json: cannot be read"):
        PotentialData(tmp_path)


@pytest.mark.parametrize(("text", "match"), [("{", "not valid JSON"), ("[]", "must hold a mapping")])
def test_description_that_is_none_is_refused(profile, tmp_path, text, match):
    (tmp_path / "potential.json").write_text(text)
    with pytest.raises(InputError, match=match):
        PotentialData(tmp_path)


def test_description_without_engine_is_refused_on_store(profile, tmp_path):
    (tmp_path / "potential.json").write_text(json.dumps({"elements": ["Si"], "energy_reference": {}, "members": 1}))
    with pytest.raises(ValidationError, match="'engine'"):
        PotentialData(tmp_path).store()
