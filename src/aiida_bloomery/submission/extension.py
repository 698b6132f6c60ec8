"""Go on with a campaign that has ended: the file of another that begins with its data set and its potential."""

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

    who = node.label or node.pk
    if not node.is_terminated:
        raise InputError(f"campaign {who} runs; wait for its end, or `aiida-bloomery end {node.pk}`.")
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
    said = str(content.get("name", who))
    content["name"] = name or (said if said != node.label else f"{said}-extended")
    return Source(source.path, content, source.lines), notes


def _kept(node: Any) -> Source:
    """The file of a campaign as it was submitted."""
    text = node.base.extras.get(FILE_EXTRA, None)
    if text is None:
        raise InputError(f"campaign {node.label or node.pk} does not know its file; give one: `extend {node.pk} FILE`.")
    told = json.loads(text)
    return Source(Path(told["path"]), told["content"], {})
