"""Go on with a campaign that has ended: the file of another that begins with its data set.

It begins with its potential too, or its frames are labelled again by another method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida_bloomery.campaign_file import Campaign, Source
from aiida_bloomery.campaign_file.reader import read_yaml
from aiida_bloomery.workflows.protocols import merge
from bloomery.errors import InputError

FILE_EXTRA = "campaign_file"
"""Extra of a campaign's node: its file as it was read, in JSON, with its path."""
BEGINNING = ("bootstrap", "data", "potential")
"""Keys that say what a campaign begins with."""
LABELLING, REFERENCE = "labelling", "energy_reference"
LONGEST = 200
"""Text that is longer is no name of a file."""


def keep_file(node: Any, campaign: Campaign) -> None:
    """Keep with a campaign the file that it is of."""
    told = {"path": str(campaign.source.path.resolve()), "content": campaign.source.content}
    node.base.extras.set(FILE_EXTRA, json.dumps(told, default=str))


def extension(node: Any, file: Path | None, changes: Mapping[str, object], name: str = "") -> tuple[Source, list[str]]:
    """Return the file of a campaign that goes on where another has ended, and notes on what is left out of it.

    Parameters
    ----------
    node
        The campaign that has ended.
    file
        A campaign file; by default that of the campaign itself.
    changes
        Values that differ from the file's, nested by its keys.
    name
        Of the new campaign; by default that of the file, or if it is that of the old one, this with ``-extended``.

    Raises
    ------
    InputError
        If the campaign runs, or has no potential; or the file cannot be read or is not known.
    """
    from aiida_bloomery.provenance.campaign import data_set, potential  # noqa: PLC0415

    who = _ended(node)
    driver = potential(node)
    if driver is None or not data_set(node):
        raise InputError(f"campaign {who} ended without a potential; mend and submit its file instead.")
    source = _kept(node) if file is None else read_yaml(file)
    own = {key: value for key, value in source.content.items() if key not in BEGINNING}
    notes = []
    if file is not None and "bootstrap" in source.content:
        notes.append(f"{file}: bootstrap is left out: what {who} has found is gone on with.")
    given = source.content.get("data") if file is not None else None
    more: list[Any] = given if isinstance(given, list) else [given] if given else []
    known = {str(node.uuid), str(node.pk), node.label}
    named = any(isinstance(entry, dict) and str(entry.get("campaign")) in known for entry in more)
    own["data"] = more if named else [{"campaign": str(node.uuid)}, *more]
    own["potential"] = (source.content.get("potential") if file is not None else None) or str(driver.uuid)
    content = merge(own, changes)
    content["name"] = _named(content, node, name, "extended")
    return Source(source.path, content, source.lines), notes


def relabelling(node: Any, file: Path, changes: Mapping[str, object], name: str = "") -> tuple[Source, list[str]]:
    """Return the file of a campaign whose first labels are those of another's frames by another method, and notes.

    It ends when they are labelled and learnt from, unless ``changes`` say that it goes on.

    Parameters
    ----------
    node
        The campaign that has ended.
    file
        Has the key ``labelling``; it and others that it has take the place of those of the campaign's file.
    changes, name
        As in `extension`.

    Raises
    ------
    InputError
        If the campaign runs, or has no data set; or the file cannot be read, or does not say who labels.
    """
    from aiida_bloomery.provenance.campaign import data_set  # noqa: PLC0415

    who = _ended(node)
    if not data_set(node):
        raise InputError(f"campaign {who} has no labelled frame; there is nothing to label again.")
    kept, given = _kept(node), read_yaml(file)
    if LABELLING not in given.content:
        raise InputError(f"{file}: does not say who labels; give it the key `{LABELLING}`, as campaign files have it.")
    gone, notes = {*BEGINNING, "control"}, []
    if isinstance(kept.content.get(REFERENCE), dict) and REFERENCE not in given.content:
        gone.add(REFERENCE)
        notes.append(f"{REFERENCE}: the values of {who} are left out, which belong to the method that labelled it.")
    own = {key: _found_from(kept.folder, value) for key, value in kept.content.items() if key not in gone}
    stop = own.get("stop")
    own |= {**given.content, "data": [{"campaign": str(node.uuid), "relabel": True}]}
    if "stop" not in given.content:
        own["stop"] = {**(stop if isinstance(stop, dict) else {}), "iterations": 0}
    content = merge(own, changes)
    content["name"] = _named(content, node, name, "relabelled")
    return Source(given.path, content, given.lines), notes


def _ended(node: Any) -> Any:
    """Return what a campaign is called; `InputError` if it runs."""
    who = node.label or node.pk
    if not node.is_terminated:
        raise InputError(f"campaign {who} runs; wait for its end, or `aiida-bloomery end {node.pk}`.")
    return who


def _named(content: Mapping[str, Any], node: Any, name: str, ending: str) -> str:
    """The name of the new campaign: the one that was given, or one that is not that of the old one."""
    said = str(content.get("name", node.label or node.pk))
    return name or (said if said != node.label else f"{said}-{ending}")


def _found_from(folder: Path, value: Any) -> Any:
    """What a file says, with files that it names relative to its folder by their whole path."""
    if isinstance(value, dict):
        return {key: _found_from(folder, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_found_from(folder, one) for one in value]
    there = isinstance(value, str) and len(value) < LONGEST and (folder / value).is_file()
    return str(folder / value) if there else value


def _kept(node: Any) -> Source:
    """The file of a campaign as it was submitted."""
    text = node.base.extras.get(FILE_EXTRA, None)
    if text is None:
        raise InputError(f"campaign {node.label or node.pk} does not know its file; give one: `extend {node.pk} FILE`.")
    told = json.loads(text)
    return Source(Path(told["path"]), told["content"], {})
