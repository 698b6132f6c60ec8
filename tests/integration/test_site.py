"""Campaigns on what sites run: PostgreSQL and RabbitMQ, both of which go away and come back in the middle."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.harness import PROGRAMS, Home, daemon_processes
from tests.site_services import SiteServices, lacking, site_services

pytestmark = [pytest.mark.integration, pytest.mark.daemon]

PROFILE = "site"
HASHES = """
from aiida_bloomery.provenance.campaign import data_set
print(json.dumps({{key: node.hashes for key, node in data_set(orm.load_node({pk})).items()}}))
"""
SMALL: dict[str, Any] = {
    "training": {"hdnnp": {"members": 2, "steps": 60, "warm_steps": 40}},
    "stop": {"iterations": {"min": 1, "max": 1}},
}


@dataclass
class Site(Home):
    """A profile of the user's own, on both services."""

    services: SiteServices

    def call(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``aiida-bloomery`` with it."""
        return super().call(*arguments, "--profile", PROFILE, check=check)

    def verdi(self, *words: object, check: bool = True) -> str:
        """Run ``verdi``; return what it printed."""
        command = [str(PROGRAMS / "verdi"), *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Set it up as a user does, with two workers."""
    if wanted := lacking():
        pytest.skip(f"{wanted} not installed: apt-get install postgresql rabbitmq-server")
    folder = tmp_path_factory.mktemp("site")
    kept = {key: value for key, value in os.environ.items() if key not in ("AIIDA_PATH", "BLOOMERY_HOME")}
    with site_services() as services:
        home = Site(folder, {**kept, "AIIDA_PATH": str(folder), "OMP_NUM_THREADS": "1"}, services)
        database = {"hostname": "127.0.0.1", "port": services.database_port, "name": "aiida", "username": "aiida"}
        options = [word for key, value in database.items() for word in (f"--database-{key}", value)]
        who = ("--email", "a@localhost", "--first-name", "A", "--last-name", "B", "--institution", "C")
        where = ("--repository-uri", f"file://{folder}/repository", "--database-password", "none")
        home.verdi(
            "profile",
            "setup",
            "core.psql_dos",
            "-n",
            "--profile-name",
            PROFILE,
            "--set-as-default",
            *who,
            *options,
            *where,
        )
        broker = {"protocol": "amqp", "host": "127.0.0.1", "port": services.broker_port, "virtual-host": ""}
        broker |= {"username": "guest", "password": "guest"}
        options = [word for key, value in broker.items() for word in (f"--broker-{key}", value)]
        home.verdi("profile", "configure-broker", "core.rabbitmq", "-n", *options, PROFILE)
        home.call("setup")
        # It waits two seconds for an answer, and a daemon that waits for its workers to end gives none meanwhile.
        home.verdi("config", "set", "daemon.timeout", 60)
        home.verdi("daemon", "start", 2)
        try:
            yield home
        finally:
            ended = daemon_processes(home, "worker")
            home.verdi("daemon", "stop", check=False)
            for process in (*ended, *daemon_processes(home, "worker")):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def test_the_same_frames_although_database_and_broker_are_gone_for_a_while(
    home: Home, site: Site, campaign_file: Callable[..., Path]
) -> None:
    peace = home.submit(campaign_file(name="peace", **SMALL))
    pk = site.submit(campaign_file(name="site", **SMALL))
    assert "queue" not in site.call("status").stdout
    site.wait(pk, until=lambda status: status["stage"] == "train")
    site.services.database("-m", "fast", "stop")
    site.services.database("start")
    site.wait(pk, until=lambda status: status["labels"] > 0)
    site.services.kill_broker()
    site.services.start_broker()
    site.wait(pk, until=lambda status: (status["iteration"], status["stage"]) == (1, "label"))
    site.services.database("-m", "immediate", "stop")
    site.services.database("start")
    status = site.wait(pk)
    assert status["succeeded"], (status, site.verdi("process", "report", pk))
    assert {entry["outcome"] for entry in site.ledger(pk)} == {"labelled"}
    assert home.wait(peace)["succeeded"]
    assert site.python(HASHES.format(pk=pk)) == home.python(HASHES.format(pk=peace))
