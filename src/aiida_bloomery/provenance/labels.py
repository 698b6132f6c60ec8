"""Labels of a campaign found by what made them or by what is known of their frames, and what a word would leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.common.links import LinkType

from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from bloomery.campaign.words import LEARNT, Entry, Verb, Word, matching, refusal, with_words
from bloomery.errors import InputError
from bloomery.frames.suspects import largest_forces


def of_job(found: Sequence[Entry], identifier: str) -> list[Entry]:
    """Return the entries of a ledger whose label a job gave, by PK or UUID; `InputError` if there are none."""
    try:
        job = orm.load_node(int(identifier) if identifier.isdigit() else identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise InputError(f"--job {identifier}: there is no such process.") from error
    labels = [entry for entry in found if entry["job"] == str(job.uuid) and entry["outcome"] != "failed"]
    if not labels:
        raise InputError(f"--job {identifier}: no label of this campaign is from {job.__class__.__name__} {job.pk}.")
    return labels


def of_version(found: Sequence[Entry], version: str) -> list[Entry]:
    """Return the entries whose label a program of some version gave; `InputError` if there are none.

    It is given as its name and the beginning of its version, such as ``pw.x 6.7``.
    """
    jobs = {str(entry["job"]) for entry in found if entry["job"] and entry["outcome"] != "failed"}
    known = {job: set(_versions(job)) for job in sorted(jobs)}
    right = {job for job, versions in known.items() if any(text.startswith(version) for text in versions)}
    if not right:
        told = ", ".join(sorted(set().union(*known.values()))) or "not known"
        raise InputError(f"--code-version {version}: no label is from it; the versions are {told}.")
    return [entry for entry in found if entry["job"] in right and entry["outcome"] != "failed"]


def _versions(job: str) -> Iterator[str]:
    """Programs with their versions that a job ran, as it says itself, or as what was read from it does."""
    try:
        node = orm.load_node(uuid=job)
    except (NotExistent, ValueError):
        return
    for output in node.base.links.get_outgoing(link_type=LinkType.CREATE).all_nodes():
        versions = output.base.attributes.get("versions", None)
        if isinstance(versions, dict):
            yield from (f"{name} {version}" for name, version in versions.items())
        made = [output]
        for reader in output.base.links.get_outgoing(link_type=LinkType.INPUT_CALC).all_nodes():
            made += reader.base.links.get_outgoing(link_type=LinkType.CREATE).all_nodes()
        for other in made:
            text = (
                str(other.base.attributes.get(VERSION_ATTRIBUTE, "")) if isinstance(other, ConfigurationsData) else ""
            )
            if text and ", " not in text:
                yield text


def of_query(campaign: orm.ProcessNode, found: Sequence[Entry], query: str) -> list[Entry]:
    """Return the entries that a query is true of, see `matching`; `InputError` if it is true of none.

    Known of a frame are what the ledger says, its numbers and texts (``temperature``, ``pool``, ``role``, ...), and
    ``n_atoms``, ``energy_per_atom`` in eV and ``largest_force`` in eV/Å.
    """
    facts = facts_of(campaign)
    labelled = [entry for entry in found if entry["outcome"] != "failed"]
    rows = [{**facts.get((entry["batch"], entry["hash"]), {}), **entry} for entry in labelled]
    places = matching(query, rows)
    if not places:
        raise InputError(f"--query {query!r}: is true of no label.")
    return [labelled[place] for place in places]


def facts_of(campaign: orm.ProcessNode) -> dict[tuple[str, str], dict[str, Any]]:
    """What is known of every labelled frame, by batch and content hash."""
    result: dict[tuple[str, str], dict[str, Any]] = {}
    for batch, node in campaigns.all_labelled(campaign).items():
        frames = node.configurations
        energies, known = frames.label("energy")
        largest = largest_forces(frames)
        for index, content in enumerate(node.hashes):
            row = {key: values[index].item() for key, values in frames.info.items() if values.ndim == 1}
            row["n_atoms"] = int(frames.counts[index])
            if known[index]:
                row["energy_per_atom"] = float(energies[index] / frames.counts[index])
            if not np.isnan(largest[index]):
                row["largest_force"] = float(largest[index])
            result[batch, content] = row
    return result


def check_word(campaign: orm.ProcessNode, found: Sequence[Entry], chosen: Sequence[Entry], word: Word) -> None:
    """Raise `InputError` for the first frame that a word cannot be said of, or if it left nothing to train on."""
    verb: Verb = word.verb
    for entry in chosen:
        if message := refusal(verb, entry):
            raise InputError(message)
        if verb in {"accept", "retry"} and not str(entry["batch"]).startswith("batch_"):
            raise InputError(
                f"frame {entry['batch']}:{entry['frame']} is of the control arm, whose labels can only be taken out."
            )
    facts = facts_of(campaign)
    after = with_words(found, [word])
    trained = ("train", "")
    left = [
        entry
        for entry in after
        if entry["outcome"] in LEARNT
        and str(entry["batch"]).startswith("batch_")
        and facts.get((entry["batch"], entry["hash"]), {}).get("role", "") in trained
    ]
    if not left:
        raise InputError("nothing would be left to train on; leave some frames in.")
