"""Labels that exist, brought together in the order of the frames, and what happened to every frame."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TypedDict

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from aiida_bloomery.calculations.earlier import earlier_jobs
from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.data.ended import cause_of, how_it_ended
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS, MOMENTS
from bloomery.labellers.contract import LedgerEntry

NO_REMEDIES = {"max_seconds", "restart_mode", "startingpot", "startingwfc"}
"""Variables that say from where an attempt starts and for how long it may run, not what is done otherwise."""


class LabelProcesses(TypedDict, total=False):
    """What was run to label frames: UUIDs of packs with the frames in them, and of single frames.

    ``properties`` are labels beside the energy that were asked for.
    """

    packs: list[tuple[str, list[int]]]
    frames: dict[str, str]
    properties: list[str]


@calcfunction
def collect_labels(configurations: ConfigurationsData, processes: orm.Dict, **nodes: orm.Data) -> dict[str, orm.Data]:
    """Return `labelled`, the frames that have labels, and `ledger`, what happened to every frame.

    Parameters
    ----------
    processes
        UUIDs of what ran, for what failed and left no node: ``{"packs": [[uuid, [frame, ...]], ...],
        "frames": {frame: uuid}}``; ``properties`` are labels that were asked for beside the energy.
    nodes
        ``cached`` and ``labelled_*``: labelled frames; ``ledger_*``: ledgers of jobs, in the order in which they ran.
    """
    in_order = sorted(nodes.items())
    found = found_labels(configurations.hashes, [node for key, node in in_order if not key.startswith("ledger")])
    cached = set(nodes["cached"].hashes) if "cached" in nodes else set()
    ledgers = [node["entries"] for key, node in in_order if key.startswith("ledger")]
    tried = [LedgerEntry(**entry) for ledger in ledgers for entry in ledger]
    entries = [
        _entry(frame, hash_, found.get(hash_), hash_ in cached, tried, processes.get_dict())
        for frame, hash_ in enumerate(configurations.hashes)
    ]
    versions = versions_of(nodes.values())
    ledger = orm.Dict({"entries": [entry.as_dict() for entry in entries], "versions": versions})
    frames = [entry.frame for entry in entries if entry.outcome != "failed"]
    if not frames:
        return {"ledger": ledger}
    return {"ledger": ledger, "labelled": with_found_labels(configurations, frames, found, versions)}


def versions_of(nodes: Iterable[orm.Data]) -> list[str]:
    """Programs, with their versions, that the labels in nodes are from."""
    return sorted({node.base.attributes.get(VERSION_ATTRIBUTE, "") for node in nodes} - {""})


def found_labels(hashes: list[str], nodes: Iterable[ConfigurationsData]) -> dict[str, Configurations]:
    """Labelled frame by content hash."""
    found: dict[str, Configurations] = {}
    wanted = set(hashes)
    for node in nodes:
        for index, hash_ in enumerate(node.hashes):
            if hash_ in wanted:
                found.setdefault(hash_, node.configurations[index])
    return found


def with_found_labels(
    source: ConfigurationsData, frames: list[int], found: dict[str, Configurations], versions: list[str]
) -> ConfigurationsData:
    """The frames with all that their source says of them, the labels, and where these are from."""
    bare = source.configurations[frames].without_labels()
    parts = [found[hash_] for hash_ in bare.hashes()]
    values: dict[str, NDArray[np.float64]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in LABELS:
        labels = [part.label(name) for part in parts]
        masks[name] = np.concatenate([mask for _, mask in labels])
        if masks[name].any():
            values[name] = np.concatenate([value for value, _ in labels])
    origin = {
        key: np.array([str(part.info[key][0]) if key in part.info else "" for part in parts])
        for key in ("label_uuid", "label_folder")
    }
    labelled = bare.with_labels(masks=masks, **values).with_info(**origin)
    node = ConfigurationsData(with_parents(labelled, source, frames))
    node.base.attributes.set(VERSION_ATTRIBUTE, ", ".join(versions))
    return node


def _entry(
    frame: int,
    hash_: str,
    found: Configurations | None,
    is_cached: bool,
    tried: list[LedgerEntry],
    processes: LabelProcesses,
) -> LedgerEntry:
    """What happened to one frame, over all its attempts."""
    job = str(found.info["label_uuid"][0]) if found is not None and "label_uuid" in found.info else ""
    if is_cached:
        return LedgerEntry(frame, hash_, "cached", attempts=0, job=job, moments=_moments(found))
    tries = [entry for entry in tried if entry.hash == hash_]
    counted = _without_taken_up(tries)
    attempts = sum(entry.attempts for entry in counted)
    seconds = sum(float(entry.seconds) for entry in counted)
    exit_code, reason, last_job = (tries[-1].exit_code, tries[-1].reason, tries[-1].job) if tries else (0, "", "")
    for uuid, frames in processes.get("packs", []):
        if frame in frames and uuid not in {entry.job for entry in tries}:
            node = orm.load_node(uuid)
            exit_code, reason, last_job = node.exit_status or 1, how_it_ended(node), uuid
    single = processes.get("frames", {}).get(str(frame))
    if single is not None:
        node = orm.load_node(single)
        calculations = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
        attempts += len(calculations)
        seconds += sum(_seconds(calculation) for calculation in calculations)
        cause = cause_of(node)
        exit_code, reason = cause.exit_status or 1, f"{how_it_ended(cause)} {_remedies(calculations)}".strip()
        last_job = calculations[-1].uuid if calculations else node.uuid
    if found is not None:
        lacks = _lacks(found, tried=[entry for entry in tries if entry.job == job], wanted=processes)
        return LedgerEntry(
            frame, hash_, "labelled", attempts, round(seconds, 3), job=job, moments=_moments(found), lacks=lacks
        )
    return LedgerEntry(
        frame, hash_, "failed", attempts, round(seconds, 3), exit_code or 1,
        reason or "it was never finished: every job that it was in was ended before.", last_job,
    )  # fmt: skip


def _lacks(found: Configurations, *, tried: list[LedgerEntry], wanted: LabelProcesses) -> str:
    """Why a label lacks what was asked for beside the energy, in one sentence; empty if nothing is missing."""
    missing = [name for name in wanted.get("properties", []) if not found.has(name).all()]
    if not missing:
        return ""
    said = next((entry.lacks for entry in tried if entry.lacks), "")
    return said or f"It has no {' and '.join(missing)}: it was labelled alone, without what gives them."


def _without_taken_up(tries: list[LedgerEntry]) -> list[LedgerEntry]:
    """Tries without those whose folder a later one took up: its log begins with theirs, so it has counted them."""
    if len(tries) < 2:
        return tries
    taken_up = {job.uuid for entry in tries for job in earlier_jobs(orm.load_node(entry.job))}
    return [entry for entry in tries if entry.job not in taken_up]


def _remedies(calculations: list[orm.CalcJobNode]) -> str:
    """What was changed from attempt to attempt on a frame alone, in one sentence; empty if there was one attempt."""
    in_order = sorted(calculations, key=lambda node: node.pk or 0)
    given = [node.inputs.parameters.get_dict() for node in in_order if "parameters" in node.inputs]
    changes = []
    for before, after in pairwise(given):
        changed = [
            f"{name} {value}"
            for namelist, content in after.items()
            for name, value in content.items()
            if before.get(namelist, {}).get(name) != value and name not in NO_REMEDIES
        ]
        changes.append(", ".join(changed) or "the same once more")
    return f"Tried alone, then with {'; then with '.join(changes)}." if changes else ""


def _moments(found: Configurations | None) -> dict[str, float]:
    """Moments of a labelled frame as a whole, in μB."""
    if found is None:
        return {}
    labels = {name: found.label(name) for name in MOMENTS if LABELS[name].per == "frame"}
    return {name: round(float(values[0]), 3) for name, (values, mask) in labels.items() if mask[0]}


def _seconds(calculation: orm.CalcJobNode) -> float:
    """Wall time of a run of pw.x, as it counts itself, or as long as the job was there."""
    if "output_parameters" in calculation.outputs:
        own = calculation.outputs.output_parameters.get_dict().get("wall_time_seconds")
        if own is not None:
            return float(own)
    return float((calculation.mtime - calculation.ctime).total_seconds())


@calcfunction
def labels_from_cache(
    configurations: ConfigurationsData, wanted: orm.Dict | None = None, **sources: ConfigurationsData
) -> ConfigurationsData:
    """Return the frames of `configurations` that the sources hold labels of, with these labels.

    Of a frame that several sources hold the first counts, or that which ``wanted`` names by the frame's content hash;
    then frames that it does not name are left out. The origin of each label, `label_uuid` and `label_folder`, stays
    that of the calculation that made it.
    """
    held: dict[str, Configurations] = {}
    for key, node in sorted(sources.items()):
        frames = node.configurations
        for index, hash_ in enumerate(node.hashes):
            if wanted is not None and wanted.get_dict().get(hash_) != key:
                continue
            if any(mask[index] for mask in frames.masks.values()):
                held.setdefault(hash_, frames[index])
    indices = [index for index, hash_ in enumerate(configurations.hashes) if hash_ in held]
    parts = [held[configurations.hashes[index]] for index in indices]
    origin = {"label_uuid", "label_folder"}
    bare = [part.without_info(*(set(part.info) - origin)) for part in parts]
    return ConfigurationsData(with_parents(Configurations.concatenate(bare), configurations, indices))


@calcfunction
def merge_ledgers(**ledgers: orm.Dict) -> orm.Dict:
    """Return all entries in the order of the batches; each says its ``batch``, as ``batch_000``, and ``iteration``."""
    entries = []
    for batch, ledger in sorted(ledgers.items()):
        iteration = int(batch.rpartition("_")[2])
        entries += [{**entry, "batch": batch, "iteration": iteration} for entry in ledger["entries"]]
    return orm.Dict({"entries": entries})
