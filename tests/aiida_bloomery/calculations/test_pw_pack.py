"""The driver is run by real shells with a stand-in for pw.x; the inputs are those that AiiDA would upload."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, DataFactory
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import PATIENCE, wait_until

from aiida_bloomery.calculations.frame_pack import driver, validate_pack
from aiida_bloomery.calculations.job_script import ONE_CORE, cores_of, own_mpi_folder, processes_of
from aiida_bloomery.calculations.pw_frame import frame_kpoints
from aiida_bloomery.calculations.pw_namelists import parameters_for
from aiida_bloomery.calculations.pw_pack import (
    SHELL,
    PwPackCalculation,
    validate_kpoints_rule,
)
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.options import job_options
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.parsers.frame_pack import read_log, seconds_in
from aiida_bloomery.workflows.labelling.packing import pack_options
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

pytestmark = pytest.mark.slow

# What pw.x leaves behind, as far as the driver looks at it.
LEAVES_RESULT = """\
mkdir -p out/aiida.save
echo '</qes:espresso>' > out/aiida.save/data-file-schema.xml
head -c 100000 /dev/zero > out/aiida.wfc1
echo 'JOB DONE.' > aiida.out
"""

# Seconds that a frame may take where one of them hangs. The others take milliseconds of a processor.
FRAME_LIMIT = 5


class Pack:
    """A folder with frames, in which the driver runs."""

    def __init__(self, folder: Path, n_frames: int) -> None:
        self.folder = folder
        for index in range(n_frames):
            (folder / f"frame_{index:04d}").mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, body: str, *, concurrency: int = 2, timeout: int = 3600, grace: int = 10
    ) -> subprocess.Popen[bytes]:
        total, mpi = len(list(self.folder.glob("frame_*"))), own_mpi_folder(ONE_CORE)
        script = driver(SHELL, total=total, concurrency=concurrency, timeout=timeout, threads=1, mpi=mpi)
        script = script.replace("--kill-after=10", f"--kill-after={grace}")
        before = 'echo "$(basename $PWD) $$" >> ../starts\nhere=$(basename $PWD)\n'
        (self.folder / "job.sh").write_text(f"bloomery_frame() {{\n{before}{body}\n{script}")
        process = subprocess.Popen(["bash", "job.sh"], cwd=self.folder, start_new_session=True)
        self.processes.append(process)
        return process

    def starts(self) -> list[str]:
        path = self.folder / "starts"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def log(self):
        return read_log((self.folder / "frames.log").read_text())


@pytest.fixture
def pack(tmp_path):
    made = Pack(tmp_path, 5)
    yield made
    for process in made.processes:
        kill_session(process)


def session_of(process) -> list[int]:
    """All processes that a job started; `timeout` puts its own into another group."""
    found = subprocess.run(["pgrep", "-s", str(process.pid)], check=False, capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def kill_session(process) -> None:
    """Kill all of them; one may have started another while they were counted."""

    def none_left() -> bool:
        pids = session_of(process)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        return not pids

    wait_until(none_left, "the end of a session")


def test_every_frame_runs_once_and_leaves_what_is_parsed(pack):
    assert pack.start(LEAVES_RESULT).wait(PATIENCE) == 0
    assert sorted(pack.starts()) == [f"frame_{index:04d}" for index in range(5)]
    for folder in pack.folder.glob("frame_*"):
        assert sorted(path.name for path in folder.iterdir()) == ["aiida.out", "data-file-schema.xml"]
    assert {entry.status for entry in pack.log().values()} == {0}
    progress = json.loads((pack.folder / "progress.json").read_text())
    assert (progress["stage"], progress["step"], progress["total"]) == ("label", 5, 5)


def test_every_frame_has_its_own_folder_of_open_mpi_while_it_runs(pack):
    assert (
        pack.start('echo "$OMPI_MCA_orte_tmpdir_base" >> ../mpi\n[ -d "$OMPI_MCA_orte_tmpdir_base" ] || exit 9').wait(
            PATIENCE
        )
        == 0
    )
    folders = (pack.folder / "mpi").read_text().split()
    assert len(set(folders)) == 5
    assert {entry.status for entry in pack.log().values()} == {0}
    assert not any(Path(folder).exists() for folder in folders)
    # Where a job has several machines, the folder would be on one of them only.
    assert own_mpi_folder({"num_machines": 2}) == ""


def test_at_most_as_many_frames_at_a_time_as_asked(pack):
    # The first two wait for each other, so there are two at a time at least.
    body = "until [ $(wc -l < ../starts) -ge 2 ]; do sleep 0.02; done\nsleep 0.1\n" + LEAVES_RESULT
    assert pack.start(body, concurrency=2).wait(PATIENCE) == 0
    events = []
    for line in (pack.folder / "frames.log").read_text().splitlines():
        _, what, when, *_ = line.split()
        events.append((float(when), 1 if what == "start" else -1))
    running = np.cumsum([change for _, change in sorted(events)])
    assert running.max() == 2
    assert running[-1] == 0


@pytest.mark.slow
def test_frame_that_hangs_is_ended_and_does_not_hold_up_the_others(pack):
    body = f"[ $here = frame_0001 ] && sleep 3600\n{LEAVES_RESULT}"
    assert pack.start(body, timeout=FRAME_LIMIT).wait(PATIENCE) == 0
    log = pack.log()
    assert log["frame_0001"].status == 124
    assert FRAME_LIMIT - 0.1 < log["frame_0001"].last_seconds < 3600
    assert [log[f"frame_{index:04d}"].status for index in (0, 2, 3, 4)] == [0, 0, 0, 0]
    ends = [line.split()[0] for line in (pack.folder / "frames.log").read_text().splitlines() if " end " in line]
    assert ends[-1] == "frame_0001"


@pytest.mark.slow
def test_frame_that_ignores_the_signal_is_killed(pack):
    body = f"[ $here = frame_0001 ] && {{ trap '' TERM; while :; do sleep 0.2; done; }}\n{LEAVES_RESULT}"
    process = pack.start(body, timeout=FRAME_LIMIT, grace=1)
    assert process.wait(PATIENCE) == 0
    assert pack.log()["frame_0001"].status == 137
    assert pack.log()["frame_0004"].status == 0


def test_second_start_after_kill_9_does_only_what_was_not_finished(pack):
    slow_third = f"[ $here = frame_0002 ] && [ ! -e ../again ] && touch ../again && sleep 3600\n{LEAVES_RESULT}"
    first = pack.start(slow_third, concurrency=1)
    wait_until((pack.folder / "again").exists)
    kill_session(first)
    assert pack.start(slow_third, concurrency=1).wait(PATIENCE) == 0
    names = [f"frame_{index:04d}" for index in range(5)]
    assert pack.starts() == [*names[:3], *names[2:]]
    log = pack.log()
    assert [log[name].starts for name in names] == [1, 1, 2, 1, 1]
    assert [log[name].status for name in names] == [0] * 5


def test_frame_that_was_done_but_not_entered_is_not_started_again(pack):
    folder = pack.folder / "frame_0003"
    subprocess.run(["bash", "-c", LEAVES_RESULT], cwd=folder, check=True)
    assert pack.start(LEAVES_RESULT).wait(PATIENCE) == 0
    assert "frame_0003" not in pack.starts()
    assert (folder / "data-file-schema.xml").exists()
    assert pack.log()["frame_0003"].status == 0


@pytest.mark.parametrize("end", [os.kill, os.killpg])
def test_terminated_job_ends_what_it_started_and_enters_no_failure(pack, end):
    process = pack.start("sleep 3600\n" + LEAVES_RESULT)
    wait_until(lambda: len(pack.starts()) == 2)
    end(process.pid, signal.SIGTERM)
    process.wait(PATIENCE)
    wait_until(lambda: not session_of(process))
    assert [entry.status for entry in pack.log().values()] == [None, None]


def test_crash_is_entered_with_its_status_and_not_tried_again(pack):
    body = f"[ $here = frame_0001 ] && exit 3\n{LEAVES_RESULT}"
    pack.start(body).wait(PATIENCE)
    pack.start(body).wait(PATIENCE)
    assert pack.log()["frame_0001"].status == 3
    assert pack.starts().count("frame_0001") == 1


def test_log_with_half_a_line_is_read_as_far_as_it_goes():
    log = read_log("frame_0000 start 10.0 \nframe_0000 end 12.5 0\nframe_0001 start 12.5 \nframe_0001 en")
    assert (log["frame_0000"].starts, log["frame_0000"].seconds, log["frame_0000"].status) == (1, 2.5, 0)
    assert (log["frame_0001"].starts, log["frame_0001"].status) == (1, None)


def test_log_adds_up_the_attempts_of_a_frame():
    log = read_log("frame_0000 start 10.0 \nframe_0000 start 20.0 \nframe_0000 end 21.5 0\n")
    assert (log["frame_0000"].starts, log["frame_0000"].seconds) == (2, 1.5)


def test_log_says_how_long_a_job_ran_beside_how_long_its_frames_did():
    assert seconds_in("frame_0000 start 10.0 \nframe_0001 start 10.5 \nframe_0000 end 12.0 0\nframe_0001 end 13") == 3
    assert seconds_in("") == 0


# -- inputs -----------------------------------------------------------------------------------------------------------

UPF = """<UPF version="2.0.1">
<PP_HEADER element="{element}" pseudo_type="NC" functional="PBE" z_valence="4.0" />
</UPF>"""


@pytest.fixture
def pseudos(profile, tmp_path):
    nodes = {}
    for element in ("Si", "Ge"):
        path = tmp_path / f"{element}.upf"
        path.write_text(UPF.format(element=element))
        with path.open("rb") as handle:
            nodes[element] = DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()
    return nodes


@pytest.fixture
def pw_code(computer):
    return orm.InstalledCode(
        label=f"pw-{time.monotonic_ns()}",
        computer=computer,
        filepath_executable="/usr/bin/pw.x",
        default_calc_job_plugin="quantumespresso.pw",
        prepend_text="export FROM_THE_CODE=1",
    ).store()


@pytest.fixture
def inputs(pw_code, pseudos):
    frames = []
    for index in range(3):
        atoms = bulk("Si", cubic=True)
        atoms.symbols[[1, 6]] = "Ge"
        atoms.rattle(0.05, seed=index)
        frames.append(atoms)
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([3, 3, 3], offset=[0.5, 0.5, 0.5])
    return {
        "code": pw_code,
        "configurations": ConfigurationsData(Configurations.from_atoms(frames)).store(),
        "frames": orm.List([0, 2]),
        "parameters": orm.Dict(
            {
                "CONTROL": {"calculation": "scf", "tprnfor": True},
                "SYSTEM": {"ecutwfc": 20.0, "nspin": 2, "starting_magnetization": {"Si": 0.1, "Ge": 0.2, "C": 0.3}},
            }
        ),
        "kpoints": kpoints,
        "pseudos": pseudos,
        "pack": orm.Dict({"concurrency": 2, "frame_timeout_s": 77}),
    }


def dry_run(inputs, tmp_path, monkeypatch, **options) -> Path:
    monkeypatch.chdir(tmp_path)
    options.setdefault("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 2})
    metadata = {"options": options, "dry_run": True, "store_provenance": False}
    _, node = run_get_node(PwPackCalculation, **inputs, metadata=metadata)
    return Path(node.dry_run_info["folder"])


def test_each_frame_has_its_input_with_atoms_in_their_order(inputs, tmp_path, monkeypatch):
    folder = dry_run(inputs, tmp_path, monkeypatch)
    assert sorted(path.name for path in folder.glob("frame_*")) == ["frame_0000", "frame_0002"]
    frames = inputs["configurations"].configurations
    for index in (0, 2):
        text = (folder / f"frame_{index:04d}" / "aiida.in").read_text()
        rows = text[text.index("ATOMIC_POSITIONS angstrom") :].splitlines()[1:9]
        symbols, *columns = zip(*(row.split() for row in rows), strict=True)
        assert list(symbols) == list(frames[index].to_atoms()[0].symbols)
        np.testing.assert_allclose(np.array(columns, dtype=float).T, frames[index].positions, atol=1e-9)
        assert "3 3 3 1 1 1" in text
        assert "calculation = 'scf'" in text


def test_pseudopotentials_are_copied_once_and_found_from_every_frame(inputs, tmp_path, monkeypatch):
    folder = dry_run(inputs, tmp_path, monkeypatch)
    assert sorted(path.name for path in (folder / "pseudo").iterdir()) == ["Ge.upf", "Si.upf"]
    assert "pseudo_dir = '../pseudo/'" in (folder / "frame_0000" / "aiida.in").read_text()


def test_settings_by_element_are_cut_down_to_the_frame(inputs, tmp_path, monkeypatch):
    text = (dry_run(inputs, tmp_path, monkeypatch) / "frame_0000" / "aiida.in").read_text()
    # Species are in alphabetical order in what aiida-quantumespresso writes.
    assert re.findall(r"starting_magnetization\((\d)\) =\s+(\S+)", text) == [
        ("1", "2.0000000000d-01"),
        ("2", "1.0000000000d-01"),
    ]
    assert parameters_for({"SYSTEM": {"a": {"Si": 1, "C": 2}, "b": 3}}, {"Si": "Si"}) == {
        "SYSTEM": {"a": {"Si": 1}, "b": 3}
    }


def test_settings_of_other_elements_leave_a_frame_that_pw_takes():
    system = {"nspin": 2, "starting_magnetization": {"Fe": 0.5}, "lda_plus_u": True, "Hubbard_U": {"Fe": 4.0}}
    assert parameters_for({"SYSTEM": system}, {"Ni": "Ni", "O": "O"})["SYSTEM"] == {
        "nspin": 2,
        "starting_magnetization": {"Ni": 0.0, "O": 0.0},
    }
    assert parameters_for({"SYSTEM": system}, {"Fe": "Fe", "O": "O"})["SYSTEM"] == system
    both = parameters_for({"SYSTEM": system}, {"Fe": "Fe", "Fe1": "Fe", "O": "O"})["SYSTEM"]
    assert both["Hubbard_U"] == {"Fe": 4.0, "Fe1": 4.0}
    with pytest.raises(InputError, match=r"SYSTEM.starting_magnetization is a list, whose numbers would be of other"):
        parameters_for({"SYSTEM": {"starting_magnetization": [0.5, 0.1]}}, {"Ni": "Ni"})
    vectors = {"SYSTEM": {"fixed_magnetization": [0, 0, 1], "starting_ns_eigenvalue": [[1, 1, "Fe", 0.5]]}}
    assert parameters_for(vectors, {"Fe": "Fe"}) == vectors


def test_job_script_honours_code_mpi_and_options(inputs, tmp_path, monkeypatch):
    folder = dry_run(
        inputs,
        tmp_path,
        monkeypatch,
        withmpi=True,
        prepend_text="echo of the user",
        resources={"num_machines": 1, "num_mpiprocs_per_machine": 3, "num_cores_per_mpiproc": 4},
    )
    script = (folder / "_aiidasubmit.sh").read_text()
    lines = script.splitlines()
    body = lines[lines.index("bloomery_frame() {") + 1 : lines.index("}", lines.index("bloomery_frame() {"))]
    assert [line for line in body if line] == [
        "echo of the user",
        "'mpirun' '-np' '3' '/usr/bin/pw.x' '-in' 'aiida.in'  > 'aiida.out' 2>&1",
    ]
    assert lines.index("export FROM_THE_CODE=1") < lines.index("bloomery_frame() {")
    assert "timeout --kill-after=10 77 bash -c bloomery_frame" in script
    # Twelve cores, two frames at a time with three processes each.
    assert script.index("export OMP_NUM_THREADS=2") > script.index("bloomery_frame() {")
    subprocess.run(["bash", "-n", str(folder / "_aiidasubmit.sh")], check=True)


def queued(inputs, scheduler) -> None:
    """Let the frames' program be one on a computer with this queue."""
    label = f"{scheduler}-{time.monotonic_ns()}"
    cluster = orm.Computer(label, "localhost", "", "core.local", scheduler, "/scratch").store()
    cluster.configure()
    inputs["code"] = orm.InstalledCode(label="pw", computer=cluster, filepath_executable="/opt/pw.x").store()


