"""Read what a pack left: labels of every frame that finished, and an entry in the ledger for every other."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_bloomery.calculations import pw_output
from aiida_bloomery.calculations.earlier import RESUME_FROM
from aiida_bloomery.calculations.frame_pack import DEFAULT_PACK, FRAME_FOLDER, LOG_FILE
from aiida_bloomery.calculations.label_cache import marks
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.data.configurations import ConfigurationsData

EVENTS = ("start", "end")
"""What the driver's log tells of a frame."""

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
        if len(words) < 3 or words[1] not in EVENTS:
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


def seconds_in(text: str) -> float:
    """Seconds from the first to the last line of the driver's log."""
    times = [float(words[2]) for words in map(str.split, text.splitlines()) if len(words) > 2 and words[1] in EVENTS]
    return max(times) - min(times) if times else 0.0


class FramePackParser(Parser):
    """Parser of a `FramePackCalculation`; subclasses read the files of one frame."""

    PROGRAM: ClassVar[str]
    """What reports call the program."""

    @abstractmethod
    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read what the program left of a frame that came to its end; `content` gives a file of its folder."""

    def saved(self, folder: str, n_atoms: int, why: str) -> FrameLabels | None:  # noqa: ARG002
        """Labels that a frame had before its last program was ended, for the reason ``why``; by default none."""
        return None

    @abstractmethod
    def fingerprint(self) -> str:
        """Fingerprint of the settings, for the label cache."""

    def parse(self, **_: Any) -> ExitCode | None:
        """Attach the labelled frames and the ledger."""
        # Each look at `self.retrieved` and `self.node.inputs` asks the database.
        self.files = self.retrieved.base.repository
        self.limit = (DEFAULT_PACK | self.node.inputs.pack.get_dict())["frame_timeout_s"]
        names = set(self.files.list_object_names())
        text = self.files.get_object_content(LOG_FILE) if LOG_FILE in names else ""
        log = read_log(text)
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
            lacks = {"lacks": result.lacks} if isinstance(result, FrameLabels) and result.lacks else {}
            entry = {"frame": index, "hash": hashes[index], "outcome": outcome, "attempts": frame_log.starts}
            entry |= {"seconds": round(frame_log.seconds, 3), "exit_code": failure.exit_code, "reason": failure.reason}
            entries.append({**entry, "job": self.node.uuid, **lacks})
        versions = sorted({label.version for label in labels.values()})
        ledger: dict[str, Any] = {"entries": entries, "versions": {self.PROGRAM: ", ".join(versions)}}
        # Of a job that was killed nobody wrote down when, and one that took up another's folder has its lines too.
        if text and RESUME_FROM not in self.node.inputs and all(entry["outcome"] != "interrupted" for entry in entries):
            ledger["seconds"] = round(seconds_in(text), 3)
        self.out("ledger", orm.Dict(ledger))
        if labels:
            self.out("labelled", self._labelled(source, labels, versions))
        return self._conclude([entry["outcome"] for entry in entries], never_ran=LOG_FILE not in names)

    def _read(self, index: int, log: FrameLog, n_atoms: int) -> tuple[str, FrameLabels | FrameFailure | None]:
        """Outcome of one frame, and its labels or the reason why it has none."""
        if not log.starts:
            return "not_started", None
        folder = FRAME_FOLDER.format(index)
        if log.status in _TIMED_OUT and log.last_seconds >= self.limit:
            why = f"was ended after the {self.limit} s that a frame may take."
            return self._saved_or_failed(folder, n_atoms, pw_output.EXIT_OUT_OF_TIME, why)
        if log.status is None:
            return "interrupted", None
        if log.status == _KILLED:
            why = "was killed, most likely for want of memory."
            return self._saved_or_failed(folder, n_atoms, pw_output.EXIT_INCOMPLETE, why)
        result = self.read_frame(folder, n_atoms)
        return ("labelled" if isinstance(result, FrameLabels) else "failed"), result

    def _saved_or_failed(
        self, folder: str, n_atoms: int, exit_code: int, why: str
    ) -> tuple[str, FrameLabels | FrameFailure]:
        if (saved := self.saved(folder, n_atoms, why)) is not None:
            return "labelled", saved
        return "failed", FrameFailure(exit_code, f"{self.PROGRAM} {why}")

    def content(self, path: str) -> str | None:
        """Content of a text file that was brought back, if there is one."""
        try:
            return str(self.files.get_object_content(path))
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _labelled(
        self, source: ConfigurationsData, labels: dict[int, FrameLabels], versions: list[str]
    ) -> ConfigurationsData:
        node = ConfigurationsData(pw_output.labelled_frames(source, labels, self.node, FRAME_FOLDER))
        node.base.attributes.set_many(marks(self.fingerprint(), f"{self.PROGRAM} {', '.join(versions)}"))
        return node

    def _conclude(self, outcomes: list[str], *, never_ran: bool) -> ExitCode | None:
        if never_ran:
            return self.exit_codes.ERROR_NEVER_RAN
        if left := outcomes.count("not_started") + outcomes.count("interrupted"):
            return self.exit_codes.ERROR_INTERRUPTED.format(left=left, total=len(outcomes))
        if failed := outcomes.count("failed"):
            return self.exit_codes.ERROR_FRAMES_FAILED.format(failed=failed, total=len(outcomes))
        return None
