"""Campaigns through ssh, by both of AiiDA's ways: a cluster is added, and a connection that breaks comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.harness import Home, home_in
from tests.servers import missing
from tests.sshd import PROGRAMS, Server, sshd_in

pytestmark = [pytest.mark.integration, pytest.mark.daemon]

BROKEN = 25.0
"""Seconds without a connection: AiiDA tries again after twenty, forty, ..."""


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Home]]:
    """A server, and a home whose user may log in there."""
    if lacking := missing(*PROGRAMS):
        pytest.skip(f"{lacking} not installed: apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    with sshd_in(folder / "sshd") as server, home_in(folder / "home", HOME=str(server.home)) as home:
        yield server, home


@pytest.mark.parametrize("transport", ["ssh", "ssh_async"])
def test_a_campaign_survives_a_connection_that_breaks(
    reached: tuple[Server, Home], transport: str, program: Path, tmp_path: Path, campaign_file: Callable[..., Path]
) -> None:
    server, home = reached
    described: dict[str, Any] = {
        "label": transport,
        "host": "127.0.0.1",
        "transport": transport,
        "scheduler": "direct",
        "work": str(tmp_path / "work"),
        "cores": 2,
        "programs": {"bloomery": str(program)},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(described))
    added = home.facts("cluster", "add", file, "--no-rehearse")
    assert [step["what"] for step in added["steps"]][:3] == [f"computer {transport}", "connection", "tests of AiiDA"]
    again = home.facts("cluster", "add", file, "--no-rehearse")
    assert {step["state"] for step in again["steps"]} == {"there"}
    home.python(
        f"""
computer = orm.load_computer({transport!r})
computer.set_minimum_job_poll_interval(1.0)
computer.configure(**{{**computer.get_configuration(), 'safe_interval': 0.0}})
print('null')"""
    )
    changes = {"codes": {"bloomery": added["codes"]["bloomery"]}, "stop": {"iterations": {"min": 0, "max": 0}}}
    pk = home.submit(campaign_file(name=transport, **changes))
    home.wait(pk, until=lambda status: status["stage"] == "label")
    server.stop()
    time.sleep(BROKEN)
    server.start()
    status = home.wait(pk)
    assert status["succeeded"], status
    entries = home.ledger(pk)
    assert {entry["outcome"] for entry in entries} == {"labelled"}
    assert status["labels"] == len(entries) == len({entry["hash"] for entry in entries})
