"""What follows from content alone, the same on every machine: seeds, lots and digests."""

from __future__ import annotations

import hashlib
from pathlib import Path


def derive_seed(seed: int, *parts: object) -> int:
    """Return a seed below 2^31 that follows from another and from what it is for.

    Seeds for different purposes are as good as independent, and none depends on the order in which they are asked for.
    """
    return _number(_joined(seed, *parts), 4) >> 1


def draw(seed: int, content: str) -> float:
    """Return a number in [0, 1) that is as good as random, but follows from seed and content."""
    return (_number(_joined(seed, content), 8) >> 11) / 2**53


def uniform(*parts: object) -> float:
    """Return a number in [0, 1] that follows from these parts."""
    return _number(_joined(*parts), 8) / 2**64


def digest_of(*parts: str | bytes, size: int = 16, end: bytes = b"") -> str:
    """Return the hash of some content, of ``size`` bytes, in hexadecimal digits.

    The parts go in one after the other, and ``end`` behind each of them, so that two parts are not taken for one.
    """
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        digest.update((part.encode() if isinstance(part, str) else part) + end)
    return digest.hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, as ``sha256sum`` tells it; of a folder, of all files in it with their names."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    parts = [
        (str(inner.relative_to(path)), digest_of_file(inner)) for inner in sorted(path.rglob("*")) if inner.is_file()
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _joined(*parts: object) -> str:
    return "|".join(map(str, parts))


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "little")
