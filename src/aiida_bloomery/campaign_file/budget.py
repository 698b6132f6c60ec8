"""What a campaign may cost in core-hours, and whether its budget of hours fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.cost import plan_campaign
from aiida_bloomery.campaign_file.labellers.contract import Finding
from bloomery.campaign.words import Cost


def budget_notes(campaign: Campaign) -> Iterator[str]:
    """Say where a budget is never spent."""
    codes = campaign.file.codes
    entries = [codes.entry(key) for key in (*type(codes).model_fields, *(codes.__pydantic_extra__ or {}))]
    asked = any(entry.gpus or "gpu" in " ".join(entry.commands).lower() for entry in entries if entry is not None)
    if campaign.stop.gpu_hours is not None and not asked:
        yield "stop.gpu_hours: nothing under codes asks for GPUs, so that none are counted; say gpus there."


def budget_findings(campaign: Campaign, labelling: Mapping[str, Any]) -> Iterator[Finding]:
    """Say what labels may cost in all, if earlier campaigns know what one costs. A profile is loaded."""
    from aiida_bloomery.provenance.label_costs import known_cost  # noqa: PLC0415

    cost = known_cost(campaign.file.labeller, labelling)
    if cost is not None:
        yield expected_cost(campaign, cost)


def expected_cost(campaign: Campaign, cost: Cost) -> Finding:
    """What labels may cost in all, if each costs as much as the known ones did on average."""
    plan, limit = plan_campaign(campaign), campaign.stop.core_hours
    each = cost.core_seconds / cost.frames
    labels = plan.labels + plan.checked + plan.validation.labels
    in_all, first = (number * each / 3600 for number in (labels, plan.bootstrap.labels))
    told = (
        f"took {each:.3g} core-seconds on average, by {cost.frames} with these settings, so that {labels} at most take "
        f"about {in_all:.2g} core-hours; sampling and training come on top"
    )
    if limit is None or in_all <= limit:
        return Finding("cost of labels", told)
    if first < limit:
        return Finding("cost of labels", f"{told}; stop.core_hours ends the campaign after {limit:g}")
    more = f"{told}; the {plan.bootstrap.labels} of the bootstrap alone take about {first:.2g}"
    return Finding("cost of labels", f"{more}, and stop.core_hours is {limit:g}: allow more", "warning")
