"""``aiida-bloomery selection`` shows the funnel, and what became of a frame."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from aiida_bloomery.cli import main
from aiida_bloomery.provenance.selections import selections
from bloomery.errors import InputError


@pytest.fixture
def command(profile):
    def call(*arguments, status=0):
        result = CliRunner().invoke(main, ["selection", *map(str, arguments), "--profile", profile.name])
        assert result.exit_code == status, result.output
        return result.output

    return call


def test_the_funnel_and_every_frame_of_it_agree(chain):
    for job in (chain.select, chain.select_1):
        (record,) = selections(job)
        (key, pool) = next(iter(record.pools.items()))
        fates = [record.fates(key, index)[0] for index in range(pool.n_frames)]
        steps = record.funnels()["selection"]
        for place, step in enumerate(steps):
            assert step["came_in"] - step["left"] == sum(len(fate.passed) == place for fate in fates)
        selected = job.outputs.selected.configurations.info
        assert sorted(fate.role for fate in fates if fate.role) == sorted(selected["role"].tolist())
        for fate, index in ((fates[int(index)], index) for index in selected["parent_index"]):
            row = int((selected["parent_index"] == index).argmax())
            assert fate.score == (selected["score"][row] if fate.role != "probe" else 0.0)


def test_what_became_of_a_frame(chain, command):
    (record,) = selections(chain.select_1)
    pool = record.pools["md_0"]
    dropped = next(index for index in range(pool.n_frames) if not record.fates("md_0", index)[0].role)
    output = command(chain.select_1.pk, "--frame", f"md_0:{dropped}")
    assert "farthest_point" in output
    assert f"md_0:{dropped}\n  selection: passed sanity" in output
    assert "dropped by" in output
    content = pool.configurations.hashes()[dropped]
    facts = json.loads(command(chain.select_1.pk, "--frame", content, "--json"))
    assert facts[0]["frame"]["index"] == dropped
    assert facts[0]["frame"]["fates"][0]["reason"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("md_0:99999", "pool md_0 has frames 0 to"),
        ("md_9:0", "there is no pool 'md_9'"),
        ("zzz", "no frame has a content hash that begins so"),
    ],
)
def test_a_frame_that_is_not_there(chain, command, frame, message):
    assert message in command(chain.select_1.pk, "--frame", frame, status=2)


def test_a_node_that_is_no_selection(chain, command):
    assert "is no campaign and no selection" in command(chain.sample.outputs.frames.pk, status=2)
    with pytest.raises(InputError, match="has no selection that is done"):
        selections(chain.campaign)
