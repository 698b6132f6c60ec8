"""Kernels in C for what takes the time of molecular dynamics: compiled once for this processor, and done without.

A compiler is looked for when a kernel is first wanted. Where there is none, or where ``BLOOMERY_NATIVE=0`` says so,
torch does the same arithmetic, three to ten times slower. What was compiled is kept in the Python environment, or in
the user's cache where that cannot be written to.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bloomery.progress import in_one_step
from bloomery.seeds import digest_of

HEADERS = Path(__file__).parent
FLAGS = (
    "-O3", "-march=native", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared",
    "-fPIC",
)  # fmt: skip
WIDE_FLAG = "-mprefer-vector-width=512"
COMPILERS = ("cc", "gcc", "clang")
PATIENCE = 600.0
"""Seconds that a compilation may take."""
DIGEST = 32
"""Characters at the end of a compiled file that tell whether it is whole."""

_logger = logging.getLogger(__name__)


@cache
def load_kernel(source: Path, dtype: str, defines: tuple[tuple[str, int], ...] = ()) -> ctypes.CDLL | None:
    """Compile a kernel, ``kernel.c`` in a folder named like it, for a precision and some sizes, and load it.

    What was compiled before is not compiled again. There is none where there is no compiler, where it fails, or where
    the user wants none.
    """
    if os.environ.get("BLOOMERY_NATIVE", "1") == "0" or platform.system() != "Linux":
        return None
    asked = os.environ.get("CC", "").split()[:1]
    compiler = next((found for name in (*asked, *COMPILERS) if (found := shutil.which(name))), None)
    if compiler is None:
        return None
    real = ("-DREAL=float", "-DUSE_FLOAT") if dtype == "float32" else ("-DREAL=double",)
    wide = (WIDE_FLAG,) if platform.machine() == "x86_64" else ()
    flags = [*FLAGS, *wide, *real, *(f"-D{name}={value}" for name, value in defines)]
    name = f"{source.parent.name}-{_fingerprint(source, compiler, flags)}.so"
    for folder in _folders():
        library = folder / name
        try:
            if not _whole(library):
                _compile(compiler, flags, source, library)
            opened = ctypes.CDLL(str(library))
        except (OSError, subprocess.SubprocessError) as error:
            detail = getattr(error, "stderr", None) or error
            _logger.info("%s: could not be compiled by %s in %s: %s", source, compiler, folder, detail)
        else:
            opened.vector_lanes.argtypes, opened.vector_lanes.restype = [], ctypes.c_int64
            return opened
    return None


def told() -> str:
    """Say whether kernels in C run here, and how wide the vectors are that they work on."""
    library = load_kernel(HEADERS / "width.c", "float64")
    if library is None:
        return "none (no C compiler, or BLOOMERY_NATIVE=0); torch does the same arithmetic, three to ten times slower"
    return f"C, on vectors of {64 * library.vector_lanes()} bits (AVX-512 has 512, AVX2 256)"


def _fingerprint(source: Path, compiler: str, flags: list[str]) -> str:
    """Return a hash of all that the compiled file depends on; machines of a cluster may share the folder."""
    files = (file.read_bytes() for file in (source, *sorted(HEADERS.glob("*.h"))))
    return digest_of(*files, repr((compiler, flags, platform.machine(), _processor())), size=12)


@cache
def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    kept = {line for line in text.splitlines() if line.split(":")[0].strip() in {"flags", "Features", "model name"}}
    return "\n".join(sorted(kept))


def _folders() -> Iterator[Path]:
    """Folders that compiled kernels may be kept in: nobody else may be able to write there."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (Path(sys.prefix) / "var" / "cache" / "bloomery", user / "bloomery"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            status = folder.stat()
        except OSError:
            continue
        if os.access(folder, os.W_OK) and status.st_uid in {os.getuid(), 0} and not status.st_mode & 0o022:
            yield folder
    with tempfile.TemporaryDirectory(prefix="bloomery-") as folder_of_process:
        yield Path(folder_of_process)


def _whole(library: Path) -> bool:
    """Whether a file is what `_compile` wrote: one that is cut, or foreign, would end this process."""
    try:
        content = library.read_bytes()
    except OSError:
        return False
    return content[-DIGEST:] == digest_of(content[:-DIGEST], size=DIGEST // 2).encode()


def _compile(compiler: str, flags: list[str], source: Path, library: Path) -> None:
    """Compile into place in one step: processes that start together may all be here."""
    with in_one_step(library) as temporary:
        command = [compiler, *flags, f"-I{HEADERS}", str(source), "-o", str(temporary), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
        # The loader reads nothing behind what the file's header tells of.
        with temporary.open("ab") as file:
            file.write(digest_of(temporary.read_bytes(), size=DIGEST // 2).encode())
