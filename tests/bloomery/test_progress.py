"""Files are written in one step: a reader finds the old one or the new one."""

import json
from pathlib import Path

import pytest

from bloomery.progress import in_one_step, write_json


def test_a_file_takes_the_place_of_the_old_one_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"step": 1})
    with in_one_step(path) as temporary:
        temporary.write_text("{}", encoding="utf-8")
        assert json.loads(path.read_text(encoding="utf-8")) == {"step": 1}
    assert path.read_text(encoding="utf-8") == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"step": 1})
    with pytest.raises(ValueError, match="not JSON"):
        write_json(path, {"step": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]
