"""What describes a labeller in a campaign file: its keys, what it asks of frames, and the inputs that follow."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.options import job_options
from bloomery.campaign.convergence import Ladder
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.quantities import Share


@dataclass(frozen=True)
class Program:
    """A program that a labeller runs besides `bloomery`."""

    key: str
    """Its entry under ``codes``. By default its code is ``KEY@localhost``."""
    about: str
    """What it is, for the reference of campaign files."""
    arguments: str = "--version 2>&1"
    """Arguments with which a shell starts it to hear its version."""
    banner: re.Pattern[str] = re.compile(r"(\d+(?:\.\w+)+)")
    """How it says its version, which is the first group."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one thing: a sentence, and whether it is a mistake, a warning or fine."""

    what: str
    detail: str
    level: str = "fine"


class LabellerPart(Settings):
    """Settings of a labeller in a campaign file, ``labelling: {NAME: {...}}``.

    A subclass is registered in the group `bloomery.campaign_labellers` under the name of the labeller; the workchain of
    that name, `bloomery.labelling.NAME`, gets its `inputs`. Its module is imported to check a file, without a profile:
    what it needs of AiiDA it imports where it is used. A setting called ``calculator`` names an ASE calculator that the
    labels are from: samplers that the labeller drives (`Sampler.driven_by_labeller`) run with it.
    """

    program: ClassVar[Program | None] = None
    """The program that labels; by default labels come from jobs of `bloomery`."""

    beside: ClassVar[tuple[Program, ...]] = ()
    """Programs that run in the jobs of ``program`` where settings ask for them; `runs_beside` says which."""

    max_failed_share: Share | None = None
    """The campaign fails when more than this share of a batch cannot be labelled."""

    def overrides(self) -> dict[str, object]:
        """What stands in the protocol's place, as far as it is given."""
        return {} if self.max_failed_share is None else {"max_failed_share": self.max_failed_share}

    def runs_beside(self) -> tuple[Program, ...]:
        """Those of the programs ``beside`` that these settings ask for."""
        return ()

    @classmethod
    def code_key(cls) -> str:
        """The entry under ``codes`` that labels run by."""
        return cls.program.key if cls.program is not None else "label"

    def labels_by(self, campaign: Campaign) -> FoundationSpec | None:  # noqa: ARG002
        """The foundation that labels, if one does."""
        return None

    def labelled_files(self) -> set[str]:
        """Files whose labels it takes, as the campaign file names them."""
        return set()

    def theory(self, campaign: Campaign) -> str:  # noqa: ARG002
        """Functional of the labels, such as ``PBE``, ``PBE+U`` or ``PBE+D3``; empty where that is not known."""
        return ""

    def check(self, campaign: Campaign) -> None:
        """Raise the error of the first frame or setting that this labeller cannot take; nothing runs yet.

        ``campaign.source.error(campaign.labeller_key("setting"), "what is wrong; what to do.")`` makes an error that
        names file, line and key.
        """

    def notes(self, campaign: Campaign) -> Iterator[str]:  # noqa: ARG002
        """Yield what is allowed, and perhaps not meant."""
        return iter(())

    def findings(self, campaign: Campaign) -> Iterator[Finding]:  # noqa: ARG002
        """Yield what the profile says of the settings; raise the error of what it lacks. A profile is loaded."""
        return iter(())

    @abstractmethod
    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the labelling workchain, without configurations. ``entry`` says how ``code`` runs.

        A profile is loaded.
        """

    def begun(self, campaign: Campaign) -> Self:  # noqa: ARG002
        """Return the settings from which a search along ladders begins: with a first guess of what the file lacks."""
        return self

    def ladders(
        self,
        campaign: Campaign,  # noqa: ARG002
        inputs: Mapping[str, Any],  # noqa: ARG002
        frames: Configurations,  # noqa: ARG002
        values: Mapping[str, Sequence[float]],  # noqa: ARG002
    ) -> list[Ladder]:
        """Return ladders of the settings that labels converge with, for `aiida-bloomery converge`; by default none.

        What they lead to must not depend on the value that the file has of a setting. A profile is loaded.

        Parameters
        ----------
        inputs
            What `inputs` gave.
        frames
            What will be labelled.
        values
            Rungs by the ladder's name that the user wants in the place of ours; `InputError` for a name that is none.
        """
        return []


class InProcessPart(LabellerPart):
    """Settings of a labeller that runs in one process of `bloomery`, by a subclass of `InProcessLabellingWorkChain`."""

    def labeller_settings(self) -> dict[str, object]:
        """Settings of the plug-in among `bloomery.labellers`; by default all keys of the file that it shares."""
        return self.model_dump(exclude=set(LabellerPart.model_fields), exclude_none=True)

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain."""
        from aiida.plugins import WorkflowFactory  # noqa: PLC0415

        workchain: Any = WorkflowFactory(f"bloomery.labelling.{campaign.file.labeller}")
        more = {"overrides": self.overrides(), "options": job_options(entry, code)}
        builder = workchain.get_builder_from_settings(
            code, self.labeller_settings(), protocol=campaign.file.protocol, **more
        )
        return {port: builder[port] for port in ("code", "parameters", "max_failed_share", "options")}
