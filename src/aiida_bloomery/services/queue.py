"""The queue of the ZeroMQ broker: which processes have a task in it, and giving one to those that have lost it."""

from __future__ import annotations

import contextlib
import json
import time

from aiida_bloomery.services import processes

ARRIVAL = 10.0
"""Seconds that the broker may take to write a task down."""


def has_task(pk: int) -> bool:
    """Whether the broker's queue holds the process: what is active and has no task will never be picked up."""
    return any(pk in pks for pks in tasks())


def revive_lost() -> list[str]:
    """Give processes of our own profile a task again that have lost it, or never got one: their submitter was killed.

    AiiDA's own means of revival give them a task that is gone as soon as it is picked up, so that they would be lost
    when their worker dies; and counted as lost, and started twice, the next time somebody looks. Returns what was done,
    one sentence each.
    """
    if not processes.uses_zeromq() or not (lost := _lost()):
        return []
    # A task that moves in the queue while it is read can be overlooked once.
    time.sleep(2)
    lost = [pk for pk in _lost() if pk in lost]
    from aiida.manage.manager import get_manager  # noqa: PLC0415

    get_manager().reset_broker()
    for pk in lost:
        get_manager().get_process_controller().continue_process(pk, nowait=False, no_reply=True)
    deadline = time.monotonic() + ARRIVAL
    while time.monotonic() < deadline and set(lost) & set(_lost()):
        time.sleep(0.1)
    return [f"process {pk} had no task in the queue and was given one" for pk in lost]


def _lost() -> list[int]:
    """Active processes of daemons that no worker will ever pick up.

    Only what a daemon runs has a checkpoint. A child that its parent has called again since, under the same label, is
    not missed.
    """
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.provenance.progress import ACTIVE  # noqa: PLC0415

    filters = {"attributes.process_state": {"in": list(ACTIVE)}, "attributes": {"has_key": "checkpoints"}}
    active = orm.QueryBuilder().append(orm.ProcessNode, filters=filters, project=["id"]).all(flat=True)
    queued: set[int] = set().union(*tasks())
    return [pk for pk in active if pk not in queued and not _was_called_again(pk)]


def _was_called_again(pk: int) -> bool:
    from aiida import orm  # noqa: PLC0415

    calls = {"type": {"in": ["call_calc", "call_work"]}}
    query = orm.QueryBuilder().append(orm.ProcessNode, tag="parent", project=["id"])
    itself = {"filters": {"id": pk}, "edge_filters": calls, "edge_project": ["label"]}
    called = query.append(orm.ProcessNode, with_incoming="parent", **itself).first()
    if called is None:
        return False
    parent, label = called
    query = orm.QueryBuilder().append(orm.ProcessNode, filters={"id": parent}, tag="parent")
    later = {"id": {">": pk}}
    query.append(orm.ProcessNode, filters=later, with_incoming="parent", edge_filters={**calls, "label": label})
    return bool(query.count())


def tasks() -> tuple[set[int], set[int]]:
    """Processes whose tasks wait for a worker, and whose tasks a worker has.

    The files are read as they lie: AiiDA's own queue object would take tasks away from their workers.
    """
    folder = processes.broker_folder() / "storage" / "tasks"
    found: tuple[set[int], set[int]] = (set(), set())
    for pks, name in zip(found, ("pending", "processing"), strict=True):
        for path in (folder / name).glob("*.json"):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                pks.add(int(json.loads(processes.read(path))["body"]["args"]["pid"]))
    return found
