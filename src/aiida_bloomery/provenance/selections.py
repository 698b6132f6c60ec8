"""What selections did: how many frames each selector saw and dropped, and what became of any one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from aiida import orm
from numpy.typing import NDArray

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance.campaign import describe_node, stages
from aiida_bloomery.provenance.progress import CAMPAIGN_TYPE
from bloomery.errors import InputError

SELECT_TYPE = "aiida.calculations:bloomery.select"
ARMS = {"selection": "", "control": "control_"}
"""Arm of a campaign to the prefix of its arrays."""


FunnelEntry = dict[str, Any]
"""How many frames a selector saw and left, and why the others were dropped: a `bloomery.campaign.record.FunnelRow`."""


@dataclass(frozen=True)
class Fate:
    """What became of one frame in one arm: the selectors that it ``passed`` in turn, and the last one's ``score``.

    Selected frames have a ``role``; of others ``dropped_by`` and ``reason`` say which selector dropped them, and why.
    """

    arm: str
    passed: list[str]
    dropped_by: str
    reason: str
    score: float
    role: str

    def line(self) -> str:
        """Say it in one line."""
        passed = f"passed {', '.join(self.passed)}; " if self.passed else ""
        end = f"selected as {self.role}" if self.role else f"dropped by {self.dropped_by}: {self.reason}"
        return f"{self.arm}: {passed}{end}, score {self.score:.4g}"


@dataclass(frozen=True)
class SelectionRecord:
    """One selection of a campaign, or one that stands alone (iteration -1)."""

    process: orm.CalcJobNode
    iteration: int = -1

    @property
    def pools(self) -> dict[str, ConfigurationsData]:
        """Nodes with candidates by key, in the order of the job."""
        return dict(sorted(self.process.inputs.pools.items()))

    def funnels(self) -> dict[str, list[FunnelEntry]]:
        """Steps of each arm's funnel."""
        summary = self.process.outputs.funnel.get_dict()
        found = {"selection": summary["funnel"]}
        return found | ({"control": summary["control"]["funnel"]} if "control" in summary else {})

    def fates(self, pool: str, index: int) -> list[Fate]:
        """What became of a frame, by arm; `InputError` if the pool has no such frame."""
        if pool not in self.pools:
            raise InputError(f"--frame: there is no pool {pool!r}; the pools are {', '.join(self.pools)}.")
        n = self.pools[pool].n_frames
        if not 0 <= index < n:
            raise InputError(f"--frame: pool {pool} has frames 0 to {n - 1}, not {index}.")
        place = self._starts[pool] + index
        return [self._fate(arm, funnel, pool, index, place) for arm, funnel in self.funnels().items()]

    def where(self, text: str) -> tuple[str, int]:
        """Find a frame by ``POOL:INDEX`` or the beginning of its content hash; `InputError` unless it is one."""
        pool, separator, number = text.rpartition(":")
        if separator and number.isdigit():
            return pool, int(number)
        hashes = {key: enumerate(node.configurations.hashes()) for key, node in self.pools.items()}
        found = [(key, index) for key, own in hashes.items() for index, content in own if content.startswith(text)]
        if len(found) == 1:
            return found[0]
        said = "no frame has" if not found else f"{len(found)} frames have"
        raise InputError(f"--frame {text}: {said} a content hash that begins so; give POOL:INDEX or more of the hash.")

    @cached_property
    def _starts(self) -> dict[str, int]:
        pools, sizes = (self.process.outputs.fates.get_array(name) for name in ("pools", "sizes"))
        return dict(zip(pools.tolist(), (np.cumsum(sizes) - sizes).tolist(), strict=True))

    def _fate(self, arm: str, funnel: list[FunnelEntry], pool: str, index: int, place: int) -> Fate:
        fates, prefix = self.process.outputs.fates, ARMS[arm]
        step = int(fates.get_array(f"{prefix}step")[place])
        reasons, codes = fates.get_array(f"{prefix}reasons"), fates.get_array(f"{prefix}reason")
        role = self._role("selected" if arm == "selection" else arm, pool, index)
        names = [entry["selector"] for entry in funnel]
        return Fate(
            arm=arm,
            passed=names[:step],
            dropped_by="" if role else names[step],
            reason="" if role else str(reasons[codes[place]]),
            score=float(fates.get_array(f"{prefix}score")[place]),
            role=role,
        )

    def _role(self, output: str, pool: str, index: int) -> str:
        if output not in self.process.outputs:
            return ""
        info: dict[str, NDArray[Any]] = self.process.outputs[output].configurations.info
        rows = np.flatnonzero((info["pool"] == pool) & (info["parent_index"] == index))
        return str(info["role"][rows[0]]) if len(rows) else ""


def selections(node: orm.Node) -> list[SelectionRecord]:
    """Return the selections of a campaign, in order; or the one that a node is, or has called.

    Raise `InputError` if the node has nothing to do with a selection, or if none is done yet.
    """
    if isinstance(node, orm.CalcJobNode) and node.process_type == SELECT_TYPE:
        found = [SelectionRecord(node)]
    elif isinstance(node, orm.ProcessNode) and node.process_type == CAMPAIGN_TYPE:
        parts = [stage for stage in stages(node) if stage.name == "select"]
        found = [SelectionRecord(job, stage.iteration) for stage in parts for job in _jobs(stage.process)]
    elif isinstance(node, orm.WorkChainNode):
        found = [SelectionRecord(job) for job in _jobs(node)]
    else:
        raise InputError(f"node {node.pk} is no campaign and no selection but {describe_node(node)}.")
    done = [record for record in found if record.process.is_finished_ok]
    if not done:
        raise InputError(f"node {node.pk} has no selection that is done yet.")
    return done


def _jobs(process: orm.ProcessNode) -> list[orm.CalcJobNode]:
    jobs = [child for child in process.called if child.process_type == SELECT_TYPE]
    return sorted(jobs, key=lambda job: job.pk or 0)
