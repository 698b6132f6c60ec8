import base64
import json
import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aiida_bloomery.report.atlas import Atlas, atlas
from aiida_bloomery.report.packing import BLOCK


def content(packed: Atlas) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed.columns)))
    return found


def column(found: dict[str, Any], name: str) -> list[Any]:
    wanted = next(column for column in found["columns"] if column["name"] == name)
    words = wanted.get("words")
    return [words[value] if value >= 0 else None for value in wanted["values"]] if words else wanted["values"]


def test_every_frame_keeps_what_is_known_of_it(example: SimpleNamespace) -> None:
    data = example.data_set()
    found = content(atlas(data))
    assert column(found, "hash") == data.configurations.hashes()
    assert column(found, "role") == data.columns["role"]
    assert column(found, "sampler") == data.columns["sampler"]
    known = [None if error is None else 1000 * error for error in data.columns["error_now"]]
    assert [value is None for value in column(found, "error_now")] == [value is None for value in known]
    assert column(found, "error_now")[0] == pytest.approx(known[0], rel=1e-5)


def test_the_map_keeps_the_order_of_the_coordinates(example: SimpleNamespace) -> None:
    data = example.data_set()
    drawn = content(atlas(data))["map"]
    assert np.corrcoef(drawn["x"], data.map.coordinates[:, 0])[0, 1] == pytest.approx(1, abs=1e-6)
    assert (min(drawn["y"]), max(drawn["y"])) == (0, 10000)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_structures_beyond_the_limit_are_left_out_evenly(share: float, example: SimpleNamespace) -> None:
    data = example.data_set(n_frames=100)
    packed = atlas(data, max_atoms=int(share * data.configurations.n_atoms))
    places = np.array(content(packed)["structure"])
    kept = np.flatnonzero(places >= 0)
    assert packed.n_structures == len(kept) == pytest.approx(100 * share, abs=1)
    assert places[kept].tolist() == list(range(len(kept)))
    assert np.diff(kept).max() <= np.ceil(1 / share) + 1
    assert len(packed.blocks) == -(-len(kept) // BLOCK)
