"""Labels from pw.x of Quantum ESPRESSO: the cache, then packs, then one by one what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import PortNamespace, ProcessBuilder, ProcessSpec, ToContext, append_, if_, while_
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_bloomery.calculations.functions.labels import labels_from_cache
from aiida_bloomery.calculations.functions.pw import frame_inputs, isolated_atom_settings, parse_pw_frame
from aiida_bloomery.calculations.label_cache import find_labels, fingerprint
from aiida_bloomery.calculations.pw_pack import PwPackCalculation
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.contract import LabellingWorkChain
from aiida_bloomery.workflows.labelling.packing import default_concurrency, pack_options, share_out
from aiida_bloomery.workflows.labelling.pw_checks import check_frames
from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs
from aiida_bloomery.workflows.labelling.pw_ports import DEFAULT_SIZE, pw_ports, single_options
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper

MAX_ROUNDS = 3


def validate_inputs(value: Mapping[str, Any], _: PortNamespace) -> str | None:
    """Check the frames against the settings."""
    if "configurations" not in value or "pw" not in value:
        return None
    if "isolated_atoms" in value and value["isolated_atoms"].value:
        value = {**value, "isolated_atoms": True}
    return QuantumEspressoLabellingWorkChain.check(value["configurations"].configurations, value)


class QuantumEspressoLabellingWorkChain(LabellingWorkChain):
    """Label frames with pw.x."""

    title = "Quantum ESPRESSO"
    references = (
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 21, 395502 (2009)", "10.1088/0953-8984/21/39/395502"),
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017)", "10.1088/1361-648X/aa8f79"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        pw_ports(spec)
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.ask_cache,
            while_(cls.has_frames_to_pack)(cls.run_packs, cls.inspect_packs),
            if_(cls.has_failed_frames)(cls.run_frames, cls.inspect_frames),
            cls.collect,
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        elements: list[str] | None = None,
        pseudos: str | Mapping[str, UpfData] | None = None,
        kpoints: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        code
            pw.x.
        configurations
            The frames; a campaign leaves them out and gives ``elements``.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the protocol file that differ, for example ``{"parameters": {"SYSTEM": {"ecutwfc": 40}}}``.
        elements
            What the frames consist of.
        pseudos
            Label of a pseudopotential family, which may recommend cutoffs, or a pseudopotential per element. By
            default the only family there is.
        kpoints
            ``{"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]}`` for the same mesh in every frame, or ``{"distance": 0.3,
            "offset": ...}`` in 1/Å for a mesh that depends on the cell.
        options
            Scheduler options of one frame.
        """
        if elements is None:
            elements = configurations.elements if configurations is not None else []
        inputs = pw_inputs(code, elements, protocol, overrides, pseudos=pseudos, kpoints=kpoints, options=options)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for name, node in inputs.pop("pw").items():
            builder.pw[name] = node
        for name, node in inputs.items():
            builder[name] = node
        return builder

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame that pw.x cannot take."""
        pw = inputs["pw"]
        return check_frames(
            configurations,
            set(pw["pseudos"]),
            pw["parameters"].get_dict(),
            isolated_atoms=bool(inputs.get("isolated_atoms", False)),
        )

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        pw = self.inputs.pw
        self.ctx.settings = AttributeDict({"parameters": pw.parameters})
        for name in ("kpoints", "kpoints_rule"):
            if name in pw:
                self.ctx.settings[name] = pw[name]
        if self.inputs.isolated_atoms.value:
            atomic = isolated_atom_settings(
                pw.parameters, self.inputs.configurations, metadata={"call_link_label": "isolated_atom_settings"}
            )
            self.ctx.settings = AttributeDict({"parameters": atomic["parameters"], "kpoints": atomic["kpoints"]})
        self.ctx.fingerprint = fingerprint(pw.code, dict(pw.pseudos), **self.ctx.settings)
        self.ctx.pending = list(range(self.inputs.configurations.n_frames))
        self.ctx.failed = []
        self.ctx.round = 0
        self.ctx.nodes = {}
        self.ctx.packs = []
        self.ctx.processes = {"packs": [], "frames": {}}

    def ask_cache(self) -> None:
        """Take the labels that exist already."""
        hashes = self.inputs.configurations.hashes
        found = find_labels(self.ctx.fingerprint, hashes)
        if not found:
            return
        sources = {f"source_{node.pk}": node for node in found.values()}
        cached = labels_from_cache(
            self.inputs.configurations, **sources, metadata={"call_link_label": "labels_from_cache"}
        )
        self.ctx.nodes["cached"] = cached
        self.ctx.pending = [frame for frame in self.ctx.pending if hashes[frame] not in found]
        self.report(f"{len(hashes) - len(self.ctx.pending)} of {len(hashes)} labels exist already")

    def has_frames_to_pack(self) -> bool:
        """Whether frames wait for a pack, and it is worth another round."""
        return bool(self.ctx.pending) and self.ctx.round < MAX_ROUNDS

    def run_packs(self) -> ToContext:
        """Submit packs of about equal cost."""
        frames = self.ctx.pending
        counts = self.inputs.configurations.configurations.counts
        settings = self.inputs.pw.pack.get_dict()
        concurrency = settings.get("concurrency") or default_concurrency(self.inputs.pw.code.computer, self._options)
        packs = share_out(frames, [float(counts[frame]) ** 2 for frame in frames], settings.get("size", DEFAULT_SIZE))
        self.ctx.packs = []
        for number, pack in enumerate(packs):
            process = self.submit(
                PwPackCalculation,
                code=self.inputs.pw.code,
                configurations=self.inputs.configurations,
                frames=orm.List(pack),
                pseudos=self._pseudos(pack),
                pack=self.inputs.pw.pack,
                metadata={
                    "options": pack_options(self._options, min(concurrency, len(pack))),
                    "call_link_label": f"pack_{self.ctx.round:02d}_{number:03d}",
                },
                **self.ctx.settings,
            )
            self.ctx.processes["packs"].append([process.uuid, pack])
            self.to_context(packs=append_(process))
        self.report(f"submitted {len(frames)} frames in {len(packs)} pack(s)")

    def inspect_packs(self) -> None:
        """See which frames are done, which failed, and which were never finished."""
        self.ctx.round += 1
        pending = set(self.ctx.pending)
        for process in self.ctx.packs:
            key = f"{self.ctx.round:02d}_{process.pk:09d}"
            if "labelled" in process.outputs:
                self.ctx.nodes[f"labelled_{key}"] = process.outputs.labelled
            if "ledger" not in process.outputs:
                self.report(f"pack <{process.pk}> left no ledger: {process.exit_message or process.process_state}")
                continue
            self.ctx.nodes[f"ledger_{key}"] = process.outputs.ledger
            for entry in process.outputs.ledger["entries"]:
                if entry["outcome"] == "failed":
                    self.ctx.failed.append(entry["frame"])
                if entry["outcome"] in {"failed", "labelled"}:
                    pending.discard(entry["frame"])
        self.ctx.pending = sorted(pending)
        if pending:
            self.report(f"{len(pending)} frames were not finished; round {self.ctx.round} of {MAX_ROUNDS}")

    def has_failed_frames(self) -> bool:
        """Whether frames failed in their pack."""
        return bool(self.ctx.failed)

    def run_frames(self) -> ToContext:
        """Give each failed frame to the workchain that knows what to do."""
        self.report(f"{len(self.ctx.failed)} frames failed in their pack; each goes out alone")
        processes = {}
        for frame in sorted(self.ctx.failed):
            single = frame_inputs(
                self.inputs.configurations,
                orm.Int(frame),
                metadata={"call_link_label": f"frame_{frame:04d}_inputs"},
                **self.ctx.settings,
            )
            process = self.submit(
                PwBaseWorkChain,
                kpoints=single["kpoints"] if "kpoints" in single else self.ctx.settings["kpoints"],
                pw={
                    "code": self.inputs.pw.code,
                    "structure": single["structure"],
                    "parameters": single["parameters"],
                    "pseudos": self._pseudos([frame]),
                    "metadata": {"options": single_options(self.inputs.pw)},
                },
                metadata={"call_link_label": f"frame_{frame:04d}"},
            )
            self.ctx.processes["frames"][str(frame)] = process.uuid
            processes[f"frame_{frame:04d}"] = process
        return ToContext(**processes)

    def inspect_frames(self) -> None:
        """Read the labels of those that succeeded after all."""
        for frame in sorted(self.ctx.failed):
            process = self.ctx[f"frame_{frame:04d}"]
            if not process.is_finished_ok:
                continue
            labelled, node = parse_pw_frame.run_get_node(
                self.inputs.configurations,
                orm.Int(frame),
                process.outputs.retrieved,
                orm.Str(self.ctx.fingerprint),
                metadata={"call_link_label": f"frame_{frame:04d}_labels"},
            )
            if node.is_finished_ok:
                self.ctx.nodes[f"labelled_frame_{frame:04d}"] = labelled

    @property
    def _options(self) -> Mapping[str, Any]:
        return self.inputs.pw.options.get_dict()

    def _pseudos(self, frames: list[int]) -> dict[str, UpfData]:
        elements = self.inputs.configurations.configurations[frames].elements
        return {element: self.inputs.pw.pseudos[element] for element in elements}
