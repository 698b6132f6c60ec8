"""Trajectories that go on in a later run: where they stand is kept as frames, and taken up from them."""

from __future__ import annotations

import json

import numpy as np

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.checkpoint import State
from bloomery.samplers.dynamics.trajectories import Trajectory
from bloomery.samplers.origin import joined

KEYS = ("start", "slot", "step", "velocities", "thermostat")
"""Per-frame arrays without which a frame cannot be gone on from."""


def standing(prepared: list[Trajectory]) -> Configurations:
    """Return a frame for each trajectory that is to go on, with its origin and how it moves.

    Further arrays: ``slot``, number of the trajectory among those of its starting structure (int); ``velocities`` in
    ASE's unit, ``(N, n, 3)`` for ``n`` atoms in the largest frame, zero beyond a frame's own; ``thermostat``, the state
    of its random numbers and of the thermostat, as JSON (text); ``continued`` (int), as in `Sampler.continues`.
    """
    slots = _slots(prepared)
    found = [(index, item, item.left) for index, item in enumerate(prepared) if item.left is not None]
    most = max((len(left["velocities"]) for _, _, left in found), default=0)
    velocities = np.zeros((len(found), most, 3))
    for row, (_, _, left) in enumerate(found):
        velocities[row, : len(left["velocities"])] = left["velocities"]
    origins = [
        (item.start, index, left["step"], row, item.temperature, left["disagreement"], item.stop_reason)
        for row, (index, item, left) in enumerate(found)
    ]
    return joined([left["frame"] for _, _, left in found], origins).with_info(
        slot=np.array([slots[index] for index, _, _ in found], dtype=int),
        velocities=velocities,
        thermostat=np.array([json.dumps(left["thermostat"]) for _, _, left in found], dtype=np.str_),
        continued=np.array([item.continued for _, item, _ in found], dtype=int),
    )


def take_up(prepared: list[Trajectory], continued: Configurations, length: int, sampler: str) -> None:
    """Let trajectories go on from where an earlier run left those of the same structure and number.

    Others begin, among them those in whose place there was one of other atoms or in another state, or one that is as
    long as it may be. `InputError` names the frame that does not say how it moves.
    """
    missing = [key for key in KEYS if key not in continued.info]
    if missing:
        raise InputError(f"{sampler}: the frames to go on from have no {missing[0]}; give what its last run left.")
    places = {(item.start, slot): item for item, slot in zip(prepared, _slots(prepared), strict=True)}
    info = continued.info
    for row, frame in enumerate(continued.without_info(*info)):
        item = places.get((int(info["start"][row]), int(info["slot"][row])))
        step = int(info["step"][row])
        if item is None or not 0 <= step < length or not _same_atoms(item.frame, frame):
            continue
        item.motion = _motion(continued, row, sampler)
        item.frame, item.begun, item.done, item.continued = frame, step, step, row


def _same_atoms(first: Configurations, second: Configurations) -> bool:
    """Tell whether frames hold the same atoms in the same order and state."""
    return np.array_equal(first.numbers, second.numbers) and first.state_keys() == second.state_keys()


def _motion(continued: Configurations, row: int, sampler: str) -> State:
    velocities = continued.info["velocities"][row, : continued.counts[row]]
    try:
        thermostat = json.loads(str(continued.info["thermostat"][row]))
        np.random.default_rng().bit_generator.state = thermostat["generator"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{sampler}: the thermostat of frame {row} to go on from cannot be read ({error}).") from error
    if velocities.shape != (continued.counts[row], 3) or not np.isfinite(velocities).all():
        raise InputError(f"{sampler}: frame {row} to go on from has no velocity for every atom, or one is not finite.")
    return {"velocities": velocities, "thermostat": thermostat}


def _slots(prepared: list[Trajectory]) -> list[int]:
    """Number of each trajectory among those of its starting structure."""
    first: dict[int, int] = {}
    return [index - first.setdefault(item.start, index) for index, item in enumerate(prepared)]
