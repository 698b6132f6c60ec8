"""Samplers that the labeller drives, in a campaign file: dynamics by the campaign's own reference method."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from aiida_bloomery.campaign_file.campaign import Campaign, Key
from aiida_bloomery.campaign_file.model import CampaignFile
from bloomery.plugins import PluginSpec, declares

Spec = TypeVar("Spec", bound=PluginSpec)


def with_calculator(spec: PluginSpec, file: CampaignFile) -> dict[str, object]:
    """Settings of a sampler; one that the labeller drives has the labeller's calculator, unless it names one."""
    settings: dict[str, object] = dict(spec.settings)
    if _is_driven(spec) and _lends_calculator(file):
        settings.setdefault("calculator", file.labeller_settings["calculator"])
    return settings


def checkable(campaign: Campaign, spec: Spec) -> Spec:
    """Return a sampler as its plug-in takes it: a calculator stands in for a labeller that drives dynamics itself."""
    if not _by_labeller(campaign, spec):
        return spec
    return spec.model_copy(update={"settings": {**spec.settings, "calculator": "emt"}})


def check_driver(campaign: Campaign, spec: PluginSpec, key: Key) -> None:
    """See that a labeller that is to drive dynamics can, and with these settings; raise `InputError` if it cannot."""
    if not _by_labeller(campaign, spec):
        return
    name = campaign.file.labeller
    if f"bloomery.reference_md.{name}" not in entry_points(group="aiida.workflows").names:
        raise campaign.source.error(
            key, f"the labeller {name} cannot drive dynamics; name a calculator, such as {{calculator: emt}}."
        )
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    with campaign.source.at(key):
        WorkflowFactory(f"bloomery.reference_md.{name}").check_sampler(spec)


def _by_labeller(campaign: Campaign, spec: PluginSpec) -> bool:
    """Whether a program of the labeller's own is to drive."""
    return _is_driven(spec) and "calculator" not in spec.settings and not _lends_calculator(campaign.file)


def _is_driven(spec: PluginSpec) -> bool:
    return declares("samplers", spec.name, "driven_by_labeller")


def _lends_calculator(file: CampaignFile) -> bool:
    """Whether the labels come from an ASE calculator that the labeller's settings name."""
    return "calculator" in file.labeller_settings
