"""Exceptions whose message is meant for the user: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from typing import ClassVar


class BloomeryError(Exception):
    """Base of all errors that a command reports in one sentence and a job reports by its ``kind``.

    A job writes ``kind`` and the message to its result file; the parser turns the kind into an exit code.
    """

    kind: ClassVar[str] = "failed"


class InputError(BloomeryError):
    """The input cannot be used as it is: a file, a key or a frame is wrong."""

    kind = "bad_input"


class DivergedError(BloomeryError):
    """A number left its stated bounds: NaN, energy or temperature beyond all measure."""

    kind = "diverged"


class RefusedPotentialError(BloomeryError):
    """A potential failed the acceptance check and must not drive anything."""

    kind = "refused"


class OutOfMemoryError(BloomeryError):
    """The device or the machine has less memory than the step needs."""

    kind = "out_of_memory"


NO_SPACE = "no_space"
"""Kind of an error that is the disk's."""


def is_for_space(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, was full."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


class DataWarning(UserWarning):
    """Something about a user's data that cannot be decided for them, in one sentence: file, frames, what was done."""
