"""What all jobs share: reading the job file, progress, the result file, and errors that a parser understands."""

from __future__ import annotations

import importlib
import json
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, TypeVar, cast

from pydantic import Field, ValidationError

from bloomery.errors import NO_SPACE, BloomeryError, InputError, OutOfMemoryError, is_for_space
from bloomery.plugins import Settings, describe_validation_error
from bloomery.progress import Progress, progress_writer, write_json
from bloomery.versions import versions

SCHEMA_VERSION: Literal[1] = 1
VERBS = ("sample", "describe", "select", "label", "train", "learn", "predict", "observe")
RESULT_FILE = "result.json"
PROGRESS_FILE = "progress.json"

Summary_co = TypeVar("Summary_co", bound=Mapping[str, object], covariant=True)


class Job(Settings):
    """What every job file holds. Paths in it are relative to the job file's folder."""

    schema_version: Literal[1] = 1
    verb: str
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    """Threads of the numerical libraries; by default ``OMP_NUM_THREADS`` or all cores."""


class JobModule(Protocol[Summary_co]):
    """What a module under `bloomery.jobs` offers: its job model, and ``run``, which returns a summary."""

    @property
    def Model(self) -> type[Job]:  # noqa: N802
        """Model of the job file."""

    def run(self, job: Any, folder: Path, progress: Progress, /) -> Summary_co:
        """Do the work in the job's folder; return plain values for JSON."""


class Result(TypedDict, total=False):
    """What the result file says of a job."""

    schema_version: int
    versions: dict[str, str]
    verb: str
    summary: Mapping[str, object]
    status: Literal["finished", "failed"]
    error: dict[Literal["kind", "message"], str]
    """Why it failed: the ``kind`` of a `BloomeryError`, and a sentence."""
    traceback: str
    seconds: float


def execute(path: str | Path) -> int:
    """Run a job file in its folder, write `RESULT_FILE` beside it, and return the exit status.

    That is 0 if the job finished, 2 if its input is bad, 1 if it failed otherwise. A job whose result says that it
    finished is not run again: schedulers may start the same folder twice.
    """
    path = Path(path)
    folder = path.resolve().parent
    started = time.time()
    result: Result = {"schema_version": SCHEMA_VERSION, "versions": versions()}
    previous = _read_json(folder / RESULT_FILE)
    if previous is not None and previous.get("status") == "finished":
        return 0
    try:
        job, module = _load(path)
        result["verb"] = job.verb
        limit_threads(job.threads)
        result["summary"] = module.run(job, folder, progress_writer(folder / PROGRESS_FILE))
        result["status"] = "finished"
    except BloomeryError as error:
        _failed(result, error.kind, str(error))
    except MemoryError as error:
        _failed(result, OutOfMemoryError.kind, f"out of memory: {error}")
    except Exception as error:  # noqa: BLE001  the job's last resort: the parser must see what happened
        kind = OutOfMemoryError.kind if type(error).__name__ == "OutOfMemoryError" else "crashed"
        kind = NO_SPACE if is_for_space(error) else kind
        _failed(result, kind, f"{type(error).__name__}: {error}")
        result["traceback"] = traceback.format_exc()
    result["seconds"] = time.time() - started
    write_json(folder / RESULT_FILE, result)
    if result["status"] == "finished":
        return 0
    return 2 if result["error"]["kind"] == InputError.kind else 1


def _failed(result: Result, kind: str, message: str) -> None:
    result["status"], result["error"] = "failed", {"kind": kind, "message": message}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _load(path: Path) -> tuple[Job, JobModule[Mapping[str, object]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error}).") from error
    verb = content.get("verb") if isinstance(content, dict) else None
    if verb not in VERBS:
        raise InputError(f"{path}: verb is {verb!r}; it must be one of {', '.join(VERBS)}.")
    module = cast("JobModule[Mapping[str, object]]", importlib.import_module(f"bloomery.jobs.{verb}"))
    try:
        return module.Model.model_validate(content), module
    except ValidationError as error:
        raise InputError(describe_validation_error(error, str(path), module.Model)) from error


def limit_threads(threads: int | None) -> None:
    """Let the numerical libraries use so many threads; ``None`` leaves it to them."""
    if threads is None:
        return
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        return
    torch.set_num_threads(threads)
