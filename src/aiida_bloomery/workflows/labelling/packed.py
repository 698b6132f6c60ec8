"""What labelling workchains share whose program takes one frame at a time: packs, then what failed there once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, ToContext, append_, if_, while_

from aiida_bloomery.calculations.earlier import RESUME_FROM
from aiida_bloomery.calculations.frame_pack import FramePackCalculation, validate_pack
from aiida_bloomery.calculations.job_script import ONE_CORE
from aiida_bloomery.workflows.labelling.contract import MAX_ROUNDS, LabellingWorkChain
from aiida_bloomery.workflows.labelling.packing import default_concurrency, pack_options, share_out

DEFAULT_SIZE = 50

Folders: TypeAlias = list[tuple[orm.RemoteData | None, list[int]]]
"""Frames in groups, each with the folder where they were begun, if there is one."""


def program_ports(spec: ProcessSpec, namespace: str, program: str) -> None:
    """Declare what every program that labels frame by frame is given, in a namespace of its own."""
    spec.input_namespace(namespace, help=f"{program} and its settings.")
    spec.input(f"{namespace}.code", valid_type=orm.AbstractCode, help=f"{program}.")
    spec.input(
        f"{namespace}.options",
        valid_type=orm.Dict,
        default=lambda: orm.Dict({"resources": dict(ONE_CORE), "withmpi": False}),
        help="Scheduler options of one frame: resources, max_wallclock_seconds, queue_name, account, withmpi.",
    )
    spec.input(
        f"{namespace}.pack",
        valid_type=orm.Dict,
        default=lambda: orm.Dict({"size": DEFAULT_SIZE}),
        validator=validate_pack,
        help="`size`: frames of a pack at most; `concurrency`: frames at a time (default: the cores of a computer "
        "without a queue); `frame_timeout_s`: time limit of one frame.",
    )


class PackedLabellingWorkChain(LabellingWorkChain):
    """Ask the cache, send packs of frames until each is done, and give those that failed another chance.

    Subclasses declare their settings beside `program_ports`, note the context's ``fingerprint`` in `setup`, and say
    what a pack is given.
    """

    NAMESPACE: ClassVar[str]
    """Namespace of the program's inputs."""
    PACK: ClassVar[type[FramePackCalculation]]

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the outline."""
        super().define(spec)
        spec.outline(
            cls.setup,
            cls.ask_cache,
            while_(cls.has_frames)(cls.run_packs, cls.inspect_packs),
            if_(cls.has_failed_frames)(cls.run_frames, cls.inspect_frames),
            cls.collect,
        )

    @property
    def program(self) -> AttributeDict:
        """The program's inputs."""
        return self.inputs[self.NAMESPACE]

    @property
    def frame_options(self) -> Mapping[str, Any]:
        """Scheduler options of one frame."""
        return self.program.options.get_dict()

    def alike(self, frames: list[int]) -> list[list[int]]:
        """Frames in groups that can go into one pack together; by default all can."""
        return [frames]

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:
        """Settings of a pack with these frames."""
        raise NotImplementedError

    def setup(self) -> None:
        """Note what is to be done."""
        super().setup()
        self.ctx.failed = []
        self.ctx.packs = []

    def run_packs(self) -> None:
        """Submit packs of about equal cost."""
        self.submit_packs(self.earlier_folders(self.ctx.pending), f"pack_{self.ctx.round:02d}")

    def submit_packs(self, frames: Folders, label: str, **more: Any) -> None:
        """Submit frames in packs, whose call links begin with ``label``.

        Parameters
        ----------
        frames
            In groups, with the folder where an earlier pack of each was.
        more
            Further inputs of each pack.
        """
        counts = self.inputs.configurations.configurations.counts
        settings = self.program.pack.get_dict()
        concurrency = settings.get("concurrency") or default_concurrency(self.program.code.computer, self.frame_options)
        packs = [
            (folder, pack)
            for folder, left in frames
            for group in self.alike(left)
            for pack in share_out(group, [float(counts[one]) ** 2 for one in group], settings.get("size", DEFAULT_SIZE))
        ]
        self.ctx.packs = []
        for number, (folder, pack) in enumerate(packs):
            taken_up = {RESUME_FROM: folder} if folder is not None else {}
            process = self.submit_as(
                f"{label}_{number:03d}",
                self.PACK,
                code=self.program.code,
                configurations=self.inputs.configurations,
                frames=orm.List(pack),
                pack=self.program.pack,
                metadata={"options": pack_options(self.frame_options, min(concurrency, len(pack)))},
                **taken_up,
                **self.pack_inputs(pack),
                **more,
            )
            self.ctx.processes["packs"].append([process.uuid, pack])
            self.to_context(packs=append_(process))
        self.report(f"submitted {sum(len(pack) for _, pack in packs)} frames in {len(packs)} pack(s)")

    def earlier_folders(self, frames: list[int]) -> Folders:
        """Frames in groups by the folder where the last packs left them unfinished.

        A queue may have forgotten a job that still runs. Who takes its folder up waits for it, and for what it finished
        after it was read.
        """
        left = set(frames)
        groups: Folders = []
        for process in self.ctx.packs:
            mine = left & set(process.inputs.frames.get_list())
            if mine and "remote_folder" in process.outputs:
                groups.append((process.outputs.remote_folder, sorted(mine)))
                left -= mine
        return [*groups, (None, sorted(left))] if left else groups

    def inspect_packs(self) -> None:
        """See which frames are done, which failed, and which were never finished."""
        self.ctx.round += 1
        pending = set(self.ctx.pending)
        for entry in self.entries_of_packs():
            if entry["outcome"] == "failed":
                self.ctx.failed.append(entry["frame"])
            if entry["outcome"] in {"failed", "labelled"}:
                pending.discard(entry["frame"])
        self.ctx.pending = sorted(pending)
        if pending:
            self.report(f"{len(pending)} frames were not finished; round {self.ctx.round} of {MAX_ROUNDS}")

    def entries_of_packs(self) -> list[dict[str, Any]]:
        """Take what the packs gave; return what happened to their frames."""
        taken = (
            self.take("pack", process, f"{self.ctx.round:02d}_{process.pk:09d}") or [] for process in self.ctx.packs
        )
        return [entry for entries in taken for entry in entries]

    def has_failed_frames(self) -> bool:
        """Whether frames failed in their pack."""
        return bool(self.ctx.failed)

    def run_frames(self) -> ToContext | None:
        """Give each failed frame another chance."""
        raise NotImplementedError

    def inspect_frames(self) -> None:
        """See what came of it."""
        raise NotImplementedError
