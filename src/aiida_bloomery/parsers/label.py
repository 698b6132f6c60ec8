"""Read the labels and the ledger, also of a job that was ended too soon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aiida import orm

from aiida_bloomery.calculations.label_cache import fingerprint_of, marks
from aiida_bloomery.data.configurations import with_parents
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Result
from bloomery.jobs.label import JOURNAL_FILE, LABELLED_FILE, LEDGER_FILE, Journal
from bloomery.plugins import PluginSpec


class LabelParser(BloomeryParser):
    """Parser of `LabelCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach the frames that have labels, and what happened to every frame."""
        packages = cast("dict[str, str]", result["summary"].get("packages", {}))
        self._attach_labelled(result.get("versions", {}), packages)
        self._attach_ledger(self.report_of(result).get_dict())

    def salvage(self) -> None:
        """Keep the frames that were finished: the journal knows them all."""
        if not (self.folder / JOURNAL_FILE).is_file():
            return
        Journal(self.folder, self.node.inputs.configurations.configurations).write()
        self._attach_labelled({}, {})
        self._attach_ledger({})

    def _attach_ledger(self, more: Mapping[str, object]) -> None:
        entries = [{**entry, "job": self.node.uuid} for entry in self.content(LEDGER_FILE)["entries"]]
        self.out("ledger", orm.Dict({**more, "entries": entries}))

    def _attach_labelled(self, versions: dict[str, str], packages: dict[str, str]) -> None:
        frames = Configurations.load(self.folder / LABELLED_FILE)
        if not len(frames):
            return
        labelled = with_parents(frames, self.node.inputs.configurations, frames.info["parent"]).without_info("parent")
        name = PluginSpec.model_validate(self.node.inputs.parameters.get_dict()["labeller"]).name
        ran = {name: "", **packages} | {key: versions[key] for key in ("bloomery",) if key in versions}
        version = ", ".join(f"{package} {number}".strip() for package, number in ran.items())
        labelled = labelled.with_info(label_uuid=str(self.node.uuid))
        self.attach_copies("labelled", labelled, **marks(fingerprint_of(self.node), version))
