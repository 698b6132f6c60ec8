"""What engines that run other trainers share: files for them, their logs, and the files of a potential."""

import math
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from bloomery.engines.file_potential import AboveReferenceCalculator
from bloomery.engines.trainer_files import LogReader, merged, write_masked_extxyz
from bloomery.frames.configurations import Configurations


def test_absent_labels_are_written_as_nan(silicon: Configurations, tmp_path: Path) -> None:
    masks = {"energy": [True, False, True], "forces": [False, True, True], "stress": [True, True, False]}
    frames = silicon[:3]
    labels = {name: frames.label(name)[0] for name in masks}
    write_masked_extxyz(frames.without_labels().with_labels(**labels, masks=masks), tmp_path / "x.xyz")
    written = ase.io.read(tmp_path / "x.xyz", ":")
    for index, atoms in enumerate(written):
        assert math.isfinite(atoms.info["energy_target"]) == masks["energy"][index]
        assert np.isfinite(atoms.arrays["forces_target"]).all() == masks["forces"][index]
        assert np.isfinite(atoms.info["stress_target"]).all() == masks["stress"][index]
    xx, yy, zz, yz, xz, xy = labels["stress"][0]
    np.testing.assert_allclose(
        written[0].info["stress_target"].reshape(3, 3), [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], atol=1e-12
    )
    np.testing.assert_allclose(written[2].arrays["forces_target"], labels["forces"][16:24], atol=1e-8)


def test_an_open_frame_has_no_stress_to_fit(tmp_path: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.pbc = (True, True, False)
    frames = Configurations.from_atoms([atoms]).with_labels(
        energy=[1.0], forces=np.zeros((8, 3)), stress=np.ones((1, 6))
    )
    write_masked_extxyz(frames, tmp_path / "x.xyz")
    assert np.isnan(ase.io.read(tmp_path / "x.xyz").info["stress_target"]).all()


def test_lines_are_read_when_they_are_complete(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "log")
    assert reader.lines() == []
    (tmp_path / "log").write_text("one\ntw", encoding="utf-8")
    assert reader.lines() == ["one"]
    with (tmp_path / "log").open("a", encoding="utf-8") as log:
        log.write("o\nthree,3\n")
    assert reader.rows() == [["two"], ["three", "3"]]
    assert reader.lines() == []


def test_options_of_the_user_go_over_ours() -> None:
    ours = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(ours, {"a": {"c": 4}, "e": 5}) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert ours["a"] == {"b": 1, "c": 2}


def test_the_mean_of_exported_models_has_the_reference() -> None:
    """Two Lennard-Jones wells of 1 and 3 eV: the mean is one of 2 eV."""
    atoms = bulk("Ar", cubic=True) * 2
    atoms.rattle(0.1, seed=1)
    shapes = {"sigma": 3.4, "rc": 8.0}
    atoms.calc = LennardJones(epsilon=2.0, **shapes)
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    members = [LennardJones(epsilon=1.0, **shapes), LennardJones(epsilon=3.0, **shapes)]
    atoms.calc = AboveReferenceCalculator(members, {"Ar": -7.0})
    assert atoms.get_potential_energy() == pytest.approx(energy - 7.0 * len(atoms))
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-12)
