"""Labelling jobs: labels are those of the calculator, and the ledger says what happened to every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from bloomery.frames.configurations import Configurations
from bloomery.reference.teachers import teacher_for


def test_labels_are_those_of_the_calculator(chain):
    frames = chain.label.outputs.labelled.configurations
    for frame in frames:
        atoms = frame.to_atoms()[0]
        forces = atoms.get_forces()
        atoms.calc = teacher_for(["Si"]).make()
        assert np.allclose(forces, atoms.get_forces(), atol=1e-10)


def test_parents_and_label_calculation_are_kept(chain):
    source, labelled = chain.select.outputs.selected, chain.label.outputs.labelled
    info = labelled.configurations.info
    assert set(info["parent_uuid"].tolist()) == {source.uuid}
    assert set(info["label_uuid"].tolist()) == {chain.label.uuid}
    assert info["role"].tolist() == source.configurations.info["role"].tolist()


def test_ledger_has_an_entry_for_every_frame(chain):
    source, entries = chain.select.outputs.selected, chain.label.outputs.ledger["entries"]
    assert [entry["hash"] for entry in entries] == source.hashes
    assert {entry["job"] for entry in entries} == {chain.label.uuid}
    assert {entry["outcome"] for entry in entries} == {"labelled"}


def test_library_gives_the_labels_that_it_has(chain, jobs):
    source, labelled = chain.select.outputs.selected, chain.label.outputs.labelled
    library = type(source)(labelled.configurations[:3]).store()
    node = jobs.done("label", configurations=source, library=library, parameters={"labeller": "lookup"})
    assert node.outputs.labelled.hashes == source.hashes[:3]
    outcomes = [entry["outcome"] for entry in node.outputs.ledger["entries"]]
    assert outcomes == ["labelled"] * 3 + ["failed"] * (source.n_frames - 3)
    assert np.array_equal(
        node.outputs.labelled.configurations.label("energy")[0], labelled.configurations.label("energy")[0][:3]
    )


HANGS = """\
import time
from ase.calculators.lj import LennardJones

class Hangs(LennardJones):
    def calculate(self, atoms=None, *others):
        if len(atoms) == 1:
            time.sleep(3600)
        super().calculate(atoms, *others)
"""


def test_finished_frames_of_a_job_that_was_ended_are_kept(jobs, make_silicon, frames, tmp_path):
    """The calculator does not come to an end on the fifth frame."""
    (tmp_path / "calculator_that_hangs.py").write_text(HANGS)
    alone = Configurations.from_atoms([Atoms("Si", cell=[6.0, 6.0, 6.0], pbc=True)])
    source = type(frames)(Configurations.concatenate([make_silicon(4), alone, make_silicon(2, seed=1)])).store()
    node = jobs.run(
        "label",
        configurations=source,
        parameters={"labeller": {"calculator": {"calculator": "calculator_that_hangs:Hangs"}}},
        metadata={
            # Long enough for a start beside much other work.
            "options": {"max_wallclock_seconds": 45, "environment_variables": {"PYTHONPATH": str(tmp_path)}},
        },
    )
    assert node.exit_status == 430
    labelled = node.outputs.labelled
    assert labelled.hashes == source.hashes[:4]
    assert labelled.configurations.info["parent_index"].tolist() == [0, 1, 2, 3]
    journal = (Path(node.get_remote_workdir()) / "journal.jsonl").read_text()
    assert len(node.outputs.ledger["entries"]) == labelled.n_frames == journal.count("\n")


def test_library_without_labels_is_refused(jobs, frames):
    with pytest.raises(ValueError, match="library: holds no labels"):
        jobs.run("label", configurations=frames, library=frames, parameters={"labeller": "lookup"})


def test_nothing_to_label_is_refused(jobs, frames):
    none = type(frames)(frames.configurations[:0]).store()
    with pytest.raises(ValueError, match="holds no frame"):
        jobs.run("label", configurations=none, parameters={"labeller": "lookup"})
