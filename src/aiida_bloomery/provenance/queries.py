"""Questions that are asked often, as functions: each is a short query that can be copied and changed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from aiida import orm

from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.provenance import campaign as campaigns

Frames = tuple[ConfigurationsData, list[int]]
"""A node, and the indices of the frames in it that were asked for."""


def frames_by_temperature(minimum: float, maximum: float) -> Iterator[Frames]:
    """Labelled frames that were sampled at a target temperature between two bounds in K, both included."""
    builder = orm.QueryBuilder()
    builder.append(
        ConfigurationsData,
        filters={
            "attributes.temperature.min": {"<=": maximum},
            "attributes.temperature.max": {">=": minimum},
            "attributes.labels": {"has_key": "energy"},
        },
    )
    for (node,) in builder.iterall():
        temperature = node.configurations.info["temperature"]
        indices = np.flatnonzero((temperature >= minimum) & (temperature <= maximum))
        if len(indices):
            yield node, indices.tolist()


def frames_by_error(potential: PotentialData, minimum: float) -> Iterator[tuple[ConfigurationsData, int, float]]:
    """Frames on which a potential's force RMSE is at least so many eV/Å, with that error, the worst first.

    They are those on which an observation of the potential gave ``frame_force_rmse``.
    """
    builder = orm.QueryBuilder()
    builder.append(PotentialData, filters={"uuid": potential.uuid}, tag="potential")
    builder.append(orm.CalcJobNode, with_incoming="potential", tag="observation", project="*")
    builder.append(orm.ArrayData, with_incoming="observation", edge_filters={"label": "arrays"}, project="*")
    found: dict[tuple[str, int], tuple[ConfigurationsData, int, float]] = {}
    for observation, arrays in builder.all():
        if "frame_force_rmse" not in arrays.get_arraynames():
            continue
        errors = arrays.get_array("frame_force_rmse")
        for (node, index), error in zip(observed_frames(observation), errors, strict=True):
            if error >= minimum:
                found[str(node.uuid), index] = (node, index, float(error))
    yield from sorted(found.values(), key=lambda entry: -entry[2])


def observed_frames(observation: orm.CalcJobNode) -> list[tuple[ConfigurationsData, int]]:
    """The frames that an observation was made on, in the order of its arrays."""
    roles = observation.inputs.parameters.get_dict().get("roles")
    found = []
    for _, node in sorted(observation.inputs.configurations.items()):
        role = node.configurations.info.get("role", np.full(node.n_frames, "train"))
        found += [(node, index) for index in range(node.n_frames) if roles is None or role[index] in roles]
    return found


def frames_by_iteration(campaign: orm.ProcessNode, iteration: int) -> ConfigurationsData | None:
    """Labelled frames of one iteration of a campaign, or ``None`` if it has none; 0 is the bootstrap."""
    return campaigns.data_set(campaign).get(campaigns.BATCH.format(iteration))


def labels_by_version(version: str) -> list[ConfigurationsData]:
    """Labelled frames by the version of the code that labelled them: all whose version begins like this."""
    builder = orm.QueryBuilder()
    builder.append(ConfigurationsData, filters={f"attributes.{VERSION_ATTRIBUTE}": {"like": f"{version}%"}})
    return list(builder.all(flat=True))


def labels_by_code(code: orm.AbstractCode) -> list[ConfigurationsData]:
    """Labelled frames that calculations with one code made."""
    builder = orm.QueryBuilder()
    builder.append(orm.AbstractCode, filters={"uuid": code.uuid}, tag="code")
    builder.append(orm.CalcJobNode, with_incoming="code", tag="calculation")
    builder.append(ConfigurationsData, with_incoming="calculation", edge_filters={"label": "labelled"})
    return list(builder.all(flat=True))


def potentials_of(batch: ConfigurationsData) -> list[PotentialData]:
    """Potentials that were fitted to a batch of labelled frames, the oldest first."""
    builder = orm.QueryBuilder()
    builder.append(ConfigurationsData, filters={"uuid": batch.uuid}, tag="batch")
    builder.append(orm.CalcJobNode, with_incoming="batch", edge_filters={"label": {"like": "batches%"}}, tag="training")
    builder.append(PotentialData, with_incoming="training", tag="potential")
    builder.order_by({"potential": {"id": "asc"}})
    return list(builder.all(flat=True))
