"""What a campaign file says about labelled frames that exist: its checks, what they cost, and the nodes that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import numpy as np

from aiida_bloomery.campaign_file.campaign import Campaign, Key
from aiida_bloomery.campaign_file.labellers import labeller
from bloomery.campaign.adoption import ADOPTED, DataSettings, SourceSettings
from bloomery.frames.census import coinciding, isolated_atoms, labelled, oddities
from bloomery.frames.configurations import Configurations
from bloomery.frames.suspects import SuspectSettings, suspects
from bloomery.seeds import digest_of_file

if TYPE_CHECKING:
    from aiida_bloomery.data.configurations import ConfigurationsData

KEY = "data"
LATER = ("archive", "relabel", "trusted")
"""Keys of entries that a digest is made without where they do not stand in the file."""
FEW = 5
"""Frames to learn from, below which a committee can hardly be trained."""
SHOWN = 3
"""Of labels that cannot be right so many are told with their reasons."""


def check_data(campaign: Campaign) -> None:
    """See that labelled frames are that, and can be learnt from; raise `InputError` for the first mistake."""
    file, source = campaign.file, campaign.source
    begun = file.data and file.potential is None
    if begun and file.bootstrap is not None and file.bootstrap.samplers is None:
        raise source.error(
            ("bootstrap",), "has no samplers, and data begin the campaign; add samplers, or leave it out."
        )
    for index, entry in enumerate(file.data):
        key: Key = (KEY, index)
        if any(entry.name == other.name for other in file.data[:index]):
            raise source.error(key, f"{entry.name} stands in the list already; remove it.")
        if entry.archive is not None:
            _check_archive(campaign, index, entry.archive)
        if entry.file is None:
            continue
        frames = campaign.data[index]
        if not len(frames):
            raise source.error(key, f"{entry.name} holds isolated atoms alone; give frames to learn from.")
        for label in () if entry.relabel else entry.require:
            missing = np.flatnonzero(~frames.has(label))
            if len(missing) == len(frames):
                raise source.error(key, f"no frame of {entry.name} has the label {label!r}; {_remedy(label)}")
            if len(missing):
                raise source.error(
                    key,
                    f"frame {missing[0]} of {entry.name} has no label {label!r} ({len(missing)} of {len(frames)} have "
                    f"none); {_remedy(label)}",
                )
        check_elements(campaign, frames.elements, index)
        if (found := coinciding(frames)) is not None:
            raise source.error(key, f"frame {found[0]} of {entry.name}: {found[1]}; mend or remove it.")
        if not file.check_labels and not (entry.same_method or entry.method or entry.relabel):
            raise source.error(
                key,
                f"does not say by which method the labels of {entry.name} are, and check_labels is 0; add "
                "`same_method: true` if you know that it is the one that labels, or `method:` with words.",
            )


def _check_archive(campaign: Campaign, index: int, name: str) -> None:
    """Raise `InputError` if a file is not there, or no archive of AiiDA; which campaigns it holds a profile tells."""
    path, key = campaign.source.path_of(name), (KEY, index, "archive")
    if not path.is_file():
        raise campaign.source.error(key, f"there is no file {name!r}; correct its path.")
    if not is_zipfile(path):
        raise campaign.source.error(key, f"{name} is no archive of AiiDA; give what `aiida-bloomery archive` wrote.")


def _remedy(label: str) -> str:
    return f"remove such frames, name its `prefix`, or leave {label} out of `require`."


def check_elements(campaign: Campaign, elements: list[str], index: int) -> None:
    """Raise `InputError` if data hold elements that no starting structure does."""
    unknown = sorted(set(elements) - set(campaign.structures.elements))
    if unknown:
        raise campaign.source.error(
            (KEY, index),
            f"{campaign.file.data[index].name} holds {', '.join(unknown)}, which no starting structure does, so that "
            "nothing labels it; add a structure with it, or remove these frames.",
        )


def data_notes(campaign: Campaign) -> Iterator[str]:
    """Yield what is allowed of data, and perhaps not meant."""
    file, seen = campaign.file, set[str]()
    for index, frames in campaign.data.items():
        entry, where = file.data[index], f"{KEY}.{index}"
        for sentence in oddities(frames.without_labels() if entry.relabel else frames):
            yield f"{where}: {entry.name}: {sentence}"
        if not (entry.relabel or entry.trusted):
            yield from (f"{where}: {entry.name}: {sentence}" for sentence in _doubts(frames, file.suspects))
        hashes = frames.hashes()
        new = set(hashes) - seen
        if len(new) < len(hashes):
            yield f"{where}: {len(hashes) - len(new)} of {len(hashes)} frames are there already, and left out."
        seen |= new
        if new and not (entry.same_method or entry.method or entry.relabel):
            yield (
                f"{where}: does not say by which method {entry.name} was labelled; {_checked(campaign, len(new))} "
                "labelled again, and settle it (`same_method: true` says that you know)."
            )
        if atoms := isolated_atoms(_as_read(campaign, index)):
            told = ", ".join(f"{element}: {energy:.6g}" for element, energy in sorted(atoms.items()))
            yield f"{where}: isolated atoms are no frames to learn from; `energy_reference: {{{told}}}` uses them."
    if campaign.data and not any(entry.file is None for entry in file.data) and len(seen) < FEW:
        yield f"{KEY}: {len(seen)} frame(s) are few to begin with; add frames, or samplers under bootstrap."
    known = {entry.file for entry in file.data} | labeller(campaign).labelled_files()
    for index, start in enumerate(file.structures):
        found, name = campaign.source.read_frames(start.file, ("structures", index)), start.file
        if labelled(found).any() and name not in known:
            yield f"structures.{index}: labels in {name} are not used here; `{KEY}: {name}` learns from them."


def _doubts(frames: Configurations, settings: SuspectSettings | None) -> Iterator[str]:
    """Which labels of a file cannot be right, and will be kept out."""
    found = suspects(frames, settings=settings)
    for frame in list(found)[:SHOWN]:
        yield f"frame {frame} will be kept out. {found[frame]} `trusted: true` learns from it nevertheless."
    if len(found) > SHOWN:
        yield f"frames {', '.join(map(str, list(found)[SHOWN:]))} will be kept out too, for such reasons."


def _as_read(campaign: Campaign, index: int) -> Configurations:
    """All frames of a file, isolated atoms among them."""
    entry = campaign.file.data[index]
    return campaign.source.read_frames(str(entry.file), (KEY, index), **entry.how)


def _checked(campaign: Campaign, n_frames: int) -> str:
    n = min(campaign.file.check_labels, n_frames)
    return f"{n} frame is" if n == 1 else f"{n} frames are"


def plan_check(campaign: Campaign) -> int:
    """How many frames of data are labelled again at most; how many a campaign has is not known without a profile."""
    total = 0
    for index, entry in enumerate(campaign.file.data):
        there = len(campaign.data[index]) if index in campaign.data else campaign.file.check_labels
        total += there if entry.relabel else min(campaign.file.check_labels, there)
    return total


# -- with a profile ---------------------------------------------------------------------------------------------------


def data_inputs(
    campaign: Campaign, labeller: str, labelling: Mapping[str, Any]
) -> tuple[dict[str, ConfigurationsData], dict[str, object]]:
    """Nodes of the labelled frames by key, and the `DataSettings` that tell of them; empty if there are none.

    Raise `InputError` if a campaign that is named is none, runs, or was labelled by another method.
    """
    from aiida_bloomery.data.configurations import FILE_DIGEST  # noqa: PLC0415

    nodes: dict[str, ConfigurationsData] = {}
    sources = []
    for index, entry in enumerate(campaign.file.data):
        found = _file_nodes(campaign, index) if entry.file is not None else _batches(campaign, index)
        nodes |= found
        about: dict[str, object] = {"name": entry.name, "batches": list(found), "method": entry.method}
        about |= {"relabel": True, "checked": False} if entry.relabel else {}
        about |= {"trusted": True} if entry.trusted else {}
        if entry.file is not None:
            (node,) = found.values()
            about |= {"digest": node.base.attributes.get(FILE_DIGEST), "block_frames": entry.block_frames}
        else:
            about |= _of_campaign(campaign, index, labeller, labelling)
        sources.append(SourceSettings.model_validate(about))
    if not sources:
        return {}, {}
    settings = DataSettings(sources=sources, check_labels=campaign.file.check_labels)
    return nodes, settings.model_dump(mode="json")


def data_digest(campaign: Campaign) -> list[object]:
    """What tells these data from others: options, and the content of files or the UUID of campaigns."""
    told: list[object] = []
    for index, entry in enumerate(campaign.file.data):
        content = campaign.data[index].digest() if entry.file is not None else str(_named(campaign, index).uuid)
        said = entry.model_dump(mode="json", exclude={key for key in LATER if not getattr(entry, key)})
        told.append([said, content])
    return [*told, campaign.file.check_labels]


def _file_nodes(campaign: Campaign, index: int) -> dict[str, ConfigurationsData]:
    from aiida_bloomery.data.configurations import FILE_DIGEST, ConfigurationsData  # noqa: PLC0415

    entry = campaign.file.data[index]
    node = ConfigurationsData(campaign.data[index])
    node.label = entry.name
    node.base.attributes.set(FILE_DIGEST, digest_of_file(campaign.source.path_of(str(entry.file))))
    return {f"{ADOPTED}{index:03d}": node}


def _named(campaign: Campaign, index: int) -> Any:
    """The campaign that an entry names; one of an archive is imported."""
    from aiida_bloomery.provenance.archives import campaign_in  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    entry, key = campaign.file.data[index], _key(campaign, index)
    with campaign.source.at(key):
        if entry.archive is not None:
            return campaign_in(campaign.source.path_of(entry.archive), entry.campaign)
        return load_campaign_node(str(entry.campaign))


def _key(campaign: Campaign, index: int) -> Key:
    return (KEY, index, "campaign" if campaign.file.data[index].archive is None else "archive")


def _batches(campaign: Campaign, index: int) -> dict[str, ConfigurationsData]:
    """The data set of a campaign that an entry names, by key here."""
    from aiida_bloomery.provenance.campaign import data_set  # noqa: PLC0415

    node, key = _named(campaign, index), _key(campaign, index)
    if not node.is_terminated:
        raise campaign.source.error(
            key, f"campaign {node.pk} runs; wait for its end, or `aiida-bloomery end {node.pk}`."
        )
    found: dict[str, ConfigurationsData] = data_set(node)
    if not found:
        raise campaign.source.error(key, f"campaign {node.pk} has no labelled frame; name another.")
    check_elements(campaign, sorted({element for batch in found.values() for element in batch.elements}), index)
    return {f"{ADOPTED}{index:03d}_{batch}": one for batch, one in found.items()}


def _of_campaign(campaign: Campaign, index: int, labeller: str, labelling: Mapping[str, Any]) -> dict[str, object]:
    """What is known of the method of a campaign's labels."""
    from aiida_bloomery.calculations.label_cache import method_digest  # noqa: PLC0415

    entry, node = campaign.file.data[index], _named(campaign, index)
    told: dict[str, object] = {"name": f"campaign {node.label or node.pk}", "campaign": str(node.uuid)}
    if entry.relabel:
        return told
    theirs = method_digest(node.inputs.labeller.value, node.inputs.labelling)
    same = theirs == method_digest(labeller, labelling)
    if not same and not entry.same_method:
        raise campaign.source.error(
            _key(campaign, index),
            f"campaign {node.pk} was labelled by {node.inputs.labeller.value} with other settings than these; add "
            "`relabel: true` to label its frames again by these, or `same_method: true` if you know that the labels "
            "agree.",
        )
    return told | {"checked": not same}
