"""Every way in which a job can fail has an exit code, and the message that the job gave."""

from __future__ import annotations

import pytest

from bloomery import errors
from bloomery.errors import BloomeryError


def failure(kind):
    return {"status": "failed", "error": {"kind": kind, "message": "si.xyz: frame 3 is wrong; mend it."}}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("bad_input", 200),
        ("failed", 400),
        ("crashed", 400),
        ("diverged", 410),
        ("out_of_memory", 420),
        ("refused", 440),
        ("of a later version", 400),
    ],
)
def test_failures_of_a_job_have_their_exit_codes(parse, frames, kind, status):
    outputs, node = parse("sample", {"start": frames}, result=failure(kind))
    assert node.exit_status == status
    assert ": si.xyz: frame 3 is wrong; mend it." in node.exit_message
    assert not outputs


def test_every_kind_of_error_has_an_exit_code(parse):
    from aiida_bloomery.parsers.base import BloomeryParser  # noqa: PLC0415

    kinds = {
        thing.kind for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, BloomeryError)
    }
    assert kinds <= set(BloomeryParser.EXIT_CODES)


def test_job_without_result_says_its_last_words(parse, frames):
    _, node = parse("sample", {"start": frames}, kept={"bloomery.out": "one\nbash: bloomery: command not found\n"})
    assert node.exit_status == 300
    assert "bash: bloomery: command not found" in node.exit_message


def test_scheduler_speaks_where_the_job_is_silent(parse, frames):
    kept = {"bloomery.out": "", "_scheduler-stderr.txt": "slurmstepd: error: killed\n"}
    _, node = parse("sample", {"start": frames}, kept=kept)
    assert "slurmstepd: error: killed" in node.exit_message


def test_nothing_said_is_said(parse, frames):
    _, node = parse("sample", {"start": frames})
    assert node.exit_status == 300
    assert "It said nothing." in node.exit_message


@pytest.mark.parametrize("where", [{"kept": {"timed_out": ""}}, {"exit_status": 120}])
def test_out_of_wall_time(parse, frames, where):
    _, node = parse("sample", {"start": frames}, options={"max_wallclock_seconds": 77}, **where)
    assert node.exit_status == 430
    assert "wall time of 77 s" in node.exit_message


def test_scheduler_says_out_of_memory(parse, frames):
    _, node = parse("sample", {"start": frames}, exit_status=110)
    assert node.exit_status == 420


@pytest.mark.parametrize("result", ["{", "[]", '{"seconds": 1}'])
def test_result_that_is_not_one(parse, frames, result):
    _, node = parse("sample", {"start": frames}, result=result)
    assert node.exit_status == 301


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("sample", "frames.npz"),
        ("select", "selected.npz"),
        ("label", "labelled.npz"),
        ("describe", "features.npz"),
        ("predict", "prediction.npz"),
        ("observe", "observation.json"),
        ("train", "history.json"),
    ],
)
def test_result_without_its_files(parse, frames, name, missing):
    inputs = {"start": frames, "configurations": frames}
    if name in {"describe", "observe"}:
        inputs = {"configurations__frames": frames}
    _, node = parse(name, inputs, result={})
    assert node.exit_status == 301
    assert missing in node.exit_message


@pytest.mark.parametrize(("name", "file"), [("sample", "frames.npz"), ("describe", "features.npz")])
def test_files_that_are_not_what_they_should_be(parse, frames, name, file):
    inputs = {"configurations__frames": frames} if name == "describe" else {"start": frames}
    _, node = parse(name, inputs, result={}, files={file: b"PK nonsense"})
    assert node.exit_status == 301
    assert file in node.exit_message
