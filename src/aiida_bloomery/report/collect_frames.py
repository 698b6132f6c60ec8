"""Read off the graph what a report says of frames: those that were sampled, and those of the data set."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from aiida import orm
from numpy.typing import NDArray

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.campaign import Stage
from aiida_bloomery.provenance.trace import Tracer
from aiida_bloomery.report.facts import DataSet
from bloomery.campaign.advice import Run
from bloomery.campaign.record import Record
from bloomery.descriptors.maps import map_of
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec
from bloomery.samplers.contract import COMPLETED
from bloomery.samplers.dynamics.trajectories import PAUSED

ORIGIN = (
    "role", "source", "rule", "score", "pool", "trajectory", "step", "temperature", "disagreement", "stop_reason",
    "label_uuid", "label_folder", "parent_uuid", "parent_index",
)  # fmt: skip
"""What a labelled frame says of itself, by the names of its per-frame arrays."""
NEGATIVE_IS_UNKNOWN = frozenset({"temperature", "disagreement", "parent_index"})


def pool_disagreements(stages: list[Stage]) -> dict[int, NDArray[np.float64]]:
    """Disagreement in eV/Å on the frames of each iteration's pools, where it is known; by iteration."""
    found: dict[int, NDArray[np.float64]] = {}
    for stage in stages:
        if stage.name != "sample" or "pools" not in stage.process.outputs:
            continue
        parts = [node.configurations.info.get("disagreement") for node in stage.process.outputs.pools.values()]
        values = np.concatenate([np.zeros(0), *(part for part in parts if part is not None)])
        if (values >= 0).any():
            found[stage.iteration] = values[values >= 0]
    return found


def last_runs(stages: list[Stage]) -> list[Run]:
    """Trajectories of the last sampling that a potential drove."""
    sampled = [stage.process for stage in stages if stage.name == "sample" and "potential" in stage.process.inputs]
    runs = []
    for key, node in sampled[-1].outputs.reports.items() if sampled and "reports" in sampled[-1].outputs else ():
        sampler = PluginSpec.model_validate(sampled[-1].inputs.samplers[key]["sampler"])
        with suppress(InputError):
            planned = getattr(sampler.load("samplers").settings, "steps", 0)
            told = [entry for entry in node.get_dict().get("trajectories", []) if {"steps", "stop_reason"} <= {*entry}]
            ends = [(entry["steps"], entry["stop_reason"]) for entry in told]
            runs += [Run(steps, planned, "" if why in {COMPLETED, PAUSED} else why) for steps, why in ends]
    return runs


def data_set(campaign: orm.ProcessNode, stages: list[Stage], known: Record) -> DataSet | None:
    """Labelled frames of a campaign with all that is known of each; ``None`` before there are any."""
    batches = campaigns.data_set(campaign)
    if not any(node.n_frames for node in batches.values()):
        return None
    nodes = list(batches.values())
    frames = Configurations.concatenate([node.configurations for node in nodes])
    counts = [node.n_frames for node in nodes]
    iterations = np.repeat([campaigns.iteration_of(key) for key in batches], counts)
    columns = {key: [value for node in nodes for value in _values(node.configurations, key)] for key in ORIGIN}
    columns["hash"] = [content for node in nodes for content in node.hashes]
    columns |= _samplers(columns["parent_uuid"], columns["parent_index"])
    columns["error_before"], columns["error_now"] = _errors(stages, batches, known)
    return DataSet(
        configurations=frames,
        iteration=np.asarray(iterations, dtype=np.int64),
        index=np.concatenate([np.arange(count) for count in counts]),
        columns={key: values for key, values in columns.items() if any(value is not None for value in values)},
        map=map_of(frames),
    )


def _values(frames: Configurations, key: str) -> list[Any]:
    values = frames.info.get(key)
    if values is None or values.ndim != 1:
        return [None] * len(frames)
    plain = values.tolist()
    if key in NEGATIVE_IS_UNKNOWN:
        return [value if value >= 0 else None for value in plain]
    return [value if value != "" else None for value in plain]


