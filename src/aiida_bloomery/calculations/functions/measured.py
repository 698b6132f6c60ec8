"""Read what was measured of a potential off the nodes that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from bloomery.campaign.measuring import Measured, ValidationSettings

SETTINGS, LEDGER, OBSERVABLE, TEST_SET = "settings", "ledger", "observable__", "test_set__"


def measured_from(nodes: Mapping[str, Any], when: str) -> Measured | None:
    """Return what was measured; nothing where nothing was to be.

    Parameters
    ----------
    nodes
        ``settings``: which observables there are; ``observable__*``: their observations; ``ledger``: of the frames that
        the reference was asked about; ``test_set__*``: errors and leakage of an independent set.
    when
        ``final`` or ``each_iteration``.
    """
    if SETTINGS not in nodes:
        return None
    specs = ValidationSettings.model_validate(nodes[SETTINGS].get_dict()).observables(when)
    return Measured(
        specs=specs,
        observables=_plain(nodes, OBSERVABLE),
        entries=nodes[LEDGER]["entries"] if LEDGER in nodes else (),
        test_set=_plain(nodes, TEST_SET),
    )


def _plain(nodes: Mapping[str, orm.Dict], prefix: str) -> dict[str, dict[str, Any]]:
    return {key.removeprefix(prefix): node.get_dict() for key, node in nodes.items() if key.startswith(prefix)}
