"""Arrays in files are the arrays that they were made of, and stay in files."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames import mapped, reading
from bloomery.frames.configurations import Configurations


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "LARGE", 64)


@given(st.lists(st.integers(0, 29), max_size=60), st.integers(1, 3))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_runs_and_joins_are_those_of_numpy(tmp_path: Path, rows: list[int], width: int) -> None:
    plain = np.random.default_rng(0).normal(size=(30, width))
    array = mapped.put(plain, tmp_path)
    indices = np.array(rows, dtype=np.int64)
    counts = indices % 4
    starts = np.minimum(indices, 26)
    runs = np.concatenate([np.arange(start, start + n) for start, n in zip(starts, counts, strict=True)] or [indices])
    for source in (plain, array):
        np.testing.assert_array_equal(mapped.take(source, indices), plain[indices])
        np.testing.assert_array_equal(mapped.take_runs(source, starts, counts), plain[runs.astype(np.int64)])
        np.testing.assert_array_equal(mapped.join([source, plain[:2]]), np.concatenate([plain, plain[:2]]))
    assert mapped.is_mapped(mapped.take(array, np.arange(20)))
    assert mapped.is_mapped(mapped.join([plain, array]))
    assert not list(tmp_path.iterdir())


def test_frames_in_files_are_the_same_frames(tmp_path: Path, make_silicon) -> None:  # type: ignore[no-untyped-def]
    made: Configurations = make_silicon(7).with_info(step=np.arange(7), rule=list("abcdefg"))
    made.save(tmp_path / "frames.npz")
    made.write_extxyz(tmp_path / "frames.extxyz")
    there = tmp_path / "there"
    there.mkdir()
    for name in ("frames.npz", "frames.extxyz"):
        read, plain = Configurations.read(tmp_path / name, folder=there), Configurations.read(tmp_path / name)
        assert mapped.is_mapped(read.positions)
        assert read.digest() == plain.digest()
        assert read.hashes() == made.hashes()
        for rows in ([5, 0, 3], slice(1, 4)):
            assert read[rows].digest() == plain[rows].digest()
            assert mapped.is_mapped(read[rows].positions)
        both = Configurations.concatenate([read, plain])
        assert both.digest() == Configurations.concatenate([plain, plain]).digest()
        assert mapped.is_mapped(both.positions)
    assert not list(there.iterdir())


def test_pieces_of_a_file_are_one(tmp_path: Path, make_silicon, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    frames = make_silicon(5).to_atoms()
    for index, frame in enumerate(frames):
        frame.info |= {"step": index, "odd": "text" if index == 4 else 1.0}
        if index < 4:
            frame.info["missing"] = 3
    path = tmp_path / "frames.extxyz"
    Configurations.from_atoms(frames).write_extxyz(path)
    whole = Configurations.read(path)
    monkeypatch.setattr(reading, "PIECE", 2)
    pieces = Configurations.read(path)
    assert pieces.digest() == whole.digest()
    assert set(whole.info) == {"step", "missing"}
    assert np.isnan(whole.info["missing"]).tolist() == [False] * 4 + [True]


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", counts=np.array([{}] * 99, dtype=object))
    with pytest.raises(InputError, match="not an archive of configurations"):
        Configurations.load(tmp_path / "a.npz", tmp_path)
    with ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("counts.npy", b"x" * 999)
    with pytest.raises(InputError, match="not an archive of configurations"):
        Configurations.load(tmp_path / "b.npz", tmp_path)
