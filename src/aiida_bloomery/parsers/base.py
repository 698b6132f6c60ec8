"""What all parsers of the program `bloomery` share: the result file, and exit codes from what went wrong."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from aiida import orm
from aiida.common.exceptions import ValidationError
from aiida.engine import ExitCode
from aiida.parsers import Parser
from numpy.typing import NDArray

from aiida_bloomery.calculations.job_script import TIMED_OUT_FILE
from aiida_bloomery.data.configurations import ConfigurationsData, check_parents
from bloomery import errors
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import RESULT_FILE, Result

SCHEDULER_OUT_OF_MEMORY = 110
SCHEDULER_OUT_OF_WALLTIME = 120


class BloomeryParser(Parser):
    """Read the result file, let the subclass make the outputs, and turn failures into exit codes."""

    EXIT_CODES: ClassVar[dict[str, str]] = {
        InputError.kind: "ERROR_BAD_INPUT",
        errors.BloomeryError.kind: "ERROR_JOB_FAILED",
        errors.DivergedError.kind: "ERROR_DIVERGED",
        errors.OutOfMemoryError.kind: "ERROR_OUT_OF_MEMORY",
        errors.NO_SPACE: "ERROR_NO_SPACE",
        errors.RefusedPotentialError.kind: "ERROR_POTENTIAL_REFUSED",
    }
    """By the kind of the error; any other, such as a crash, is ``ERROR_JOB_FAILED``."""

    folder: Path
    """Where the job's result files are."""

    def parse(self, *, retrieved_temporary_folder: str | None = None, **_: Any) -> ExitCode | None:
        """Attach the outputs of a job that finished; otherwise say why it did not."""
        self.folder = Path(retrieved_temporary_folder or ".")
        try:
            result = self._result()
            if result is not None and result["status"] == "finished":
                self.collect(result)
                return None
            self.salvage()
            if result is None:
                return self._without_result()
            label = self.EXIT_CODES.get(result["error"]["kind"], "ERROR_JOB_FAILED")
            return self.exit_codes[label].format(message=result["error"]["message"])
        except (InputError, ValidationError, OSError, ValueError, KeyError, TypeError) as error:
            text = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)
            return self.exit_codes.ERROR_RESULT_UNREADABLE.format(message=text)

    @abstractmethod
    def collect(self, result: Result) -> None:
        """Attach the outputs; ``result`` is the job's result file."""

    def salvage(self) -> None:
        """Attach what is worth keeping of a job that did not finish."""

    # -- for subclasses -------------------------------------------------------------------------------------------

    def report_of(self, result: Result, summary: Mapping[str, object] | None = None) -> orm.Dict:
        """The job's summary, or another, with the seconds that it took and the versions that ran."""
        ran = {"seconds": result["seconds"], "versions": result.get("versions", {})}
        return orm.Dict({**(result["summary"] if summary is None else summary), **ran})

    def attach(self, name: str, configurations: Configurations, **attributes: Any) -> None:
        """Attach frames, and check their parents now: an exit code says more than a node that refuses to be stored.

        Raises
        ------
        InputError
            If a parent is not what a frame says; the frame is named.
        """
        node = ConfigurationsData(configurations)
        message = check_parents(node.configurations)
        if message:
            raise InputError(message)
        node.base.attributes.set_many(attributes)
        self.out(name, node)

    def attach_copies(self, name: str, configurations: Configurations, **attributes: Any) -> None:
        """Attach frames that must have the content of their parents.

        Raises
        ------
        InputError
            If one has another; it is named.
        """
        pairs = zip(configurations.snapped().hashes(), configurations.info["parent_hash"].tolist(), strict=True)
        for frame, (content, parent) in enumerate(pairs):
            if content != parent:
                raise InputError(
                    f"frame {frame} of {name!r} is not the frame that it is said to be: its content differs."
                )
        self.attach(name, configurations, **attributes)

    def content(self, name: str) -> Any:
        """Read a JSON file that the job wrote."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Read arrays that the job wrote.

        Raises
        ------
        InputError
            If there is no such file, or it cannot be read.
        """
        try:
            with np.load(self.folder / name, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{name} cannot be read ({error}).") from error

    # -- failures -------------------------------------------------------------------------------------------------

    def _result(self) -> Result | None:
        """The result file, or ``None`` if there is none."""
        names = self.retrieved.base.repository.list_object_names()
        if RESULT_FILE not in names:
            return None
        try:
            result = json.loads(self.retrieved.base.repository.get_object_content(RESULT_FILE))
        except ValueError as error:
            raise InputError(f"{RESULT_FILE} is not valid JSON ({error}).") from error
        if not isinstance(result, dict):
            raise InputError(f"{RESULT_FILE} does not hold a mapping.")
        return cast("Result", result)

    def _without_result(self) -> ExitCode:
        """Why a job left no result."""
        names = self.retrieved.base.repository.list_object_names()
        if TIMED_OUT_FILE in names or self.node.exit_status == SCHEDULER_OUT_OF_WALLTIME:
            seconds = self.node.get_option("max_wallclock_seconds")
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(seconds=seconds)
        if self.node.exit_status == SCHEDULER_OUT_OF_MEMORY:
            return self.exit_codes.ERROR_OUT_OF_MEMORY.format(message="the scheduler ended the job.")
        last = self._last_words(names)
        message = f"The last it said: {last!r}." if last else "It said nothing."
        return self.exit_codes.ERROR_RESULT_MISSING.format(message=message)

    def _last_words(self, names: list[str]) -> str:
        """The last line of what the job, or else the scheduler, said."""
        for name in (self.node.get_option("output_filename"), self.node.get_option("scheduler_stderr")):
            if name in names:
                text = self.retrieved.base.repository.get_object_content(name).strip()
                if text:
                    return str(text.splitlines()[-1])[:200]
        return ""
