"""Submit a campaign file once: what runs is attached to, what has finished is shown, and nothing is lost on the way."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiida_bloomery import services
from aiida_bloomery.campaign_file import Campaign
from aiida_bloomery.provenance.progress import ACTIVE, CampaignState, campaign_state, campaigns
from aiida_bloomery.setup.home import Home
from aiida_bloomery.submission.extension import keep_file
from bloomery.errors import BloomeryError, InputError


@dataclass(frozen=True)
class Submission:
    """A campaign's process, and how it came to be it."""

    pk: int
    how: str
    """``submitted`` now, ``running`` already, or ``finished`` before."""
    notes: tuple[str, ...] = ()
    """What was done on the way."""


def submit_campaign(campaign: Campaign, home: Home, *, again: bool = False) -> Submission:
    """Submit a checked campaign unless its like runs or has finished.

    Parameters
    ----------
    again
        Submit even if one like it has finished.

    Raises
    ------
    InputError
        If a code or a pseudopotential is missing, or an input is refused.
    BloomeryError
        If the daemon does not take it.
    """
    notes = services.ensure(home)
    with one_at_a_time(home):
        found = find(campaign)
        if found is not None and (found.active or (found.succeeded and not again)):
            notes += services.revive_lost() if found.active and home.own else []
            return Submission(found.pk, "running" if found.active else "finished", tuple(notes))
        if found is not None and not found.succeeded:
            notes.append(
                f"campaign {found.pk} like this one ended without success; labels of pw.x that it has are kept"
            )
        pk = _submit(campaign)
        notes += await_arrival(pk, home)
    return Submission(pk, "submitted", tuple(notes))


def find(campaign: Campaign) -> CampaignState | None:
    """The latest campaign of the same content; one that runs or has succeeded before one that failed."""
    from aiida_bloomery.campaign_file.builder import digest_mark  # noqa: PLC0415

    states = [campaign_state(node.pk) for node in campaigns(mark=digest_mark(campaign))]
    return max(states, key=lambda state: (state.active, state.succeeded), default=None)


def _submit(campaign: Campaign) -> int:
    from aiida.engine import submit  # noqa: PLC0415

    from aiida_bloomery.campaign_file.builder import make_builder  # noqa: PLC0415

    builder = make_builder(campaign)
    try:
        node = submit(builder)
    except ValueError as error:  # what AiiDA's ports and validators raise
        raise InputError(f"{campaign.source.path}: the campaign is refused: {error}") from error
    keep_file(node, campaign)
    return int(node.pk)


def await_arrival(pk: int, home: Home, what: str = "campaign") -> list[str]:
    """See that the task has reached the queue: a broker that dies at this moment takes it along.

    Messages call the process ``what``.
    """
    if not services.processes.uses_zeromq():
        return []
    deadline = time.monotonic() + services.ARRIVAL
    while time.monotonic() < deadline:
        if services.has_task(pk) or campaign_state(pk).state not in {"created", None}:
            return []
        time.sleep(0.2)
    if not home.own:
        raise BloomeryError(
            f"{what} {pk} is stored, but its task did not reach the broker; run `verdi daemon stop`, "
            "`verdi process repair`, `verdi daemon start`."
        )
    notes = services.ensure(home) + services.revive_lost()
    if not services.has_task(pk) and campaign_state(pk).state in ACTIVE:
        raise BloomeryError(f"{what} {pk} is stored, but does not reach the daemon; run the same command again.")
    return notes


@contextmanager
def one_at_a_time(home: Home) -> Iterator[None]:
    """Two commands for one file at the same moment must not submit it twice."""
    if not home.own:
        yield
        return
    with (home.folder / "submit.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