def script_of_file(inputs, tmp_path, monkeypatch, **entry) -> list[str]:
    """Lines of the script of a pack that runs two frames at a time, as an entry under ``codes`` says."""
    options = pack_options(job_options(Code.model_validate(entry), inputs["code"], mpi=entry.get("cores", 1) > 1), 2)
    return (dry_run(inputs, tmp_path, monkeypatch, **options) / "_aiidasubmit.sh").read_text().splitlines()


ENTRY = {"cores": 4, "walltime": "2 h", "queue": "batch", "account": "physics", "memory": "4 GB"}


@pytest.mark.parametrize(
    ("scheduler", "request_", "gpus"),
    [
        (
            "core.pbspro",
            ["#PBS -l walltime=02:00:00", "#PBS -l select=1:mpiprocs=4:ncpus=8:mem=4194304kb"],
            "#PBS -l select=1:mpiprocs=4:ncpus=8:ngpus=1",
        ),
        (
            "core.torque",
            ["#PBS -l nodes=1:ppn=8,walltime=02:00:00,mem=4194304kb"],
            "#PBS -l nodes=1:ppn=8:gpus=1",
        ),
    ],
)
def test_what_the_file_says_of_a_job_is_in_a_script_of_pbs(inputs, tmp_path, monkeypatch, scheduler, request_, gpus):
    """Two frames of four processes each; how a site's PBS is asked for GPUs stands in the file."""
    queued(inputs, scheduler)
    lines = script_of_file(inputs, tmp_path, monkeypatch, **ENTRY, commands=[gpus])
    wanted = ["#PBS -q batch", "#PBS -A physics", *request_, gpus]
    assert [line for line in lines if line in wanted] == wanted
    assert [line for line in lines if line.startswith("#PBS -l")] == [*request_, gpus]
    assert lines.index(gpus) < lines.index('cd "$PBS_O_WORKDIR"')
    assert "'mpirun' '-np' '4' '/opt/pw.x' '-in' 'aiida.in'  > 'aiida.out' 2>&1" in lines