def _samplers(selected: list[str | None], places: list[int | None]) -> dict[str, list[str | None]]:
    """Sampler of each frame, and the potential that drove it.

    Frames are given by the node that they were selected into, and their place in it. Every node is read once: there are
    few.
    """
    tracer = Tracer()
    origins = list(zip(selected, places, strict=True))
    parents = {uuid: _parents(uuid) for uuid in {uuid for uuid, place in origins if uuid and place is not None}}
    pools = [parents[uuid].get(place, "") if uuid and place is not None else "" for uuid, place in origins]
    known = {pool: _sampler(pool, tracer) for pool in dict.fromkeys(pools)}
    return {name: [known[pool][side] for pool in pools] for side, name in enumerate(("sampler", "driven_by"))}


def _parents(uuid: str) -> dict[int, str]:
    """UUID of the parent's node, by index of a frame."""
    node = orm.load_node(uuid=uuid)
    parents = node.configurations.info.get("parent_uuid") if isinstance(node, ConfigurationsData) else None
    return {} if parents is None else dict(enumerate(map(str, parents)))


def _sampler(pool: str, tracer: Tracer) -> tuple[str | None, str | None]:
    node = orm.load_node(uuid=pool) if pool else None
    if not isinstance(node, ConfigurationsData):
        return None, None
    creator = tracer.creator(node)
    sampler = None
    if creator is not None and "parameters" in creator.inputs:
        sampler = (creator.inputs.parameters.get_dict().get("sampler") or {}).get("name")
    potential = tracer.potential(node)
    return sampler, str(potential.uuid) if potential is not None else None


# -- errors by frame -------------------------------------------------------------------------------------------------


def _errors(
    stages: list[Stage], batches: dict[str, ConfigurationsData], known: Record
) -> tuple[list[float | None], list[float | None]]:
    """Force RMSE of each frame in eV/Å: before it was learned from, and by the latest potential, where known."""
    before: list[float | None] = []
    roles = {
        key: np.asarray(node.configurations.info.get("role", np.full(node.n_frames, "train")), dtype=np.str_)
        for key, node in batches.items()
    }
    for key, of_frames in roles.items():
        values: NDArray[Any] = np.full(len(of_frames), None, dtype=object)
        for stage in stages:
            of_batch = stage.name == "assess" and campaigns.BATCH.format(stage.iteration) == key
            if of_batch and _is_of(stage, {key: batches[key]}):
                _fill(values, of_frames == "probe", stage, "probe")
                _fill(values, of_frames != "probe", stage, "selected")
        before += values.tolist()
    everything = np.concatenate(list(roles.values()))
    now: NDArray[Any] = np.full(len(everything), None, dtype=object)
    for stage in reversed(stages):
        validated = campaigns.goes_on(stage, "validate", known) and _is_of(stage, batches)
        if validated and (everything == "held_out").any():
            _fill(now, everything == "held_out", stage, "held_out")
        if validated and _fill(now, everything == "probe", stage, "probe"):
            break
    return before, now.tolist()


def _is_of(stage: Stage, batches: dict[str, ConfigurationsData]) -> bool:
    """Whether these batches were measured, and not what they were before words on their labels."""
    inputs = stage.process.inputs
    given = inputs.configurations if "configurations" in inputs else {}
    return all(key in given and given[key].uuid == node.uuid for key, node in batches.items()) if given else True


def _fill(values: NDArray[Any], where: NDArray[np.bool_], stage: Stage, key: str) -> bool:
    """Put what a validation measured by frame into its place, if these are the frames that it measured."""
    outputs = stage.process.outputs
    arrays = outputs.arrays.get(key) if "arrays" in outputs else None
    if arrays is None or "frame_force_rmse" not in arrays.get_arraynames():
        return False
    errors, known = arrays.get_array("frame_force_rmse"), arrays.get_array("frame_force_components") > 0
    if len(errors) != int(where.sum()):
        return False
    values[where] = [float(error) if there else None for error, there in zip(errors, known, strict=True)]
    return True
