"""What a labelling workchain is: configurations go in; labelled ones and a ledger of every frame come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec

from aiida_bloomery.calculations.functions.labels import collect_labels, labels_from_cache
from aiida_bloomery.calculations.label_cache import find_labels
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import optional_output
from aiida_bloomery.workflows.once import SubmitsOnce
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper

MAX_ROUNDS = 3


def validate_share(node: orm.Float, _: Any) -> str | None:
    """Check that a share lies between 0 and 1."""
    return None if 0 <= node.value <= 1 else f"max_failed_share: must lie between 0 and 1, got {node.value}."


class LabellingWorkChain(SubmitsOnce):
    """Give every frame its reference values, or an entry in the ledger that says why it has none.

    Subclasses add their own inputs and the outline, and end with `conclude`. Those that send frames out in rounds begin
    with `setup`, in which they note the ``fingerprint`` of their settings, and `ask_cache`, `take` what a job gave, and
    end with `collect`; their context holds the frames that are ``pending``, the ``round``, ``nodes``, what the jobs
    gave, and ``processes``, which job had which frames.
    """

    title: ClassVar[str] = ""
    """What reports call the method, where no plug-in of `bloomery` that has the same name says so."""
    takes_spins: ClassVar[bool] = False
    """Whether frames can state a multiplicity: isolated atoms are then looked at in several, and the lowest counts."""
    NEEDED: ClassVar[tuple[str, ...]] = ()
    """Inputs that `check` looks at; a campaign, which has no frames yet, is checked by its structures."""
    references: ClassVar[tuple[Paper | str, ...]] = ()
    """Papers to cite where it was used."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the inputs, outputs and exit codes that all labelling workchains share."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="The frames to label.")
        text = "Whether each frame is an atom alone in a box."
        spec.input("isolated_atoms", valid_type=orm.Bool, default=lambda: orm.Bool(False), help=text)
        spec.input("max_failed_share", valid_type=orm.Float, default=lambda: orm.Float(0.5), validator=validate_share)
        spec.inputs["max_failed_share"].help = "Which share of the frames may fail before the batch counts as failed."
        spec.inputs.validator = cls.validate_inputs
        text = "The frames that have labels, in the order of `configurations`, which are their parents."
        optional_output(spec, "labelled", ConfigurationsData, text)
        optional_output(spec, "ledger", orm.Dict, "`entries`: what happened to every frame.")
        spec.exit_code(
            450,
            "ERROR_TOO_MANY_FAILED",
            message="{failed} of {total} frames could not be labelled, more than may fail; the first, frame {frame}: "
            "{reason} Read the ledger, mend the labeller's settings or the frames, and submit again.",
        )

    @classmethod
    def validate_inputs(cls, value: Mapping[str, Any], _: Any) -> str | None:
        """Check frames against the settings, where both are given."""
        if any(name not in value for name in ("configurations", *cls.NEEDED)):
            return None
        isolated = "isolated_atoms" in value and bool(value["isolated_atoms"].value)
        return cls.check(value["configurations"].configurations, {**value, "isolated_atoms": isolated})

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:  # noqa: ARG003
        """Return one sentence if frames like these cannot be labelled with these inputs, before anything runs.

        These are frames, or the structures that frames will be made from, and the inputs as far as they are known.
        """
        return None

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:  # noqa: ARG003
        """Say what frames like these are labelled with: of each kind of frame its name and the settings that matter."""
        return []

    def setup(self) -> None:
        """Note what is to be done: of frames with the same content the first; what comes of it is all of theirs."""
        hashes = self.inputs.configurations.hashes
        first = {content: frame for frame, content in reversed(list(enumerate(hashes)))}
        self.ctx.pending = sorted(first.values())
        self.ctx.fingerprint = ""
        self.ctx.round = 0
        self.ctx.nodes = {}
        self.ctx.processes = {"packs": [], "frames": {}}

    def known_labels(self, hashes: list[str]) -> dict[str, ConfigurationsData]:
        """By content hash the nodes with the labels that exist already, with these settings."""
        return find_labels(self.ctx.fingerprint, hashes)

    def ask_cache(self) -> None:
        """Take the labels that exist already, with the settings that the context's ``fingerprint`` is of."""
        hashes = self.inputs.configurations.hashes
        found = self.known_labels(hashes)
        if not found:
            return
        sources = {f"source_{node.pk}": node for node in found.values()}
        # A source may hold a label too that somebody has retracted.
        wanted = orm.Dict({content: f"source_{node.pk}" for content, node in found.items()})
        cached = self.call_as("labels_from_cache", labels_from_cache, self.inputs.configurations, wanted, **sources)
        self.ctx.nodes["cached"] = cached
        self.ctx.pending = [frame for frame in self.ctx.pending if hashes[frame] not in found]
        self.report(f"{sum(content in found for content in hashes)} of {len(hashes)} labels exist already")

    def has_frames(self) -> bool:
        """Whether frames are pending, and it is worth another round."""
        return bool(self.ctx.pending) and self.ctx.round < MAX_ROUNDS

    def take(self, what: str, process: orm.ProcessNode, key: str) -> list[dict[str, Any]] | None:
        """Keep what a job gave; return what happened to its frames, as far as its ledger tells."""
        if "labelled" in process.outputs:
            self.ctx.nodes[f"labelled_{key}"] = process.outputs.labelled
        if "ledger" not in process.outputs:
            self.report(f"{what} <{process.pk}> left no ledger: {how_it_ended(process)}")
            return None
        self.ctx.nodes[f"ledger_{key}"] = process.outputs.ledger
        entries: list[dict[str, Any]] = process.outputs.ledger["entries"]
        return entries

    def collect(self) -> ExitCode | None:
        """Bring everything together, in the order of the frames."""
        processes = orm.Dict(self.ctx.processes)
        outputs = self.call_as(
            "collect_labels", collect_labels, self.inputs.configurations, processes, **self.ctx.nodes
        )
        return self.conclude(outputs["ledger"], outputs.get("labelled"))

    def conclude(self, ledger: orm.Dict, labelled: ConfigurationsData | None) -> ExitCode | None:
        """Attach the outputs, and say whether too many frames failed."""
        self.out("ledger", ledger)
        if labelled is not None:
            self.out("labelled", labelled)
        entries = ledger["entries"]
        failed = [entry for entry in entries if entry["outcome"] == "failed"]
        if lacking := [entry["lacks"] for entry in entries if entry.get("lacks")]:
            self.report(f"{len(lacking)} of {len(entries)} frames lack a property that was asked for: {lacking[0]}")
        if failed:
            self.report(f"{len(failed)} of {len(entries)} frames have no label: {failed[0]['reason']}")
        if len(failed) > self.inputs.max_failed_share.value * len(entries):
            return self.exit_codes.ERROR_TOO_MANY_FAILED.format(
                failed=len(failed), total=len(entries), frame=failed[0]["frame"], reason=failed[0]["reason"]
            )
        return None