@pytest.mark.parametrize("scheduler", ["core.pbspro", "core.torque"])
def test_pbs_is_not_asked_for_gpus_by_guess(inputs, scheduler):
    queued(inputs, scheduler)
    with pytest.raises(InputError, match=f"how {scheduler} is asked for GPUs is not known; write the line under"):
        job_options(Code(gpus=1), inputs["code"])


def test_resources_of_a_scheduler_that_counts_in_another_way(inputs, tmp_path, monkeypatch):
    queued(inputs, "core.sge")
    with pytest.raises(InputError, match=r"core.sge does not take .* give what it takes under resources"):
        job_options(Code(cores=8), inputs["code"])
    asked = {"parallel_env": "mpi", "tot_num_mpiprocs": 8}
    inputs["pack"] = orm.Dict({"concurrency": 1})
    options = pack_options(job_options(Code(resources=asked, mpi=True), inputs["code"]), 1)
    assert options["resources"] == asked
    script = (dry_run(inputs, tmp_path, monkeypatch, **options) / "_aiidasubmit.sh").read_text()
    assert "#$ -pe mpi 8\n" in script
    assert "'mpirun' '-np' '8' '/opt/pw.x'" in script


def test_resources_of_hyperqueue_are_handed_on_unchanged():
    """Its plug-in is not needed to say so: a code without a computer takes anything."""
    asked = {"num_cpus": 8, "memory_mb": 4000}
    options = job_options(Code(resources=asked), SimpleNamespace(computer=None))
    assert pack_options(options, 1)["resources"] == options["resources"] == asked
    assert (cores_of(asked), processes_of(asked)) == (8, 8)
    assert (cores_of({"num_cores": 8, "num_mpiprocs": 2}), processes_of({"num_cores": 8, "num_mpiprocs": 2})) == (8, 2)


