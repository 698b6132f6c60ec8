"""What campaigns wait for although daemon and broker run is said: a full disk, and jobs that AiiDA has paused."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from plumpy import ProcessState

from aiida_bloomery import services
from aiida_bloomery.calculations import ownership


def test_a_full_disk_and_paused_processes_are_named(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = orm.CalcJobNode()
    job.set_process_state(ProcessState.WAITING)
    job.set_process_label("TrainCalculation(hdnnp)")
    job.pause()
    job.set_process_status("Pausing after failed transport task: submit_calculation failed 5 times consecutively")
    job.store()
    sentence = (
        f"TrainCalculation(hdnnp) <{job.pk}> is paused (Pausing after failed transport task: submit_calculation failed "
        f"5 times consecutively): `verdi process play {job.pk}` lets it go on"
    )
    assert sentence in list(services._notes())
    assert not any("the disk" in note for note in services._notes())
    monkeypatch.setattr(ownership, "free_room", lambda: 3 * 2**20)
    assert any("is full (3 MiB left): campaigns wait until there are 32 MiB" in note for note in services._notes())
    job.set_process_state(ProcessState.KILLED)
    assert sentence not in list(services._notes())
