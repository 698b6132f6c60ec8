"""Seeds, lots and digests stay what they were: campaigns that exist depend on them."""

import hashlib

from bloomery.seeds import derive_seed, digest_of, draw, uniform


def hashed(text: bytes, size: int) -> bytes:
    """What all of them are made of."""
    return hashlib.blake2b(text, digest_size=size).digest()


def test_seeds_and_lots_follow_from_the_parts_joined_by_bars() -> None:
    assert derive_seed(3, "selector", 1.5) == int.from_bytes(hashed(b"3|selector|1.5", 4), "little") >> 1
    assert draw(3, "abc") == (int.from_bytes(hashed(b"3|abc", 8), "little") >> 11) / 2**53
    assert uniform(3, "fold", "abc") == int.from_bytes(hashed(b"3|fold|abc", 8), "little") / 2**64


def test_a_digest_is_of_its_parts_one_after_the_other() -> None:
    assert digest_of("ab", b"c") == hashed(b"abc", 16).hex()
    assert digest_of("ab", b"c", size=8, end=b"\0") == hashed(b"ab\0c\0", 8).hex()
    assert digest_of() == hashed(b"", 16).hex()
