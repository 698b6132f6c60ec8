"""What every labeller must do."""

from __future__ import annotations

import json

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LEARNT
from bloomery.labellers.contract import Labeller, LedgerEntry


def check_labeller(labeller: Labeller, frames: Configurations) -> None:
    """Check that every frame is in the ledger, and that labelled frames, one at least, are those handed over."""
    frames = frames.with_info(mark=np.arange(len(frames)))
    before = frames.digest()
    recorded: list[tuple[Configurations | None, LedgerEntry]] = []
    labelled, ledger = labeller.label(frames, record=lambda frame, entry: recorded.append((frame, entry)))
    assert frames.digest() == before, "the frames were changed"
    assert [entry.frame for entry in ledger] == list(range(len(frames))), "one entry per frame, in order"
    assert [entry.hash for entry in ledger] == frames.hashes()
    done = [entry.frame for entry in ledger if entry.outcome != "failed"]
    assert done, "nothing was labelled, so nothing can be checked"
    assert labelled.info["parent"].tolist() == done, "parents are the frames that did not fail, in order"
    assert labelled.info["mark"].tolist() == done, "per-frame arrays must be kept"
    assert labelled.hashes() == [frames.hashes()[frame] for frame in done], "labelling must not move atoms"
    assert any(labelled.has(name).all() for name in LEARNT), "a labelled frame has labels"
    for entry in ledger:
        assert bool(entry.reason) == (entry.outcome == "failed"), "a failure has a reason, and nothing else has"
        json.dumps(entry.as_dict(), allow_nan=False)
    assert sorted(entry.frame for _, entry in recorded) == list(range(len(frames))), "every frame is recorded"
    for frame, entry in recorded:
        assert (frame is None) == (entry.outcome == "failed")
        if frame is not None:
            place = done.index(entry.frame)
            assert frame.label("forces")[0].tolist() == labelled[[place]].label("forces")[0].tolist()
    none, empty = labeller.label(frames[[]])
    assert (len(none), empty) == (0, []), "no frames give no labels"
