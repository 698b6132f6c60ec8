"""What a campaign begins with: labelled frames, some of which are labelled again as a check, and a potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, WorkChain

from aiida_bloomery.calculations.functions.adoption import adopt, compare_labels, frames_to_check
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional, optional_output
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.stages import Processes, Stages
from bloomery.campaign.adoption import DataSettings
from bloomery.campaign.record import Adopted
from bloomery.campaign.same_method import Compared

KEY = "adoption"
"""Of this part in the context of a campaign."""


class AdoptionContext(Protocol):
    """What a campaign keeps of the frames that it began with."""

    checking: orm.WorkChainNode | None
    """Labels some of them again."""
    adopted: orm.Dict | None
    """What the record says of them."""


def adoption_ports(spec: ProcessSpec) -> None:
    """Declare inputs and outputs of what a campaign begins with."""
    text = "Labelled frames that exist already: of files, or batches of other campaigns."
    by_key(spec, "data", ConfigurationsData, text, required=False)
    text = "`{sources: [{name, batches, ...}], check_labels}`: where they are from, and how many are labelled again."
    optional(spec, "data_settings", orm.Dict, text, validators.data)
    text = "Drives the first sampling; nothing is trained from its weights."
    optional(spec, "potential", PotentialData, text)
    text = "History of the campaign that it is of: how large its errors are."
    optional(spec, "before", orm.Dict, text)
    optional_output(spec, "check_ledger", orm.Dict, "What happened to every frame that was labelled again as a check.")


def data_fits(inputs: Mapping[str, Any]) -> str | None:
    """Return a sentence if data and what is said of them do not name the same batches, or a batch has no labels."""
    data = inputs.get("data") or {}
    given = inputs.get("data_settings")
    named = [] if given is None else [key for one in given["sources"] for key in one["batches"]]
    if sorted(named) != sorted(data):
        there, told = (", ".join(keys) or "none" for keys in (data, named))
        return f"data: the batches are {there}, and data_settings names {told}."
    again = {key for one in given["sources"] if one.get("relabel") for key in one["batches"]} if given else set()
    bare = next((key for key in data if key not in again and not data[key].base.attributes.get("labels")), None)
    return None if bare is None else f"data.{bare}: no frame has a label; give labelled frames."


class Adoption:
    """The part of a campaign that begins with labelled frames; without any, nothing in it does anything."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.inputs = chain.inputs
        self.ctx = cast("AdoptionContext", chain.ctx.setdefault(KEY, AttributeDict()))

    def begin(self) -> None:
        """Begin with nothing."""
        self.ctx.checking = self.ctx.adopted = None

    @property
    def is_wanted(self) -> bool:
        """Whether there are such frames."""
        return "data_settings" in self.inputs

    @property
    def _settings(self) -> DataSettings:
        return DataSettings.model_validate(self.inputs.data_settings.get_dict())

    @property
    def _given(self) -> dict[str, Any]:
        return {"settings": self.inputs.data_settings, "seed": self.inputs.seed, **self.inputs.data}

    def check(self) -> Processes:
        """Label frames again: some of those that are not known to be of the method that labels, or all of a source."""
        if not self._settings.buys_labels:
            return {}
        drawn = self.stages.function("data_check", frames_to_check, **self._given)
        return {f"{KEY}.checking": self.stages.label("data_label", drawn["frames"])} if drawn else {}

    def adopt(self) -> str:
        """Make the frames batches of the data set; return what does not fit, in one sentence, and nothing if all do."""
        inputs = {**self._given, "selection": self.inputs.selection}
        if "suspects" in self.inputs:
            inputs["suspects"] = self.inputs.suspects
        if self.ctx.checking is not None:
            self.stages.chain.hand_out_as(self.ctx.checking, "ledger", "check_ledger")
            again = self.ctx.checking.outputs.labelled
            inputs |= {"again": again} if any(source.relabel for source in self._settings.sources) else {}
            given = {"settings": self.inputs.data_settings, "again": again, **self.inputs.data}
            inputs["compared"] = self.stages.function("data_compare", compare_labels, **given)
            if mistake := self._mistake(inputs["compared"]):
                return mistake
        made = self.stages.function("data_adopt", adopt, **inputs)
        self.ctx.adopted = made["adopted"]
        told = Adopted.model_validate(made["adopted"].get_dict())
        for key in (key for source in told.sources for key in source.batches):
            self.stages.ctx.batches[key] = made.get(key, self.inputs.data[key])
        for source in told.sources:
            more = f", {source.duplicates} that were there already left out" if source.duplicates else ""
            more += f", {source.unlabelled} that could not be labelled again left out" if source.unlabelled else ""
            more += f", {len(source.suspects)} that are suspect kept out" if source.suspects else ""
            self.stages.report(f"begins with {source.n_frames} labelled frame(s) of {source.name}{more}")
        return ""

    def _mistake(self, compared: orm.Dict) -> str:
        """What does not fit of the first source of which something does not."""
        for source in self._settings.sources:
            if source.key in compared.get_dict():
                found = Compared.model_validate(compared[source.key])
                if mistakes := list(found.mistakes()):
                    return (
                        f"{source.name}: on {found.n_frames} frame(s) that were labelled again {'; '.join(mistakes)}."
                    )
        return ""

    @property
    def potential(self) -> PotentialData | None:
        """What drives the first sampling, if there is one already."""
        return self.inputs.get("potential")

    def given(self) -> dict[str, orm.Dict]:
        """What plan and record are told of them."""
        return {} if self.ctx.adopted is None else {"adopted": self.ctx.adopted}

    @property
    def yardsticks(self) -> tuple[str, ...]:
        """By which potentials are validated: on the probe, and on frames that are held out of the data, if any are."""
        told = Adopted() if self.ctx.adopted is None else Adopted.model_validate(self.ctx.adopted.get_dict())
        return ("probe", "held_out") if told.by_role.get("held_out") else ("probe",)
