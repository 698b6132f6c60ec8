"""Read what a pack left: labels of every frame that finished, and an entry in the ledger for every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_bloomery.calculations import pw_output
from aiida_bloomery.calculations.label_cache import around_of, fingerprint, mark
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.pw_pack import CRASH_FILE, DEFAULT_PACK, FRAME_FOLDER, LOG_FILE, OUTPUT_FILE, XML_FILE
from aiida_bloomery.data.configurations import ConfigurationsData

_KILLED = 137
_TIMED_OUT = (124, _KILLED)


@dataclass
class FrameLog:
    """What the driver wrote of one frame: how often it started and when last, how long it ran, and how it ended."""

    starts: int = 0
    started: float = 0.0
    seconds: float = 0.0
    last_seconds: float = 0.0
    status: int | None = None


def read_log(text: str) -> dict[str, FrameLog]:
    """Read the driver's log: lines of folder, ``start`` or ``end``, seconds since the epoch, exit status."""
    frames: dict[str, FrameLog] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3 or words[1] not in {"start", "end"}:
            continue  # a line that the job was killed over
        frame = frames.setdefault(words[0], FrameLog())
        if words[1] == "start":
            frame.starts += 1
            frame.started, frame.status = float(words[2]), None
        elif len(words) == 4:
            frame.last_seconds = float(words[2]) - frame.started if frame.starts else 0.0
            frame.seconds += frame.last_seconds
            frame.status = int(words[3])
    return frames


class PwPackParser(Parser):
    """Parser of `PwPackCalculation`."""

    def parse(self, **_: Any) -> ExitCode | None:
        """Attach the labelled frames and the ledger."""
        # Each look at `self.retrieved` and `self.node.inputs` asks the database.
        self.files = self.retrieved.base.repository
        self.limit = (DEFAULT_PACK | self.node.inputs.pack.get_dict())["frame_timeout_s"]
        names = set(self.files.list_object_names())
        log = read_log(self.files.get_object_content(LOG_FILE)) if LOG_FILE in names else {}
        source: ConfigurationsData = self.node.inputs.configurations
        counts, hashes = source.configurations.counts, source.hashes
        labels: dict[int, FrameLabels] = {}
        entries = []
        for index in self.node.inputs.frames.get_list():
            frame_log = log.get(FRAME_FOLDER.format(index), FrameLog())
            outcome, result = self._read(index, frame_log, int(counts[index]))
            if isinstance(result, FrameLabels):
                labels[index] = result
            failure = result if isinstance(result, FrameFailure) else FrameFailure(0, "")
            entry = {"frame": index, "hash": hashes[index], "outcome": outcome, "attempts": frame_log.starts}
            entry |= {"seconds": round(frame_log.seconds, 3), "exit_code": failure.exit_code, "reason": failure.reason}
            entries.append({**entry, "job": self.node.uuid})
        versions = sorted({label.version for label in labels.values()})
        self.out("ledger", orm.Dict({"entries": entries, "versions": {"pw.x": ", ".join(versions)}}))
        if labels:
            self.out("labelled", self._labelled(source, labels, versions))
        return self._conclude([entry["outcome"] for entry in entries], never_ran=LOG_FILE not in names)

    def _read(self, index: int, log: FrameLog, n_atoms: int) -> tuple[str, FrameLabels | FrameFailure | None]:
        """Outcome of one frame, and its labels or the reason why it has none."""
        if not log.starts:
            return "not_started", None
        if log.status in _TIMED_OUT and log.last_seconds >= self.limit:
            reason = f"pw.x was ended after the {self.limit} s that a frame may take."
            return "failed", FrameFailure(pw_output.EXIT_OUT_OF_TIME, reason)
        if log.status is None:
            return "interrupted", None
        if log.status == _KILLED:
            return "failed", FrameFailure(pw_output.EXIT_INCOMPLETE, "pw.x was killed, most likely for want of memory.")
        folder = FRAME_FOLDER.format(index)
        xml, stdout, crash = (self._content(f"{folder}/{name}") for name in (XML_FILE, OUTPUT_FILE, CRASH_FILE))
        result = pw_output.read_frame(xml, stdout, n_atoms, crash)
        return ("labelled" if isinstance(result, FrameLabels) else "failed"), result

    def _content(self, path: str) -> str | None:
        try:
            return str(self.files.get_object_content(path))
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _labelled(
        self, source: ConfigurationsData, labels: dict[int, FrameLabels], versions: list[str]
    ) -> ConfigurationsData:
        node = ConfigurationsData(pw_output.labelled_frames(source, labels, self.node, FRAME_FOLDER))
        inputs = self.node.inputs
        settings = fingerprint(inputs.code, dict(inputs.pseudos), inputs.parameters, **around_of(inputs))
        mark(node, settings, ", ".join(versions))
        return node

    def _conclude(self, outcomes: list[str], *, never_ran: bool) -> ExitCode | None:
        if never_ran:
            return self.exit_codes.ERROR_NEVER_RAN
        if left := outcomes.count("not_started") + outcomes.count("interrupted"):
            return self.exit_codes.ERROR_INTERRUPTED.format(left=left, total=len(outcomes))
        if failed := outcomes.count("failed"):
            return self.exit_codes.ERROR_FRAMES_FAILED.format(failed=failed, total=len(outcomes))
        return None
