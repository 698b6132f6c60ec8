"""A job that mixes its frames up is not believed: parsers of frames check them against the inputs."""

from __future__ import annotations

import io
import json

import numpy as np
from aiida import orm

from bloomery.frames.configurations import Configurations


def npz(frames: Configurations) -> bytes:
    buffer = io.BytesIO()
    frames.save(buffer)
    return buffer.getvalue()


def test_sampled_frame_from_a_structure_that_is_not_there(parse, frames, make_silicon):
    sampled = make_silicon(2).with_info(start=[0, 9])
    _, node = parse("sample", {"start": frames}, result={}, files={"frames.npz": npz(sampled)})
    assert node.exit_status == 301
    assert "frame 1: is said to be made from frame 9" in node.exit_message


def test_selected_frame_from_a_pool_that_is_not_there(parse, frames):
    chosen = frames.configurations[[0]].with_info(pool="other", pool_index=0)
    _, node = parse("select", {"pools__md": frames}, result={}, files={"selected.npz": npz(chosen)})
    assert node.exit_status == 301
    assert "'other'" in node.exit_message


def test_selected_frames_that_differ_from_their_parents(parse, frames):
    chosen = frames.configurations[[0, 1]].with_info(pool="md", pool_index=[0, 2])
    _, node = parse("select", {"pools__md": frames}, result={}, files={"selected.npz": npz(chosen)})
    assert node.exit_status == 301
    assert "frame 1" in node.exit_message


def test_labels_of_frames_that_were_not_asked_for(parse, frames, make_silicon, bloomery_code):
    """Also those of the same frames in another state."""
    charged = frames.configurations.with_states(charge=2)
    inputs = {"configurations": frames, "parameters": orm.Dict({"labeller": "lookup"}).store(), "code": bloomery_code}
    for labelled in (make_silicon(3, seed=5, labelled=True), charged.with_labels(energy=np.zeros(len(charged)))):
        others = labelled.with_info(parent=np.arange(len(labelled)))
        files = {"labelled.npz": npz(others), "ledger.json": json.dumps({"entries": []}).encode()}
        _, node = parse("label", inputs, result={}, files=files)
        assert node.exit_status == 301
        assert "frame 0" in node.exit_message


def test_features_for_another_number_of_frames(parse, frames):
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.zeros((2, 4)))
    files = {"features.npz": buffer.getvalue()}
    _, node = parse("describe", {"configurations__frames": frames}, result={}, files=files)
    assert node.exit_status == 301
    assert "3 rows of features for 'frames'" in node.exit_message


def test_predictions_for_another_number_of_frames(parse, frames):
    buffer = io.BytesIO()
    np.savez(buffer, counts=np.array([8]))
    _, node = parse("predict", {"configurations": frames}, result={}, files={"prediction.npz": buffer.getvalue()})
    assert node.exit_status == 301
    assert "for 3 frames" in node.exit_message
