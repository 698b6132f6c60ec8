"""Samplers that the labeller drives, in a campaign file: dynamics by the campaign's own reference method."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.model import USE, CampaignFile
from bloomery.campaign.schedules import SamplerSpec
from bloomery.plugins import PluginSpec, declares

Spec = TypeVar("Spec", bound=PluginSpec)


def with_calculator(spec: PluginSpec, file: CampaignFile) -> dict[str, object]:
    """Settings of a sampler; one that the labeller drives has the labeller's calculator, unless it names one."""
    settings: dict[str, object] = dict(spec.settings)
    if _is_driven(spec) and _lends_calculator(file):
        settings.setdefault("calculator", file.labeller_settings["calculator"])
    return settings


def with_driver(spec: SamplerSpec, file: CampaignFile, source: Source, key: Key) -> SamplerSpec:
    """Return a sampler as it will run: what drives it is a calculator, or a labeller that drives by its own program.

    The latter is named only where it is not the one that labels. Raise `InputError` if there is none of that name, or
    the sampler cannot be driven by it.
    """
    name = spec.labelling
    if name is not None:
        where = (*key, "labelling")
        if not _is_driven(spec):
            raise source.error(where, f"no labeller drives {spec.name}; leave this out.")
        if "calculator" in spec.settings:
            raise source.error(where, "a calculator is named already; keep one of the two.")
        with source.at(where):
            lent = file.labelled_by(name)
        file, name = lent, None if name == file.labelling[USE] else name
    settings = with_calculator(spec, file)
    return spec.model_copy(update={"settings": settings, "labelling": None if "calculator" in settings else name})


def checkable(campaign: Campaign, spec: Spec) -> Spec:
    """Return a sampler as its plug-in takes it: a calculator stands in for a labeller that drives dynamics itself."""
    if not _by_labeller(campaign.labelled_by(_driver(spec)), spec):
        return spec
    return spec.model_copy(update={"settings": {**spec.settings, "calculator": "emt"}})


def check_driver(campaign: Campaign, spec: PluginSpec, key: Key) -> None:
    """See that a labeller that is to drive dynamics can, and with these settings; raise `InputError` if it cannot."""
    if not _by_labeller(campaign := campaign.labelled_by(_driver(spec)), spec):
        return
    name = campaign.file.labeller
    if f"bloomery.reference_md.{name}" not in entry_points(group="aiida.workflows").names:
        raise campaign.source.error(
            key, f"the labeller {name} cannot drive dynamics; name a calculator, such as {{calculator: emt}}."
        )
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    with campaign.source.at(key):
        WorkflowFactory(f"bloomery.reference_md.{name}").check_sampler(spec)


def _driver(spec: PluginSpec) -> str | None:
    """Name of the labeller that drives a sampler, if it is not the one that labels."""
    return spec.labelling if isinstance(spec, SamplerSpec) else None


def _by_labeller(campaign: Campaign, spec: PluginSpec) -> bool:
    """Whether a program of the labeller's own is to drive."""
    return _is_driven(spec) and "calculator" not in spec.settings and not _lends_calculator(campaign.file)


def _is_driven(spec: PluginSpec) -> bool:
    return declares("samplers", spec.name, "driven_by_labeller")


def _lends_calculator(file: CampaignFile) -> bool:
    """Whether the labels come from an ASE calculator that the labeller's settings name."""
    return "calculator" in file.labeller_settings
