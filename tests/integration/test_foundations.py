"""A whole campaign whose first frames a foundation makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.harness import Home

from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller

pytestmark = [pytest.mark.integration, pytest.mark.daemon]


def test_a_foundation_drives_the_bootstrap_and_labels_nothing(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Tersoff's potential stands for the foundation, that of Stillinger and Weber for the reference method."""
    dynamics = {"temperatures": [300, 900, 1500], "steps": 60, "interval": 10, "equilibration": 20, "block_steps": 10}
    changes: dict[str, Any] = {
        "name": "founded",
        "foundation": {"calculator": {"calculator": "tersoff", "functional": "PBE"}},
        "bootstrap": {
            "samplers": [{"foundation_md": dynamics}],
            "selection": ["sanity", "duplicates", {"random": {"frames": 8}}],
        },
        "stop": {"iterations": {"min": 1, "max": 1}, "labels": 40},
    }
    file = campaign_file(**changes)
    found = [finding["what"] for finding in home.facts("check", file)["found"]]
    assert "foundation calculator" in found
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    home.call("export", pk, "--to", tmp_path / "export")
    data = Configurations.read(tmp_path / "export" / "data_set.extxyz")
    expected, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(data.without_labels())
    np.testing.assert_allclose(data.label("forces")[0], expected.label("forces")[0], atol=1e-5)
    jobs = home.python(
        f"""
jobs = [job for job in orm.load_node({pk}).called_descendants if isinstance(job, orm.CalcJobNode)]
jobs = [job for job in jobs if 'foundation_md' in job.process_label]
print(json.dumps([[job.outputs.report['driver'], job.outputs.frames.configurations.labels == {{}}] for job in jobs]))
"""
    )
    ((driver, unlabelled),) = jobs
    assert (driver["name"], driver["model"], driver["functional"]) == ("calculator", "tersoff", "PBE")
    assert unlabelled
    lineage = home.call("lineage", pk, "--frame", "0").stdout
    assert "sampler foundation_md, foundation calculator tersoff" in lineage
    home.call("report", pk, "--to", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "foundation calculator (calculator tersoff" in text
