"""What would be most useful next, in plain words: one sentence, from how the campaign ended and what it measured."""

from __future__ import annotations

from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.formatting import percent
from bloomery.campaign import advice
from bloomery.campaign.stopping import StopRules

FAILED_SHARE = 0.1
"""More failed labels than this come before anything else."""
MENDING = {
    210: "Look at units and settings of the data: they must be of the method that labels.",
    401: "Look at the sampling: a gentler one, or a potential trained on more, comes further.",
    402: "Look at the selectors: they must leave something to label.",
    403: "Look at the failed labels in the ledger below; once their cause is mended, the labels that exist are not "
    "computed again.",
    404: "Look at the training: its settings, and frames with extreme labels.",
    405: "Look at the validation's job.",
}


def next_step(facts: CampaignFacts) -> str:
    """Advise on what to do next; `bloomery.campaign.advice` judges where nothing went wrong."""
    if facts.outcome.state == "running":
        return f"Wait, and watch it with `aiida-bloomery status {facts.pk} --watch`."
    if facts.outcome.state == "failed":
        mending = next((text for code, text in MENDING.items() if f"exit code {code})" in facts.outcome.message), "")
        return f"`verdi process report {facts.pk}` tells what happened. {mending}".strip()
    if not facts.iterations:
        return f"`aiida-bloomery ledger {facts.pk}` tells what became of the frames."
    if facts.ledger and len(facts.failures) > FAILED_SHARE * len(facts.ledger):
        share = percent(len(facts.failures) / len(facts.ledger))
        return (
            f"{share} of the labels failed, so the potential may never have seen what is hard for the reference "
            "method: read their reasons in the ledger first."
        )
    return advice.next_step(facts.history, StopRules.model_validate(facts.inputs.get("stop") or {}), facts.runs)
