"""What would be most useful next, in plain words: one sentence, from how the campaign ended and what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.formatting import count, find, percent

FAILED_SHARE = 0.1
"""More failed labels than this come before anything else."""
HARDER = 1.5
"""Selected frames this much worse than the average one say that there is still something to learn."""
MENDING = {
    401: "Look at the sampling: a gentler one, or a potential trained on more, comes further.",
    402: "Look at the selectors: they must leave something to label.",
    403: "Look at the failed labels in the ledger below; once their cause is mended, the labels that exist are not "
    "computed again.",
    404: "Look at the training: its settings, and frames with extreme labels.",
    405: "Look at the validation's job.",
}


def next_step(facts: CampaignFacts) -> str:
    """Advise on what to do next."""
    if facts.outcome.state == "running":
        return f"Wait, and watch it with `aiida-bloomery status {facts.pk} --watch`."
    if facts.outcome.state == "failed":
        advice = next((text for code, text in MENDING.items() if f"exit code {code})" in facts.outcome.message), "")
        return f"`verdi process report {facts.pk}` tells what happened. {advice}".strip()
    if facts.ledger and len(facts.failures) > FAILED_SHARE * len(facts.ledger):
        share = percent(len(facts.failures) / len(facts.ledger))
        return (
            f"{share} of the labels failed, so the potential may never have seen what is hard for the reference "
            "method: read their reasons in the ledger first."
        )
    return _after(facts, str(facts.decision.get("rule", "")))


def _after(facts: CampaignFacts, rule: str) -> str:
    if rule == "nothing_left":
        if not facts.decision.get("success"):
            return "Mend the bootstrap: let its samplers make more, or its selectors keep more."
        return (
            "The sampling finds nothing new any more: to widen what the potential knows, sample more widely (hotter, "
            "longer, other structures); to sharpen it, select frames at a smaller distance."
        )
    if rule in {"max_labels", "max_iterations"}:
        return _more(facts, rule)
    if facts.decision.get("success"):
        if not facts.measured:
            return (
                "The errors asked for are reached. Before the potential is used, measure with it what it is meant for, "
                "beside the reference method (`bloomery observe`, or observables in the campaign file)."
            )
        return "The errors asked for are reached: use the potential, and watch its disagreement where you use it."
    return "Decide from the figures below whether more labels are worth their cost."


def _more(facts: CampaignFacts, rule: str) -> str:
    """Whether more of the same helps: selected frames that are no harder than the average one say that it does not."""
    budget = "stop.labels" if rule == "max_labels" else "stop.iterations"
    worse = _hardness(facts.iterations[-1]) if facts.iterations else None
    if worse is None:
        return f"Raise `{budget}` and run the campaign again: labels that exist are not computed again."
    if worse > HARDER:
        return (
            f"The frames selected last were wrong by {worse:.1f} times the error of the average frame, so more "
            f"iterations would still teach: raise `{budget}` and run the campaign again; labels that exist are not "
            "computed again."
        )
    frames = int(facts.validation_summary.get("n_frames", 0))
    probe = (
        f" First let the probe grow: with {count(frames, 'frame')} its intervals are wide." if 0 < frames < 30 else ""
    )
    return (
        "The frames selected last were hardly worse than the average one, so more of the same would teach little: a "
        f"more flexible potential, or a wider sampling, is worth more than further labels.{probe}"
    )


def _hardness(iteration: Mapping[str, Any]) -> float | None:
    """Error of the selected frames over that of the probe's new ones, both by the potential before."""
    selected, average = (find(iteration, "assess", part, "forces", "rmse") for part in ("selected", "probe"))
    if selected is None or average is None or not average["value"] > 0:
        return None
    return float(selected["value"]) / float(average["value"])
