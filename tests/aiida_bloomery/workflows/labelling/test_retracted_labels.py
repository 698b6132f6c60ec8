"""Labels of pw.x that somebody has retracted are not found again."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm

from aiida_bloomery.calculations.functions.labels import labels_from_cache
from aiida_bloomery.calculations.functions.words import LEDGER, say
from aiida_bloomery.calculations.label_cache import find_labels, mark
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.campaign.words import NamedFrame, Verb, Word


@pytest.fixture
def held(profile: Any, make_silicon: Any) -> ConfigurationsData:
    """Three labels that the cache knows."""
    frames = make_silicon(3, 0.05, 77, labelled=True).with_info(label_uuid="job-1")
    node = ConfigurationsData(frames)
    mark(node, "a fingerprint of its own", "6.7")
    return node.store()


def speak(verb: Verb, node: ConfigurationsData, index: int) -> None:
    frame = {"batch": "batch_000", "frame": index, "hash": node.hashes[index]}
    word = Word(verb=verb, campaign="a-b", frames=[NamedFrame(**frame, job="job-1")], who="a@b", when="now", why="x")
    entries = [
        {"frame": place, "hash": content, "job": "job-1", "seconds": 1.0} for place, content in enumerate(node.hashes)
    ]
    say(orm.Dict(word.as_dict()), **{f"{LEDGER}batch_000": orm.Dict({"entries": entries})})


def test_a_retracted_label_is_passed_over_until_it_is_accepted(held: ConfigurationsData) -> None:
    hashes = held.hashes
    assert set(find_labels("a fingerprint of its own", hashes)) == set(hashes)
    speak("retract", held, 1)
    assert set(find_labels("a fingerprint of its own", hashes)) == {hashes[0], hashes[2]}
    speak("retry", held, 2)
    assert set(find_labels("a fingerprint of its own", hashes)) == {hashes[0]}
    speak("accept", held, 1)
    assert set(find_labels("a fingerprint of its own", hashes)) == {hashes[0], hashes[1]}


def test_a_source_gives_only_what_is_wanted_of_it(held: ConfigurationsData) -> None:
    bare = ConfigurationsData(held.configurations.without_labels().without_info("label_uuid")).store()
    wanted = orm.Dict({held.hashes[0]: "source_1"})
    given = labels_from_cache(bare, wanted, source_1=held)
    assert given.hashes == held.hashes[:1]
    assert labels_from_cache(bare, source_1=held).hashes == held.hashes
