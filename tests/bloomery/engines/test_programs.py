"""Programs of other packages: what they say when they fail, and what becomes of them when nobody waits."""

import sys
from pathlib import Path

import pytest

from bloomery.engines.programs import find_program, run_program
from bloomery.errors import BloomeryError, InputError, OutOfMemoryError
from bloomery.versions import package_versions


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_is_returned_and_kept(tmp_path: Path) -> None:
    assert run_program(python("print('done')"), tmp_path, log="out.log") == "done\n"
    assert (tmp_path / "out.log").read_text(encoding="utf-8") == "done\n"


def test_a_failure_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(BloomeryError, match=r"ended with status 3; it said: first \| last\."):
        run_program(python("print('first'); print('last'); raise SystemExit(3)"), tmp_path)


@pytest.mark.parametrize("code", ["raise MemoryError", "import os; os.kill(os.getpid(), 9)"])
def test_memory_that_ran_out_is_told_apart(code: str, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match="ran out of memory"):
        run_program(python(code), tmp_path)


def test_a_program_ends_when_the_watch_raises(tmp_path: Path) -> None:
    def stop() -> None:
        if (tmp_path / "started").exists():
            raise RuntimeError("stop")

    code = "import pathlib, time; pathlib.Path('started').touch(); time.sleep(600)"
    with pytest.raises(RuntimeError, match="stop"):
        run_program(python(code), tmp_path, watch=stop)


def test_a_program_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"needs the program no_such of the package some-package: run .*--engine x"):
        find_program("x", "some-package", "no_such")
    assert find_program("x", "pytest", "pytest")


def test_versions_of_what_is_installed() -> None:
    assert set(package_versions("numpy", "no-such-package")) == {"numpy"}
