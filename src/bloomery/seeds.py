"""Seeds that follow from other seeds, the same on every machine."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *parts: object) -> int:
    """Return a seed below 2^31 that follows from another and from what it is for.

    Seeds derived for different purposes are as good as independent, and none depends on the order in which they are
    asked for.
    """
    text = "|".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1


def draw(seed: int, content: str) -> float:
    """Return a number in [0, 1) that is as good as random, but follows from seed and content."""
    digest = hashlib.blake2b(f"{seed}|{content}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
