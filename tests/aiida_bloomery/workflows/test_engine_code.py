"""An engine with an environment of its own: its program runs the jobs that train or load a potential, no others."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory

from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows.ports import job_inputs, stage_inputs

ENVIRONMENTS = os.environ.get("BLOOMERY_ENGINES")


@pytest.fixture(scope="module")
def engine_code(computer):
    """The same program under another name, as if it were an engine's."""
    return orm.InstalledCode(
        label="engine", computer=computer, filepath_executable=str(Path(sys.executable).parent / "bloomery")
    ).store()


def codes_of(node: orm.WorkChainNode) -> dict[str, str]:
    """Verb to the label of the code that ran it."""
    jobs = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    return {
        json.loads(job.base.repository.get_object_content("job.json"))["verb"]: job.inputs.code.label for job in jobs
    }


def test_codes_and_options_follow_what_the_job_does(profile):
    options = SimpleNamespace(get_dict=lambda: {"default": {"a": 1}, "engine": {"b": 2}, "sample": {"c": 3}})
    inputs = {"codes": orm.Dict({}), "options": options}
    codes = type("Codes", (dict,), {"__getattr__": dict.__getitem__})
    stage = type("Inputs", (dict,), {"__getattr__": dict.__getitem__})
    inputs = stage(codes=codes(bloomery="main", engine="own"), options=options)
    handed = stage(stage_inputs(inputs, orm.Int(1)))
    assert (handed.code, handed.engine_code) == ("main", "own")
    plain, driven = job_inputs(handed, "sample"), job_inputs(handed, "sample", potential=True)
    assert (plain["code"], plain["metadata"]["options"]) == ("main", {"a": 1, "c": 3})
    assert (driven["code"], driven["metadata"]["options"]) == ("own", {"b": 2, "c": 3})
    alone = stage(stage_inputs(stage(codes=codes(bloomery="main")), orm.Int(1)))
    assert job_inputs(alone, "train", potential=True)["code"] == "main"


def test_jobs_without_a_potential_run_by_the_main_program(bloomery_code, engine_code, frames, potential):
    shared = {"code": bloomery_code, "engine_code": engine_code, "seed": orm.Int(1), "device": orm.Str("cpu")}
    selection = WorkflowFactory("bloomery.selection")
    parameters = orm.Dict(
        {"selectors": [{"farthest_point": {"frames": 1}}], "roles": {"probe_share": 0, "min_probe": 0}}
    )
    inputs = {
        "pools": {"a": frames},
        "descriptor": orm.Dict({"descriptor": "power_spectrum"}),
        "parameters": parameters,
    }
    _, node = run_get_node(selection, potential=potential, **inputs, **shared)
    assert node.is_finished_ok, node.exit_message
    assert codes_of(node) == {"describe": "bloomery", "select": "engine"}
    sampling = WorkflowFactory("bloomery.sampling")
    samplers = {"rattle": orm.Dict({"sampler": {"name": "rattle_strain", "settings": {"frames": 2}}})}
    _, node = run_get_node(sampling, structures=frames, samplers=samplers, **shared)
    assert codes_of(node) == {"sample": "bloomery"}


def test_a_foundation_drives_in_its_own_environment_and_alone(bloomery_code, engine_code, frames, potential):
    """The potential is not handed to it: where it runs, that may not be loadable."""
    own = orm.InstalledCode(
        label="foundation", computer=engine_code.computer, filepath_executable=str(engine_code.filepath_executable)
    ).store()
    shared = {"code": bloomery_code, "engine_code": engine_code, "seed": orm.Int(1), "device": orm.Str("cpu")}
    settings = {"foundation": {"calculator": {"calculator": "stillinger_weber"}}, "steps": 4, "interval": 2}
    samplers = {"hot": orm.Dict({"sampler": {"name": "foundation_md", "settings": settings}})}
    inputs = {"structures": frames, "samplers": samplers, "potential": potential, **shared}
    codes = {"foundation_codes": {"calculator": own}}
    _, node = run_get_node(WorkflowFactory("bloomery.sampling"), **inputs, **codes)
    assert node.is_finished_ok, node.exit_message
    (job,) = node.called
    assert job.inputs.code.label == "foundation"
    assert "potential" not in job.inputs
    assert not node.outputs.pools.hot.configurations.labels
    assert node.outputs.reports.hot["driver"]["model"] == "stillinger_weber"
    _, node = run_get_node(WorkflowFactory("bloomery.sampling"), **inputs)
    assert codes_of(node) == {"sample": "bloomery"}


@pytest.mark.engines
@pytest.mark.skipif(ENVIRONMENTS is None, reason="there are no environments of engines; ./test --engines makes them")
def test_a_potential_of_another_package_is_trained_drives_and_is_validated(
    bloomery_code, computer, frames, labelled_frames
):
    """GAP stands for all of them: AiiDA sees the same job whatever the engine."""
    program = Path(str(ENVIRONMENTS)).absolute() / "gap" / "bin" / "bloomery"
    code = orm.InstalledCode(label="gap", computer=computer, filepath_executable=str(program)).store()
    shared = {"code": bloomery_code, "engine_code": code, "seed": orm.Int(1), "device": orm.Str("cpu")}
    settings = {"pairs": {"sparse": 10, "cutoff": 4.0}, "soap": {"sparse": 20, "cutoff": 4.0, "n_max": 4, "l_max": 3}}
    parameters = orm.Dict({"engine": {"gap": settings}})
    _, training = run_get_node(
        WorkflowFactory("bloomery.training"), batches={"batch_000": labelled_frames}, parameters=parameters, **shared
    )
    assert training.is_finished_ok, training.exit_message
    fitted = training.outputs.potential
    assert isinstance(fitted, PotentialData)
    assert (fitted.engine, fitted.members) == ("gap", 1)
    samplers = {
        "md": orm.Dict({"sampler": {"name": "md", "settings": {"temperatures": [300], "steps": 6, "interval": 2}}})
    }
    _, sampling = run_get_node(
        WorkflowFactory("bloomery.sampling"), structures=frames, samplers=samplers, potential=fitted, **shared
    )
    assert sampling.is_finished_ok, sampling.exit_message
    assert codes_of(sampling) == {"sample": "gap"}
    assert (sampling.outputs.pools.md.configurations.info["disagreement"] > 0).all()
    observables = {"probe": orm.Dict({"observable": {"name": "errors"}})}
    _, validation = run_get_node(
        WorkflowFactory("bloomery.validation"),
        potential=fitted,
        configurations={"batch_000": labelled_frames},
        observables=observables,
        **shared,
    )
    assert validation.is_finished_ok, validation.exit_message
