"""What this machine has."""

import os
from pathlib import Path

import pytest

from bloomery import devices


@pytest.mark.parametrize(("said", "expected"), [("max", None), ("1073741824\n", 1.0), (None, None)])
def test_memory_is_what_a_queue_leaves(
    said: str | None, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    if said is not None:
        limit.write_text(said, encoding="ascii")
    monkeypatch.setattr(devices, "LIMITS", (limit,))
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    assert devices.memory() == pytest.approx(whole if expected is None else expected)
