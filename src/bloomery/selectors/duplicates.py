"""Drop frames that the data set holds already, and all but one of equal frames in the pool."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bloomery.selectors.contract import Picks, Pool, Selector


class Duplicates(Selector):
    """Keep the first frame of each content; content is what the content hash sees."""

    name = "duplicates"

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick frames that are new, in the order of the pool; all score the same."""
        reasons: Counter[str] = Counter()
        seen: set[str] = set()
        kept = []
        for frame, content in enumerate(pool.hashes):
            if content in pool.known_hashes:
                reasons["in the data set"] += 1
            elif content in seen:
                reasons["twice in the pool"] += 1
            else:
                seen.add(content)
                kept.append(frame)
        return Picks(np.array(kept, dtype=np.int64), np.zeros(len(kept)), dict(reasons))

    def at_most(self, n_pool: int) -> int:
        """All of them."""
        return n_pool
