"""What all jobs share, seen on the quickest of them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run
from aiida.manage.caching import enable_caching
from aiida.plugins import CalculationFactory
from aiida.plugins.entry_point import get_entry_point_names

from aiida_bloomery.calculations.base import _IS_DONE

RATTLE = {"sampler": {"rattle_strain": {"frames": 2}}}
CALCULATIONS = [name for name in get_entry_point_names("aiida.calculations") if name.startswith("bloomery.")]


def read(node, name):
    return json.loads(node.base.repository.get_object_content(name))


def test_job_file_says_what_to_do(chain):
    job = read(chain.sample, "job.json")
    assert job["verb"] == "sample"
    assert job["seed"] == 1
    assert job["device"] == "cpu"
    assert job["sampler"] == {"rattle_strain": {"frames": 8}}


def test_label_of_the_process_names_the_plugins(chain):
    assert chain.sample.process_label == "SampleCalculation(rattle_strain)"
    assert chain.select.process_label == "SelectCalculation(sanity, duplicates, random)"
    assert chain.train.process_label == "TrainCalculation(hdnnp)"


@pytest.mark.parametrize(
    ("job", "output"),
    [
        ("sample", "report"),
        ("select", "funnel"),
        ("label", "ledger"),
        ("train", "history"),
        ("observe_1", "observation"),
    ],
)
def test_versions_and_seconds_are_kept(chain, job, output):
    content = getattr(chain, job).outputs[output].get_dict()
    assert content["versions"]["bloomery"]
    assert content["seconds"] > 0


def test_files_that_became_nodes_are_not_kept_besides(chain):
    for job in (chain.sample, chain.select, chain.label, chain.train):
        assert not [name for name in job.outputs.retrieved.list_object_names() if name.endswith(".npz")]


def test_second_start_of_a_finished_job_does_nothing(chain):
    folder = Path(chain.sample.get_remote_workdir())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert subprocess.run(["bash", "-c", _IS_DONE], cwd=folder, check=False).returncode == 0
    subprocess.run(["bash", "_aiidasubmit.sh"], cwd=folder, check=True, env=os.environ)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    for name in ("result.json", "frames.npz", "progress.json"):
        assert before[name] == after[name]


def test_job_that_failed_is_not_done(tmp_path):
    (tmp_path / "result.json").write_text('{"status": "failed"}')
    assert subprocess.run(["bash", "-c", _IS_DONE], cwd=tmp_path, check=False).returncode == 1


def test_job_that_takes_too_long_is_ended(jobs, frames):
    endless = {"sampler": {"reference_md": {"calculator": {"name": "stillinger_weber"}, "steps": 10**7}}}
    options = {"max_wallclock_seconds": 3}
    node = jobs.run("sample", start=frames, parameters=endless, metadata={"options": options})
    assert node.exit_status == 430
    assert "wall time of 3 s" in node.exit_message


def test_program_that_does_not_start_is_reported(jobs, frames, computer):
    code = orm.InstalledCode(label="none", computer=computer, filepath_executable="/no/such/bloomery").store()
    node = type(jobs)(code).run("sample", start=frames, parameters=RATTLE)
    assert node.exit_status == 300
    assert "/no/such/bloomery" in node.exit_message


def test_equal_inputs_are_taken_from_the_cache(jobs, frames, make_silicon):
    first = jobs.done("sample", start=frames, parameters=RATTLE, seed=99)
    copy = type(frames)(frames.configurations).store()
    with enable_caching(identifier="aiida.calculations:bloomery.*"):
        second = jobs.done("sample", start=copy, parameters=RATTLE, seed=99)
    assert second.base.caching.get_cache_source() == first.uuid
    assert second.outputs.frames.hashes == first.outputs.frames.hashes


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({"parameters": {"sampler": "no_such"}}, r"'no_such' is not registered; choose one of .*rattle_strain"),
        ({"parameters": {"sampler": {"rattle_strain": {"frame": 2}}}}, r"rattle_strain\.frame: there is no such key"),
        ({"parameters": {"sampler": {"rattle_strain": {"frames": -2}}}}, r"rattle_strain\.frames: .* got -2"),
        ({"parameters": {**RATTLE, "sampled": 1}}, r"parameters\.sampled: there is no such key"),
        ({"parameters": {}}, r"parameters\.sampler: is missing"),
        ({"parameters": {**RATTLE, "seed": 5}}, r"parameters\.seed: does not belong here"),
        ({"parameters": {**RATTLE, "start": "my.xyz"}}, r"parameters\.start: does not belong here"),
        ({"parameters": RATTLE, "seed": -1}, "seed: must not be negative, got -1"),
        ({"parameters": RATTLE, "device": "gpu"}, "device: 'gpu' is none of auto, cpu, cuda"),
    ],
)
def test_mistakes_are_refused_at_submission(jobs, frames, inputs, match):
    with pytest.raises(ValueError, match=match):
        jobs.run("sample", start=frames, **inputs)


@pytest.fixture
def script(frames, tmp_path, monkeypatch):
    """Write the job script of a sampling job without running it."""
    monkeypatch.chdir(tmp_path)

    def write(code, **options):
        inputs = {"code": code, "start": frames, "parameters": RATTLE}
        metadata = {"dry_run": True, "store_provenance": False, "options": options}
        run(CalculationFactory("bloomery.sample"), **inputs, metadata=metadata)
        (folder,) = (tmp_path / "submit_test").iterdir()
        return (folder / "_aiidasubmit.sh").read_text()

    return write


def test_job_uses_the_cores_that_it_asks_for(script, bloomery_code):
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 3}
    assert "export OMP_NUM_THREADS=3\n" in script(bloomery_code, resources=resources)


def test_one_core_is_the_default(script, bloomery_code):
    assert "export OMP_NUM_THREADS=1\n" in script(bloomery_code)


def test_time_limit_is_ours_where_the_scheduler_has_none(script, bloomery_code):
    assert "timeout --kill-after=30 60 " in script(bloomery_code, max_wallclock_seconds=60)


def test_time_limit_is_the_schedulers_where_it_has_one(script, profile, tmp_path):
    cluster = orm.Computer(
        label="cluster", hostname="localhost", transport_type="core.local", scheduler_type="core.slurm"
    )
    cluster.set_workdir(str(tmp_path))
    cluster.store().configure()
    code = orm.InstalledCode(label="bloomery", computer=cluster, filepath_executable="/opt/bloomery").store()
    text = script(code, max_wallclock_seconds=60, queue_name="gpu")
    assert "timeout --kill-after" not in text
    assert "#SBATCH --time=00:01:00" in text
    assert "#SBATCH --partition=gpu" in text


@pytest.mark.parametrize("name", CALCULATIONS)
def test_all_ports_are_documented(profile, name):
    spec = CalculationFactory(name).spec()
    ports = {**spec.inputs, **spec.outputs}
    undocumented = [key for key, port in ports.items() if key != "metadata" and not port.help]
    assert not undocumented


@pytest.mark.parametrize("name", CALCULATIONS)
def test_exit_codes_say_what_happened(profile, name):
    for label, code in CalculationFactory(name).exit_codes.items():
        assert code.message, label
