"""The control arm's part of a selection: the same pools, the same probe, as many frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import execute
from bloomery.samplers.origin import with_origin

POOL = 40
PER_BLOCK = 2
NO_PROBE = {"min_probe": 0, "probe_share": 0}


def rattled(n: int, seed: int) -> Configurations:
    atoms = [bulk("Si", cubic=True) for _ in range(n)]
    for index, frame in enumerate(atoms):
        frame.rattle(0.1, seed=1000 * seed + index)
    frames = Configurations.from_atoms(atoms).snapped()
    order = np.arange(n) // PER_BLOCK
    return with_origin(frames.without_info(*frames.info), trajectory=np.zeros(n, dtype=int), block=order)


@pytest.fixture
def pool(tmp_path: Path) -> Configurations:
    frames = rattled(POOL, 1)
    frames.save(tmp_path / "pool.npz")
    return frames


def select(folder: Path, **changes: Any) -> tuple[dict[str, Any], Configurations, Configurations | None]:
    job = {
        "verb": "select",
        "pools": {"md": "pool.npz"},
        "selectors": ["sanity", "duplicates", {"random": {"frames": 8}}],
        "seed": 3,
        **changes,
    }
    (folder / "result.json").unlink(missing_ok=True)
    (folder / "job.json").write_text(json.dumps({"schema_version": 1, **job}))
    assert execute(folder / "job.json") == 0
    result = json.loads((folder / "result.json").read_text())
    control = folder / "control.npz"
    return (
        result["summary"],
        Configurations.load(folder / "selected.npz"),
        Configurations.load(control) if control.exists() else None,
    )


def blocks(frames: Configurations) -> set[int]:
    return set(frames.info["block"].tolist())


def split(frames: Configurations) -> tuple[Configurations, Configurations]:
    is_probe = frames.info["role"] == "probe"
    return frames[np.flatnonzero(is_probe)], frames[np.flatnonzero(~is_probe)]


def test_control_takes_as_many_frames_and_none_of_the_probes_blocks(tmp_path: Path, pool: Configurations) -> None:
    _, plain, nothing = select(tmp_path)
    summary, selected, control = select(tmp_path, control=[{"random": {"frames": 100}}])
    assert nothing is None
    assert control is not None
    assert selected.hashes() == plain.hashes()
    probe, others = split(selected)
    assert len(control) == len(others) == summary["control"]["n_selected"] == 8
    assert not blocks(control) & blocks(probe)
    assert "probe" not in control.info["role"]
    assert set(control.hashes()) != set(others.hashes())
    assert [step["selector"] for step in summary["control"]["funnel"]][-2:] == ["random", "max_frames"]


def test_the_budget_is_shared(tmp_path: Path, pool: Configurations) -> None:
    _, selected, control = select(tmp_path, control=["duplicates"], max_frames=9)
    probe, others = split(selected)
    assert control is not None
    assert len(probe) + len(others) + len(control) == 9
    assert len(others) - len(control) in {0, 1}


def test_probe_of_both_arms_avoids_what_either_has_trained_on(tmp_path: Path, pool: Configurations) -> None:
    """All pools but the last four blocks are trained on by the control: the probe must come from these."""
    pool[: POOL - 8].with_info(role="train").save(tmp_path / "control_001.npz")
    _, selected, control = select(
        tmp_path, control=[{"random": {"frames": 8}}], control_data_set={"control_001": "control_001.npz"}
    )
    probe, _ = split(selected)
    assert len(probe)
    assert control is not None
    assert blocks(probe) <= set(range((POOL - 8) // PER_BLOCK, POOL // PER_BLOCK))
    # The control does not take again what it has; what is left are the frames outside of the probe's blocks.
    assert not set(control.hashes()) & set(pool[: POOL - 8].hashes())


def test_control_knows_its_own_data_set_only(tmp_path: Path, pool: Configurations) -> None:
    """What the campaign labelled may be taken by the control, but no frame of the probe."""
    roles = np.array(["probe", "train"] * 4)
    fields: dict[str, Any] = {
        "data_set": {"batch_001": "batch_001.npz"},
        "control": ["duplicates"],
        "roles": NO_PROBE,
        "selectors": ["sanity", "duplicates"],
    }
    pool[:8].with_info(role=roles).save(tmp_path / "batch_001.npz")
    _, _, control = select(tmp_path, **fields)
    assert control is not None
    assert not set(control.hashes()) & set(pool[:8].hashes())  # each of the eight is in a block of the probe
    pool[:8].with_info(role="train").save(tmp_path / "batch_001.npz")
    _, selected, control = select(tmp_path, **fields)
    assert control is not None
    assert set(control.hashes()) & set(pool[:8].hashes())
    assert not set(selected.hashes()) & set(pool[:8].hashes())


def test_farthest_points_are_far_from_what_the_control_has(tmp_path: Path, pool: Configurations) -> None:
    """Features on a line: the campaign has the left end, the control the right one."""
    features = np.arange(POOL, dtype=float)[:, None]
    pool[:1].with_info(role="train").save(tmp_path / "batch_001.npz")
    pool[-1:].with_info(role="train").save(tmp_path / "control_001.npz")
    arrays = {"pool_md": features, "data_batch_001": features[:1], "data_control_001": features[-1:]}
    np.savez(tmp_path / "features.npz", allow_pickle=False, **arrays)
    _, selected, control = select(
        tmp_path,
        features="features.npz",
        selectors=["duplicates", {"farthest_point": {"frames": 1}}],
        control=[{"farthest_point": {"frames": 1}}],
        roles=NO_PROBE,
        data_set={"batch_001": "batch_001.npz"},
        control_data_set={"control_001": "control_001.npz"},
    )
    assert control is not None
    assert (selected.hashes(), control.hashes()) == (pool[-1:].hashes(), pool[:1].hashes())
