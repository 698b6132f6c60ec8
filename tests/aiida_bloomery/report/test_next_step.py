from types import SimpleNamespace

import pytest

from aiida_bloomery.report.facts import Outcome
from aiida_bloomery.report.next_step import next_step
from bloomery.campaign import advice
from bloomery.campaign.stopping import StopRules


def test_a_running_campaign_is_waited_for(example: SimpleNamespace) -> None:
    assert "--watch" in next_step(example.campaign(outcome=Outcome("running")))


@pytest.mark.parametrize(
    ("code", "word"), [(401, "sampling"), (403, "ledger"), (404, "training"), (1, "process report 42")]
)
def test_a_failed_one_is_told_where_to_look(code: int, word: str, example: SimpleNamespace) -> None:
    assert word in next_step(example.campaign(outcome=Outcome("failed", f"It failed (exit code {code})")))


def test_many_failed_labels_come_first(example: SimpleNamespace) -> None:
    said = next_step(example.campaign(ledger=[example.entry(0), example.entry(1, "failed", reason="x")]))
    assert said.startswith("50 % of the labels failed")


def test_otherwise_the_history_is_judged(example: SimpleNamespace) -> None:
    facts = example.campaign(ledger=[example.entry(0)])
    assert next_step(facts) == advice.next_step(facts.history, StopRules.model_validate(facts.inputs["stop"]))
