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
        "start": "scratch",
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


def test_the_start_that_is_best_on_the_probe_is_gone_on_with(
    home: Home, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    """The foundation is the reference method with a well that is 8 % too shallow: little has to be learnt beside it."""
    soft = {"name": "stillinger_weber", "arguments": {"epsilon": 2.0}}
    changes: dict[str, Any] = {
        "name": "started",
        "foundation": {"calculator": {"calculator": soft}},
        "start": {"compare": ["auto"], "student_frames": 12},
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 48, "rattle": 0.08, "strain": 0.02}}],
            "selection": ["sanity", {"random": {"frames": 24}}],
        },
        "stop": {"iterations": {"min": 1, "max": 1}, "labels": 60},
    }
    pk = home.submit(campaign_file(**changes))
    status = home.wait(pk)
    assert status["succeeded"], status
    found = home.python(
        f"""
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.submission.words import retraining_builder
campaign = orm.load_node({pk})
record = campaigns.record(campaign)
stages = {{stage.label: stage.process for stage in campaigns.stages(campaign)}}
student = stages['bootstrap_student'].inputs.configurations.hashes
labelled = [frame for batch in campaigns.data_set(campaign).values() for frame in batch.hashes]
print(json.dumps({{
    'record': record.as_dict(),
    'engines': [orm.load_node(entry.potential).engine for entry in record.iterations],
    'delivered': campaigns.potential(campaign).engine,
    'driver': stages['iteration_001_sample'].inputs.potential.engine,
    'student': [len(student), len(set(student) & set(labelled[:24]))],
    'labelled': len(labelled),
    'again': retraining_builder(campaign).training['engine']['name'],
}}))
"""
    )
    first, end = found["record"]["iterations"][0]["starts"], found["record"]["starts"]
    assert (first["chosen"], end["chosen"]) == ("baseline", "baseline")
    assert [row["name"] for row in first["starts"]] == ["scratch", "student", "baseline", "zero_shot"]
    rows = {row["name"]: row for row in first["starts"]}
    assert rows["baseline"]["outcome"] == "helped"
    assert rows["baseline"]["forces"]["value"] < 0.5 * rows["scratch"]["forces"]["value"]
    assert (found["engines"], found["delivered"], found["driver"]) == (["delta", "delta"], "delta", "delta")
    assert found["again"] == "delta", "a training after the end has the settings of the potential that was delivered"
    assert found["student"] == [12, 0]
    assert status["labels"] == found["labelled"] <= 60, "labels of a foundation are not those that are paid for"
    assert status["starts"] == end["sentence"]
    assert end["sentence"].startswith("A start from calculator (stillinger_weber) helped: with ")
    assert "it reaches the error of scratch with " in end["sentence"]
    home.call("report", pk, "--to", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert end["sentence"].partition(":")[0] in text
    assert "compared on the probe with potentials from a student, on the foundation as baseline" in text
    home.call("export", pk, "--to", tmp_path / "export")
    assert (tmp_path / "export" / "potential" / "potential.json").is_file()