def test_no_more_frames_at_a_time_than_the_job_has_cores(inputs, tmp_path, monkeypatch):
    inputs["pack"] = orm.Dict({"concurrency": 8})
    inputs["frames"] = orm.List([0, 1, 2])
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 2}
    script = (dry_run(inputs, tmp_path, monkeypatch, resources=resources) / "_aiidasubmit.sh").read_text()
    assert '"$bloomery_running" -ge 2' in script


def test_no_more_frames_at_a_time_than_the_computer_declares(inputs, tmp_path, monkeypatch):
    inputs["code"].computer.set_property("bloomery_cores", 2)
    try:
        resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 16}
        inputs["pack"] = orm.Dict({"concurrency": 16})
        inputs["frames"] = orm.List([0, 1, 2])
        script = (dry_run(inputs, tmp_path, monkeypatch, resources=resources) / "_aiidasubmit.sh").read_text()
    finally:
        inputs["code"].computer.delete_property("bloomery_cores")
    assert '"$bloomery_running" -ge 2' in script
    assert '"$bloomery_taken" -lt 2' in script


def test_calculation_is_registered():
    assert CalculationFactory("bloomery.pw_pack") is PwPackCalculation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": []}, "at least one frame"),
        ({"frames": [0, 0]}, "each once"),
        ({"frames": [0, 3]}, "between 0 and 2"),
        ({"kpoints": None}, "either `kpoints` or `kpoints_rule`"),
        ({"pack": {"concurency": 2}}, "pack.concurency: there is no such key"),
        ({"pack": {"concurrency": 0}}, "pack.concurrency: must be a whole number"),
    ],
)
def test_bad_inputs_are_refused_at_submission(inputs, change, message):
    change = {key: orm.to_aiida_type(value) if value is not None else None for key, value in change.items()}
    inputs = {key: value for key, value in {**inputs, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        run_get_node(PwPackCalculation, **inputs)


def test_element_without_pseudopotential_is_refused(inputs):
    inputs["pseudos"] = {"Si": inputs["pseudos"]["Si"]}
    with pytest.raises(ValueError, match=r"pseudos\.Ge: is missing"):
        run_get_node(PwPackCalculation, **inputs)


def test_pack_accepts_what_it_documents(profile):
    assert validate_pack(orm.Dict({"size": 10, "concurrency": 2, "frame_timeout_s": 100}), None) is None


@pytest.mark.parametrize(
    "rule",
    [{}, {"distance": 0.3}, {"distance": -1, "offset": [0, 0, 0]}, {"distance": 0.3, "offset": [0.2, 0, 0]}],
)
def test_bad_rules_for_kpoints_are_refused(profile, rule):
    assert validate_kpoints_rule(orm.Dict(rule), None).startswith("kpoints_rule")


@given(
    lengths=st.tuples(*[st.floats(2.0, 30.0)] * 3),
    distance=st.floats(0.05, 2.0),
)
def test_points_of_a_mesh_are_no_further_apart_than_asked(profile, lengths, distance):
    structure = orm.StructureData(cell=np.diag(lengths).tolist())
    rule = orm.Dict({"distance": distance, "offset": [0.0, 0.0, 0.0]})
    mesh = np.array(frame_kpoints(structure, np.ones(3, dtype=bool), None, rule).get_kpoints_mesh()[0])
    spacing = 2 * np.pi / np.array(lengths) / mesh
    assert (spacing <= distance * (1 + 1e-5)).all()
    assert ((mesh == 1) | (2 * np.pi / np.array(lengths) / np.maximum(mesh - 1, 1) > distance * (1 - 1e-5))).all()
