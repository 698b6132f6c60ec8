"""The campaigns of the gallery, one after the other, in an AiiDA home of their own, and what they print.

Each entry of `examples/gallery` is checked and run as a user does it. What the page shows of it, the check and the end
of the run, goes to `docs/gallery/NAME.txt`, without the paths of this machine. A campaign that the home holds already
is not run again, and shows its own time. The entries with pw.x take minutes each, the others less.

    python benchmarks/gallery.py [NAME ...] [--home FOLDER] [--to FOLDER]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "examples" / "gallery"
PROGRAM = Path(sys.executable).parent / "aiida-bloomery"
COLUMNS = "118"
"""Width of a page's lines."""
LAST = "jobs "
"""What the last line that is shown begins with: the paths of the results follow."""


def called(home: Path, *arguments: str) -> str:
    """Run the program in a home from the top of the repository; return what it printed, and end where it failed."""
    environment = {**os.environ, "BLOOMERY_HOME": str(home), "AIIDA_PATH": str(home), "COLUMNS": COLUMNS}
    done = subprocess.run([PROGRAM, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def end_of(run: str, name: str) -> list[str]:
    """Lines from a campaign's name and verdict to its jobs, the last that `run` prints before the paths."""
    lines = [line.rstrip() for line in run.splitlines()]
    first = max(place for place, line in enumerate(lines) if line.startswith(f"{name}  PK "))
    return lines[first : next(place for place, line in enumerate(lines) if place > first and line.startswith(LAST)) + 1]


def shown(entry: str, home: Path) -> str:
    """Check and run an entry; return both commands with what they printed."""
    file = f"examples/gallery/{entry}/campaign.yaml"
    (name,) = re.findall(r"^name: (\S+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    checked = [line.rstrip() for line in called(home, "check", file).splitlines()]
    with tempfile.TemporaryDirectory() as results:
        ran = end_of(called(home, "run", file, "--to", results), name)
    lines = [f"$ aiida-bloomery check {file}", *checked, "", f"$ aiida-bloomery run {file}", *ran]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what was asked for, and say where it is written."""
    known = sorted(folder.name for folder in GALLERY.iterdir())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; by default all")
    parser.add_argument("--home", type=Path, help="by default a new folder, which is removed afterwards")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "gallery", help="folder for what they print")
    options = parser.parse_args()
    if strange := {*options.names} - {*known}:
        parser.error(f"there is no entry {', '.join(sorted(strange))}")
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = (options.home or Path(folder)).resolve()
        (home / ".aiida").mkdir(parents=True, exist_ok=True)
        called(home, "setup")
        try:
            for entry in options.names or known:
                target = options.to / f"{entry}.txt"
                target.write_text(shown(entry, home), encoding="utf-8")
                print(target, flush=True)
        finally:
            called(home, "stop")


if __name__ == "__main__":
    main()
