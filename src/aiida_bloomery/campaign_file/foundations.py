"""Foundations in a campaign file: which of them drive, where they run, and what is known of them before they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.model import CampaignFile
from aiida_bloomery.campaign_file.reader import parse_model
from bloomery.campaign.schedules import SamplerSpec
from bloomery.errors import BloomeryError
from bloomery.foundations.contract import MODEL, Foundation, FoundationSpec
from bloomery.plugins import PluginSpec, declares
from bloomery.seeds import digest_of_file

KEY, BASELINE = "foundation", "baseline"
"""Of the file's foundation, and of a sampler's own; of that of an engine."""


def with_foundation(spec: SamplerSpec, file: CampaignFile, source: Source, key: Key) -> SamplerSpec:
    """Return a sampler as it will run: one that a foundation drives has the file's, unless it names one.

    Raise `InputError` if there is none, or its file is not there.
    """
    if not _is_driven(spec):
        return spec
    given = spec.settings.get(KEY, file.foundation)
    if given is None:
        raise source.error(
            (*key, spec.name), "no foundation is named to drive it; add one to the file, such as foundation: sevennet."
        )
    where = (*key, spec.name, KEY) if KEY in spec.settings else (KEY,)
    named = resolved(parse_model(FoundationSpec, given, source, where), file, source, where)
    return spec.model_copy(update={"settings": {**spec.settings, KEY: named}})


def resolved(spec: FoundationSpec, file: CampaignFile, source: Source, key: Key) -> dict[str, object]:
    """Return a foundation as its jobs take it: with the campaign's device, and files by their full paths and digests.

    Files that are not here must be on the machine of its code, and have full paths.
    """
    foundation = spec.foundation()
    settings: dict[str, object] = dict(spec.settings)
    known = type(foundation.settings).model_fields
    if "device" in known and file.device != "auto":
        settings.setdefault("device", file.device)
    for name, given in foundation.paths.items():
        path = (source.folder / Path(given).expanduser()).resolve()
        if foundation.is_weights(path) if name == MODEL else path.exists():
            settings[name] = str(path)
            if name == MODEL and "digest" in known:
                settings.setdefault("digest", digest_of_file(path))
        elif not Path(given).is_absolute() or not _elsewhere(foundation, file):
            raise source.error((*key, spec.name, name), foundation.lacks(given))
    return {"name": spec.name, "settings": settings}


def foundations_of(campaign: Campaign) -> list[tuple[Key, Foundation]]:
    """The foundations that drive samplers or that potentials start from, each once, and that which labels.

    With each comes its place in the file.
    """
    file, found = campaign.file, dict[str, tuple[Key, Foundation]]()
    for stage in ("bootstrap", "sampling"):
        for key, spec in campaign.samplers(stage):
            if _is_driven(spec):
                own = _stands(campaign.source.content, (*key, spec.name, KEY))
                named = FoundationSpec.model_validate(spec.settings[KEY])
                place = (KEY,) if campaign.file.foundation is not None and not own else (*key, spec.name)
                found.setdefault(f"{place} {named.model_dump_json()}", (place, named.foundation()))
    if "starts" in campaign.settings and file.foundation is not None:
        named = FoundationSpec.model_validate(resolved(file.foundation, file, campaign.source, (KEY,)))
        found.setdefault(f"{(KEY,)} {named.model_dump_json()}", ((KEY,), named.foundation()))
    labels = labeller(campaign).labels_by(campaign)
    if labels is not None:
        found["labels"] = campaign.labeller_key(), labels.foundation()
    return list(found.values())


def named_foundations(campaign: Campaign) -> list[tuple[Key, Foundation]]:
    """Those of `foundations_of`, and that which the engine's potentials are added to, if there is one."""
    engine = campaign.training.engine
    spec = engine.load("engines").baseline
    own = [] if spec is None else [(("training", engine.name, BASELINE), spec.foundation())]
    return [*foundations_of(campaign), *own]


def with_baseline(file: CampaignFile, source: Source) -> CampaignFile:
    """Return the file with its engine's baseline as jobs take it; `InputError` if a file of it is not there."""
    if file.training is None:
        return file
    try:
        spec = file.training.load("engines").baseline
    except BloomeryError:  # said by the checks, with its place
        return file
    if spec is None:
        return file
    named = resolved(spec, file, source, ("training", file.training.name, BASELINE))
    engine = file.training.model_copy(update={"settings": {**file.training.settings, BASELINE: named}})
    return file.model_copy(update={"training": engine})


def code_key(foundation: Foundation, file: CampaignFile) -> str | None:
    """The entry under ``codes`` that a foundation runs by; ``None`` if by that of other sampling jobs."""
    key = foundation.environment or foundation.name
    return key if foundation.package or file.codes.entry(key) is not None else None


def foundation_keys(campaign: Campaign) -> dict[str, str]:
    """By name of each foundation that has a program of its own, its entry under ``codes``."""
    keys = {made.name: code_key(made, campaign.file) for _, made in foundations_of(campaign)}
    return {name: key for name, key in keys.items() if key is not None}


def check_foundations(campaign: Campaign) -> None:
    """See that foundations can be there, and cover all elements, as far as that is known without reading weights."""
    for key, foundation in named_foundations(campaign):
        check_foundation(campaign, key, foundation)


def check_foundation(campaign: Campaign, key: Key, foundation: Foundation) -> None:
    """See that one can be there, and covers all elements; what is wrong is said of its place."""
    with campaign.source.at(key):
        if not _elsewhere(foundation, campaign.file):
            foundation.check_class()
        foundation.refuse(campaign.structures.elements, foundation.covers)
        foundation.check_frames(campaign.structures, "structures: ")


def foundation_notes(campaign: Campaign, method: str) -> Iterator[str]:
    """Say what is allowed and perhaps not meant; ``method`` is what the labeller says of its functional."""
    found = foundations_of(campaign)
    if campaign.file.foundation is not None and not found:
        yield f"{KEY}: nothing is driven by it; add the sampler foundation_md to the bootstrap, or leave it out."
    driving = any(_is_driven(spec) for stage in ("bootstrap", "sampling") for _, spec in campaign.samplers(stage))
    for key, foundation in found:
        learnt = foundation.functional_for(campaign.structures.elements)
        if learnt and method and _plain(learnt) != _plain(method):
            yield (
                f"{'.'.join(map(str, key))}: {foundation.name} ({foundation.model}) learned {learnt}, and the labels "
                f"are {method}"
                + (
                    f": its frames have the bonds and densities of {learnt}, until a potential of the labels drives."
                    if driving
                    else "; potentials that start from it have to unlearn the difference."
                )
            )


def _plain(functional: str) -> str:
    return functional.upper().replace("-", "").replace("_", "")


def _stands(content: Any, key: Key) -> bool:
    """Whether a key stands in a file."""
    for part in key:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _is_driven(spec: PluginSpec) -> bool:
    return declares("samplers", spec.name, "driven_by_foundation")


def _elsewhere(foundation: Foundation, file: CampaignFile) -> bool:
    """Whether its jobs run on another machine, as the file says."""
    entry = file.codes.entry(code_key(foundation, file) or "sample") or file.codes.bloomery
    return entry.code is not None and not entry.code.endswith("@localhost")
