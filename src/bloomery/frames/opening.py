"""Files as they lie there: compressed or not, with a byte-order mark or without one, with suffixes in any case."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, TextIO, cast

from bloomery.errors import InputError

HEAD = 4096
"""So many bytes of a file are looked at to see which format it is."""
BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What reading a file raises that is not there, not allowed, or not compressed as its suffix says."""
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def is_compressed(path: Path) -> bool:
    """Tell whether a file is compressed, by its suffix."""
    return path.suffix.lower() in _OPENERS


def kind_of(path: Path) -> str:
    """Suffix of a file in lower case, that of a compression left out."""
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed."""
    return cast("IO[bytes]", _OPENERS.get(path.suffix.lower(), open)(path, "rb"))


def open_text(path: Path) -> TextIO:
    """Open a text for reading, decompressed; what is not UTF-8 is replaced, and a byte-order mark left out."""
    return TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="replace")


def read_text(path: Path) -> str:
    """All of a text, as `open_text` reads it."""
    with open_text(path) as file:
        return file.read()


def head_of(path: Path) -> str:
    """The first characters of a file; `InputError` if it cannot be read."""
    try:
        with open_bytes(path) as file:
            return file.read(HEAD).decode("utf-8-sig", errors="replace")
    except BROKEN as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
