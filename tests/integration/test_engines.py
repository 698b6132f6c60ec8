"""A whole campaign with every engine of another package: set up, run and delivered as a user has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.harness import Home
from tests.quick_engines import QUICK

from bloomery.engines.installation import engines_with_environment
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin

pytestmark = [pytest.mark.integration, pytest.mark.daemon, pytest.mark.engines]

ENVIRONMENTS = Path(os.environ.get("BLOOMERY_ENGINES", "of no engine"))

# By stage: the jobs with their codes, how they ended, and the potentials that they were given; what came of them.
LOOK = """
from aiida_bloomery.provenance.campaign import stages
found = {{}}
for stage in stages(orm.load_node({pk})):
    node = stage.process
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    given = [job.inputs.potential.uuid if 'potential' in job.inputs else '' for job in jobs]
    found[stage.label] = {{
        'jobs': [[job.inputs.code.label, job.exit_status, one] for job, one in zip(jobs, given)],
        'warm': 'start_from' in node.inputs,
    }}
    if 'potential' in node.outputs:
        made = node.outputs.potential
        found[stage.label]['made'] = [made.uuid, made.engine, made.members]
    if stage.name == 'sample' and stage.iteration:
        pool = node.outputs.pools.md_0.configurations
        found[stage.label]['disagreement'] = pool.info['disagreement'].tolist()
print(json.dumps(found))
"""


@pytest.mark.parametrize("engine", engines_with_environment())
def test_a_whole_campaign(engine: str, home: Home, campaign_file: Callable[..., Path], tmp_path: Path) -> None:
    environment = ENVIRONMENTS / engine
    if not environment.is_dir():
        pytest.skip(f"engine {engine} is not in $BLOOMERY_ENGINES: ./test --engines")
    home.call("setup", "--engine", engine, "--environment", environment)
    file = campaign_file(
        name=engine,
        sampling=[{"md": {"temperatures": [300, 900], "steps": 40, "interval": 10}}],
        training={engine: {**QUICK[engine], "members": 2}},
        stop={"iterations": {"min": 1, "max": 1}, "labels": 60},
    )
    assert f"code {engine}@localhost" in home.call("check", file).stdout
    pk = home.submit(file)
    status = home.wait(pk)
    assert status["succeeded"], status
    assert status["decision"]["rule"] == "max_iterations"
    assert status["engine"] == engine
    assert engine in home.call("status", pk).stdout
    assert [entry["iteration"] for entry in status["iterations"]] == [0, 1]
    for entry in status["iterations"]:
        assert entry["probe_frames"] > 0
        assert all(0 < entry["errors"][name]["value"] < np.inf for name in ("energy", "forces")), entry
    _check_stages(home.python(LOOK.format(pk=pk)), engine)
    _check_delivery(home, pk, engine, environment / "bin" / "bloomery", tmp_path)


def _check_stages(found: dict[str, Any], engine: str) -> None:
    """Every stage ran, by the program that it should, and every potential drove what came after it."""
    assert all(status == 0 for stage in found.values() for _, status, _ in stage["jobs"]), found
    driver = ""
    for where in ("bootstrap", "iteration_001"):
        stage = {name: found[f"{where}_{name}"] for name in ("sample", "select", "label", "train", "validate")}
        assert all(one["jobs"] for one in stage.values())
        assert stage["train"]["warm"] == (bool(driver) and load_plugin("engines", engine).starts_warm)
        assert {code for code, _, _ in stage["label"]["jobs"]} == {"bloomery"}
        assert {code for code, _, _ in stage["sample"]["jobs"]} == {engine if driver else "bloomery"}
        assert {given for _, _, given in stage["sample"]["jobs"]} == {driver}
        if driver:
            disagreement = np.array(stage["sample"]["disagreement"])
            assert np.isfinite(disagreement).all()
            assert (disagreement > 0).any()
        driver, *made = stage["train"]["made"]
        assert made == [engine, 2]
        assert {code for code, _, _ in stage["train"]["jobs"] + stage["validate"]["jobs"]} == {engine}
        assert {given for _, _, given in stage["validate"]["jobs"]} == {driver}


def _check_delivery(home: Home, pk: int, engine: str, program: Path, folder: Path) -> None:
    """The exported potential has the exported errors, says the engine's own program; the report names the engine."""
    export = folder / "export"
    home.call("export", pk, "--to", export)
    title = load_plugin("engines", engine).title or engine
    assert title in (folder / "export-report.html").read_text(encoding="utf-8")
    assert len(Configurations.read(export / "data_set.extxyz")) == len(home.ledger(pk))
    manifest = json.loads((export / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["potential"]["engine"], manifest["potential"]["members"]) == (engine, 2)
    command = [program, "observe", "errors", export / "data_set.extxyz", "--potential", export / "potential"]
    done = subprocess.run(
        [*command, "--role", "probe", "--json"], env=home.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    for name in ("energy", "forces"):
        delivered = manifest["errors"][name]["rmse"]["value"]
        assert measured[name]["rmse"]["value"] == pytest.approx(delivered, rel=1e-3)
