"""Frames that VASP cannot take, as they come from others than readers of files."""

from __future__ import annotations

import ase
import pytest
from ase.build import bulk

from aiida_bloomery.workflows.labelling.vasp_checks import check_frames, known_tags, read_tags, unknown_tags
from bloomery.frames.configurations import Configurations


def left_handed() -> ase.Atoms:
    atoms = bulk("Al", cubic=True)
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (ase.Atoms(), "holds no atom"),
        (ase.Atoms("Al", cell=[4, 4, 0], pbc=True), "is periodic along a vector that its cell lacks"),
        (ase.Atoms("Al", cell=[[4, 0, 0], [4, 0, 0], [0, 0, 4]], pbc=True), "is periodic along a vector that its cell"),
        (left_handed(), "has left-handed cell vectors, which VASP does not take; exchange two of them"),
    ],
)
def test_the_first_frame_that_vasp_cannot_take(atoms: ase.Atoms, words: str) -> None:
    """Also after one that is alike in everything else."""
    frames = Configurations.from_atoms([bulk("Al"), bulk("Al", cubic=True), atoms])
    found = check_frames(frames)
    assert found is not None
    assert found[0] == 2
    assert words in found[1]
    assert check_frames(frames[:2]) is None


def test_tags_that_parsevasp_does_not_list() -> None:
    assert {"ENCUT", "NCORE", "IVDW", "METAGGA", "LMAXMIX", "KPAR"} <= known_tags()
    assert unknown_tags(read_tags({"encutt": 1, "KPAR": 2, "Quirk": 3})) == {"ENCUTT": "ENCUT", "QUIRK": None}


def test_values_are_read_as_vasp_reads_them() -> None:
    given = {"EDIFF": "1d-7", "NELM": "60", "AMIX": ".4", "LASPH": ".TRUE.", "ALGO": " All ", "LREAL": "Auto"}
    read = {"EDIFF": 1e-7, "NELM": 60, "AMIX": 0.4, "LASPH": True, "ALGO": "All", "LREAL": "Auto"}
    assert read_tags(given) == read
