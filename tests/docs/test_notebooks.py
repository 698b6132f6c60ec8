"""The tutorial's notebook runs, as a rehearsal, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tests.waiting import PATIENCE

NOTEBOOK = Path("docs") / "tutorial" / "silicon.ipynb"


def test_notebook_is_committed_without_outputs(root: Path) -> None:
    notebook = nbformat.read(root / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.integration
@pytest.mark.daemon
def test_notebook_runs_as_a_rehearsal(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Path(sys.executable).parent
    for name in ("AIIDA_PATH", "AIIDA_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BLOOMERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(root / NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=3 * PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    try:
        client.execute()
    finally:
        subprocess.run([programs / "aiida-bloomery", "stop"], check=False, capture_output=True)
    said = "\n".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "lattice constant" in said
    assert "<- structure" in said
    # The teacher's own, from Stillinger and Weber, PRB 31, 5262 (1985): 5.431 Å.
    lattice = float(said.split("lattice constant ")[1].split(" Å")[0])
    assert abs(lattice - 5.431) < 0.02
    assert (tmp_path / "silicon.html").is_file()
    assert (tmp_path / "silicon-export" / "data_set.extxyz").is_file()
