"""Properties beyond the energy in a campaign file: who labels and learns them, and what is made of the models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.labellers import given_by, givers_of, labeller, labeller_part
from aiida_bloomery.campaign_file.labellers.contract import LabellerPart
from aiida_bloomery.campaign_file.model import CampaignFile
from aiida_bloomery.campaign_file.reader import parse_model
from bloomery.campaign.measuring import EACH, FINAL
from bloomery.campaign.properties import PROPERTIES, PropertiesSettings
from bloomery.errors import BloomeryError, DataWarning, InputError
from bloomery.frames.labels import LABELS
from bloomery.plugins import PluginSpec, load_plugin, registered
from bloomery.properties.contract import folder_of
from bloomery.properties.laws import check_defined, property_named
from bloomery.selectors.composition import properties_asked

KEY = PROPERTIES
"""Of the file, and of the settings of labellers that can say which properties they label."""


def with_properties(file: CampaignFile, source: Source) -> CampaignFile:
    """Return the file with a labeller that labels what is to be learnt, and observables that go by what is learnt.

    Raise `InputError` if the labeller gives no such property.
    """
    if not file.properties:
        return file
    try:
        part = labeller_part(file.labeller)
    except (LookupError, BloomeryError):  # said by the checks, with its place
        return file
    if not _carries(part):
        for name in file.properties:
            if name not in given_by(part):
                raise source.error((KEY, name), _not_given(file.labeller, name))
        settings = file.labeller_settings
        asked = settings.get(KEY) or []
        if isinstance(asked, list | tuple):
            more = [name for name in file.properties if name not in asked]
            file = file.with_labeller_settings({**settings, KEY: [*asked, *more]})
    if file.validation is None:
        return file
    whens = {when: [_with_models(spec, file) for spec in getattr(file.validation, when)] for when in (FINAL, EACH)}
    return file.model_copy(update={"validation": file.validation.model_copy(update=whens)})


def _carries(part: type[LabellerPart]) -> bool:
    """Whether labels are taken from files, which carry properties or do not."""
    return part.labelled_files is not LabellerPart.labelled_files and KEY not in part.model_fields


def _not_given(named: str, name: str) -> str:
    others = givers_of(name)
    what = f"by {' or '.join(others)}" if others else "with data that carry it, by lookup"
    return f"the labeller {named} does not give it; label {what}, or leave it out."


def _with_models(spec: PluginSpec, file: CampaignFile) -> PluginSpec:
    """Let an observable that goes by models of properties go by those of the campaign, unless it names its own."""
    if spec.name not in registered("observables"):
        return spec
    observable = load_plugin("observables", spec.name)
    return PluginSpec(
        name=spec.name,
        settings=observable.with_models(spec.settings, {name: folder_of(name) for name in file.properties}),
    )


def without_properties(file: CampaignFile, source: Source) -> CampaignFile:
    """Leave out properties and observables that go by models of them: a teacher of a rehearsal gives no properties."""
    if not file.properties:
        return file
    warnings.warn(
        str(source.error((KEY,), "is left out of the rehearsal, whose teacher labels energies and forces alone.")),
        DataWarning,
        stacklevel=2,
    )
    left: dict[str, Any] = {"properties": {}, "stop": file.stop.model_copy(update={KEY: {}})}
    if file.validation is not None:
        whens = {
            when: [spec for spec in getattr(file.validation, when) if not _needs_models(spec)] for when in (FINAL, EACH)
        }
        left["validation"] = file.validation.model_copy(update=whens)
    return file.model_copy(update=left)


def _needs_models(spec: PluginSpec) -> bool:
    if spec.name not in registered("observables"):
        return False
    observable = load_plugin("observables", spec.name)
    return bool(observable.properties) and not observable.models_are_optional


def properties_settings(file: CampaignFile) -> dict[str, object] | None:
    """The settings of the workchain's input, if anything is learnt."""
    if not file.properties:
        return None
    return PropertiesSettings(learned=file.properties).model_dump()


def check_properties(campaign: Campaign) -> None:
    """See that properties are defined for the frames, models are known, and stop rules ask for what is learnt.

    Raise `InputError` for the first mistake.
    """
    source = campaign.source
    for name, spec in campaign.file.properties.items():
        with source.at((KEY, name, "model")):
            plugin = load_plugin("property_models", spec.model.name)
        parse_model(plugin.Settings, spec.model.settings, source, (KEY, name, "model", spec.model.name))
        for where, frames in campaign.named_frames:
            try:
                check_defined(property_named(name), frames)
            except InputError as error:
                raise source.error((KEY, name), f"{where}: {error}") from error
    for stage in ("bootstrap", "sampling"):
        for key, selector in campaign.selectors(stage):
            for name in sorted(properties_asked([selector.load("selectors")]) - set(campaign.file.properties)):
                text = f"asks a model of the {name}, which is not learnt; add properties: [{name}], or remove it."
                raise source.error((*key, selector.name), text)
    for name, target in campaign.stop.properties.items():
        place: Key = ("stop", name)
        if name not in campaign.file.properties:
            raise source.error(place, f"the {name} is not learnt; add properties: [{name}], or remove this target.")
        if target.in_unit_of(name) is None:
            unit = LABELS[name].unit
            raise source.error(place, f"{target} is no error of the {name}; give it in % of its scatter or in {unit}.")
    _check_library(campaign)


def _check_library(campaign: Campaign) -> None:
    """Files that labels are taken from must carry what is to be learnt."""
    part = labeller(campaign)
    if not _carries(type(part)):
        return
    for file in sorted(part.labelled_files()):
        frames = campaign.source.read_frames(file, (*campaign.file.labeller_place,))
        for name in campaign.file.properties:
            if not frames.has(name).any():
                raise campaign.source.error((KEY, name), f"no frame of {file} has it; label some, or leave it out.")


def property_notes(campaign: Campaign) -> Iterator[str]:
    """Data to begin with that carry nothing of what is to be learnt."""
    for data in campaign.data.values():
        for name in campaign.file.properties:
            if not data.has(name).any():
                yield f"data: carry no {name}, so that it is learnt from new labels alone."
                return
