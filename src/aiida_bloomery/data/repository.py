"""What a profile's repository has lost, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiida import orm

from bloomery.errors import InputError


@contextmanager
def reading(node: orm.Node, what: str) -> Iterator[None]:
    """Read a file of a node: one that is missing or damaged is an `InputError`."""
    try:
        yield
    except (FileNotFoundError, InputError) as error:
        state = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise InputError(
            f"node {node.pk or node.uuid}: its {what} is {state} in the profile's repository; restore it from a "
            "backup, or import an archive that holds it."
        ) from error
