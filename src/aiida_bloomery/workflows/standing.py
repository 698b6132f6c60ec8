"""Which labels a campaign trains on: suspect ones are kept apart, words on labels are heeded before each training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import WorkChain

from aiida_bloomery.calculations.functions.words import heed, judge_labels, without_labels_of
from aiida_bloomery.calculations.words import Said, said_on
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.stages import Stages

KEY = "standing"
"""Of this part in the context of a campaign."""


class StandingContext(Protocol):
    """What a campaign keeps of how its labels stand."""

    labelled: dict[str, ConfigurationsData]
    """All that was labelled, by batch, those of the control arm's own among them."""
    ledgers: dict[str, orm.Dict]
    """What became of it before any word, by batch."""
    heeded: list[str]
    """UUIDs of the words that a training has heeded."""
    words: list[orm.Dict]
    """Words that the latest training was the first to heed."""


class Standing:
    """The part of a campaign, or of what trains it again, that knows which labels are trained on."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.campaign = self.stages.ctx
        self.ctx = cast("StandingContext", chain.ctx.setdefault(KEY, AttributeDict()))
        if "labelled" not in self.ctx:  # type: ignore[operator]
            self.begin()

    def begin(self) -> None:
        """Begin with what there is: nothing, but in a campaign from before there were words."""
        self.ctx.labelled = dict(self.stages.chain.ctx.get("batches", {}))
        self.ctx.ledgers = dict(self.stages.chain.ctx.get("ledgers", {}))
        self.ctx.heeded, self.ctx.words = [], []

    def take(
        self, stage: str, key: str, process: orm.WorkChainNode, known: Mapping[str, ConfigurationsData]
    ) -> ConfigurationsData | None:
        """Take what a labelling gave, and return what is trained on of it; ``known`` is the data set so far.

        Nothing is made where nothing is suspect: the batch is the labelling's own.
        """
        if "ledger" not in process.outputs:
            return process.outputs.labelled if "labelled" in process.outputs else None
        ledger = self.campaign.ledgers[key] = self.ctx.ledgers[key] = process.outputs.ledger
        if "labelled" not in process.outputs:
            return None
        labelled: ConfigurationsData = process.outputs.labelled
        self.ctx.labelled[key] = labelled
        judged = self.stages.function(
            stage, judge_labels, labelled=labelled, ledger=ledger, **self._settings, **dict(known)
        )
        if "ledger" not in judged:
            return labelled
        self.campaign.ledgers[key] = self.ctx.ledgers[key] = judged["ledger"]
        n = len(judged["suspects"].get_dict())
        self.stages.report(f"{n} label(s) of {key} are suspect, and wait for a word: `ledger --suspect` says why")
        batch: ConfigurationsData | None = judged.get("batch")
        return batch

    @property
    def _settings(self) -> dict[str, orm.Dict]:
        return {"settings": self.stages.inputs.suspects} if "suspects" in self.stages.inputs else {}

    def heed(self, campaign: str) -> None:
        """Let what is trained on be what the words on labels of a campaign, given by UUID, have left."""
        said = said_on(campaign)
        fresh = [one for one in said if str(one.node.uuid) not in self.ctx.heeded]
        self.ctx.words = [one.node for one in fresh]
        if not fresh:
            return
        self.ctx.heeded = [*self.ctx.heeded, *(str(one.node.uuid) for one in fresh)]
        about = {frame.batch for one in fresh for frame in one.word.frames}
        for key in sorted(about & set(self.ctx.labelled)):
            self._heed(key, [one for one in said if one.is_about(key)])
        self._heed_in_control_arm([one.node for one in said])
        self.stages.report(f"heeded {len(fresh)} word(s) on labels")

    def _heed(self, key: str, said: list[Said]) -> None:
        inputs = {"batch": orm.Str(key), "ledger": self.ctx.ledgers[key], "labelled": self.ctx.labelled[key]}
        for number, one in enumerate(said):
            inputs |= one.inputs(number)
        found = self.stages.function(f"heed_{key}", heed, **inputs)
        self.campaign.ledgers[key] = found["ledger"]
        if key.startswith("control_"):
            return
        self.campaign.batches.pop(key, None)
        if "batch" in found:
            self.campaign.batches = dict(sorted({**self.campaign.batches, key: found["batch"]}.items()))

    def _heed_in_control_arm(self, words: list[orm.Dict]) -> None:
        batches = self.stages.chain.ctx.get("control", {}).get("batches", {})
        for key in list(batches):
            if not key.startswith("control_"):
                batches.pop(key)
                if key in self.campaign.batches:
                    batches[key] = self.campaign.batches[key]
                continue
            inputs = {f"word_{number:03d}": word for number, word in enumerate(words)}
            left = self.stages.function(f"heed_arm_{key}", without_labels_of, batch=batches.pop(key), **inputs)
            if "batch" in left:
                batches[key] = left["batch"]

    def words(self) -> dict[str, orm.Dict]:
        """Words that the latest training was the first to heed, as the record takes them."""
        return {f"word_{number:03d}": word for number, word in enumerate(self.ctx.words)}
