"""`check` against a profile: codes that answer, pseudopotentials that fit together, and the builder that follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.plugins import DataFactory, GroupFactory
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import digest_mark, make_builder
from aiida_bloomery.cli import main

FAMILY = "check/PBE"
PSEUDOS = "line 4: labelling.quantumespresso.pseudopotentials"

GOOD = """\
name: small
structures: [si8.extxyz]
protocol: fast
labelling: {quantumespresso: {pseudopotentials: check/PBE, kpoints: {mesh: [2, 2, 2], shift: [1, 1, 1]}}}
codes:
  bloomery: bloomery@here
  pw: {code: fake-pw@here, cores: 4, parallel: 2, walltime: 2 h, queue: short, account: abc, memory: 4 GB}
"""

UPF = '<UPF version="2.0.1">\n<PP_HEADER element="{}" functional="{}" z_valence="4.0" pseudo_type="NC"/>\n'


@pytest.fixture(scope="module")
def family(profile: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A family of pseudopotentials by their headers alone, of two functionals."""
    made = GroupFactory("pseudo.family.cutoffs")(label=FAMILY).store()
    for element, functional in (("Si", "SLA PW PBX PBC"), ("C", "PBE"), ("Ge", "SLA PZ NOGX NOGC")):
        source = tmp_path_factory.mktemp("upf") / f"{element}.upf"
        source.write_text(UPF.format(element, functional))
        made.add_nodes([DataFactory("pseudo.upf").get_or_create(source).store()])
    made.set_cutoffs({e: {"cutoff_wfc": 30, "cutoff_rho": 120} for e in ("Si", "C", "Ge")}, "normal", unit="Ry")
    yield made
    orm.Group.collection.delete(made.pk)


@pytest.fixture(scope="module")
def pw(computer: orm.Computer, tmp_path_factory: pytest.TempPathFactory) -> orm.InstalledCode:
    """A program that greets like pw.x."""
    program = tmp_path_factory.mktemp("programs") / "pw.x"
    program.write_text("#!/bin/sh\necho '     Program PWSCF v.7.4.1 starts on now'\nexit 1\n")
    program.chmod(0o755)
    return installed(computer, "fake-pw", program)


def installed(computer: orm.Computer, label: str, program: Path) -> orm.InstalledCode:
    return orm.InstalledCode(label=label, computer=computer, filepath_executable=str(program)).store()


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write the good file with pieces of its text replaced."""

    def make(*changes: tuple[str, str]) -> Path:
        write(tmp_path / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")
        write(tmp_path / "sige.extxyz", bulk("SiGe", "zincblende", a=5.5), format="extxyz")
        write(tmp_path / "na.extxyz", bulk("Na", cubic=True), format="extxyz")
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "campaign.yaml"
        path.write_text(text)
        return path

    return make


@pytest.fixture
def check(profile: Any, bloomery_code: orm.InstalledCode, pw: orm.InstalledCode, family: Any) -> Callable[..., Any]:
    """Run ``check`` on a file with the profile of the tests."""

    def run(path: Path, *options: str) -> Any:
        return CliRunner().invoke(main, ["check", str(path), "--profile", profile.name, *options])

    return run


def test_codes_answer_and_pseudopotentials_fit(check: Callable[..., Any], file: Callable[..., Path]) -> None:
    result = check(file(), "--json")
    assert result.exit_code == 0, result.output
    found = {entry["what"]: (entry["level"], entry["detail"]) for entry in json.loads(result.output)["found"]}
    assert found["code bloomery@here"][0] == "fine"
    assert found["code fake-pw@here"] == ("fine", "answers: version 7.4.1")
    assert found["pseudopotentials"] == ("fine", "Si PBE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("code: fake-pw@here", "code: pw@cluster"),
            "line 7: codes.pw.code: there is no code 'pw@cluster' (there: ",
        ),
        (
            ("check/PBE", "check/PBEsol"),
            f"{PSEUDOS}: there is no pseudopotential family 'check/PBEsol' (there: ",
        ),
        (
            ("si8", "na"),
            f"{PSEUDOS}: the family 'check/PBE' has no pseudopotential for Na; choose another family, or ",
        ),
        (
            ("si8", "sige"),
            f"{PSEUDOS}: the functionals differ (Ge PZ, Si PBE); choose pseudopotentials of one functional.",
        ),
    ],
    ids=["code", "family", "element", "functional"],
)
def test_mistake_gives_one_sentence_and_exit_status_2(
    check: Callable[..., Any], file: Callable[..., Path], change: tuple[str, str], message: str
) -> None:
    result = check(file(change))
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_program_that_is_gone_is_noticed(
    check: Callable[..., Any], file: Callable[..., Path], computer: orm.Computer
) -> None:
    installed(computer, "gone-pw", Path("/no/such/pw.x"))
    result = check(file(("fake-pw", "gone-pw")))
    assert result.exit_code == 2
    assert (
        "line 7: codes.pw.code: /no/such/pw.x is not on here; correct the code's path or its prepend text."
        in result.output
    )


def test_program_that_says_nothing_is_a_warning(
    check: Callable[..., Any], file: Callable[..., Path], computer: orm.Computer
) -> None:
    installed(computer, "mute-pw", Path("/bin/true"))
    result = check(file(("fake-pw", "mute-pw")), "--json")
    assert result.exit_code == 0, result.output
    found = {entry["what"]: entry for entry in json.loads(result.output)["found"]}
    assert found["code mute-pw@here"]["level"] == "warning"


def test_computer_that_is_not_configured_is_noticed(
    check: Callable[..., Any], file: Callable[..., Path], profile: Any
) -> None:
    away = orm.Computer("away", "away.example", "", "core.ssh", "core.slurm", "/scratch").store()
    installed(away, "far-pw", Path("/opt/pw.x"))
    result = check(file(("fake-pw@here", "far-pw@away")))
    assert result.exit_code == 2
    assert "the computer 'away' of 'far-pw@away' is not configured; run `verdi computer configure core.ssh away`." in (
        result.output
    )


# -- the builder ------------------------------------------------------------------------------------------------------


@pytest.fixture
def build(bloomery_code: orm.InstalledCode, pw: orm.InstalledCode, family: Any) -> Callable[[Path], Any]:
    """Make the builder of a file."""
    return lambda path: make_builder(load_campaign(path)[0])


def test_builder_has_what_the_file_says(build: Callable[..., Any], file: Callable[..., Path]) -> None:
    builder = build(file())
    assert builder.labeller.value == "quantumespresso"
    labelling = builder.labelling["pw"]
    assert labelling["kpoints"].get_kpoints_mesh() == ([2, 2, 2], [0.5, 0.5, 0.5])
    assert labelling["parameters"]["SYSTEM"]["ecutwfc"] == 30
    options = labelling["options"].get_dict()
    assert options["resources"] == {"num_machines": 1, "num_mpiprocs_per_machine": 4}
    assert options["withmpi"]
    assert (options["queue_name"], options["account"]) == ("short", "abc")
    assert options["max_wallclock_seconds"] == 7200
    assert options["max_memory_kb"] == 4 * 1024**2
    assert labelling["pack"]["concurrency"] == 2
    assert builder.metadata.label == "small"


def test_builder_has_a_control_arm_only_if_the_file_does(build: Callable[..., Any], file: Callable[..., Path]) -> None:
    assert "control" not in build(file())._inputs(prune=True)
    builder = build(file(("codes:\n", "control: {arm: farthest_point}\ncodes:\n")))
    assert builder.control.get_dict() == {"arm": [{"name": "farthest_point", "settings": {}}]}


def test_cores_of_bloomery_are_threads_and_gpus_are_asked_for(
    build: Callable[..., Any], file: Callable[..., Path], profile: Any
) -> None:
    cluster = orm.Computer("gpus", "cluster.example", "", "core.local", "core.slurm", "/scratch").store()
    cluster.configure()
    installed(cluster, "bloomery", Path("/opt/bloomery"))
    train = "  train: {code: bloomery@gpus, cores: 8, gpus: 2, commands: ['#SBATCH --exclusive'], qos: high}\n"
    builder = build(file(("codes:\n", f"codes:\n{train}")))
    options = builder.options.get_dict()
    assert builder.codes["train"].full_label == "bloomery@gpus"
    assert options["train"]["resources"] == {
        "num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8,
    }  # fmt: skip
    assert options["train"]["custom_scheduler_commands"] == "#SBATCH --gres=gpu:2\n#SBATCH --exclusive"
    assert options["train"]["qos"] == "high"
    assert options["default"]["resources"] == {"num_machines": 1, "num_mpiprocs_per_machine": 1}


def test_engine_without_a_code_is_told_with_the_remedy(
    check: Callable[..., Any], file: Callable[..., Path], family: Any, pw: orm.InstalledCode
) -> None:
    result = check(file(("codes:\n", "training: {mace: {members: 2}}\ncodes:\n")))
    assert result.exit_code == 2
    sentence = "training.mace: the engine 'mace' has no code 'mace@localhost'; run `aiida-bloomery setup --engine mace`"
    assert sentence in " ".join(result.output.split())


def test_engine_of_another_package_runs_by_its_own_program(
    build: Callable[..., Any], file: Callable[..., Path], computer: orm.Computer
) -> None:
    code = installed(computer, "my-mace", Path("/opt/mace/bin/bloomery"))
    lines = "training: {mace: {members: 2}}\ncodes:\n  mace: {code: my-mace@here, cores: 3, walltime: 5 h}\n"
    builder = build(file(("codes:\n", lines)))
    assert builder.codes["engine"].uuid == code.uuid
    assert builder.codes["bloomery"].full_label == "bloomery@here"
    options = builder.options.get_dict()
    assert options["engine"]["resources"]["num_cores_per_mpiproc"] == 3
    assert options["engine"]["max_wallclock_seconds"] == 5 * 3600
    assert "max_wallclock_seconds" not in options["default"]


def test_the_embedded_engine_may_have_a_program_of_its_own(
    build: Callable[..., Any], file: Callable[..., Path], computer: orm.Computer
) -> None:
    assert "engine" not in build(file()).codes
    code = installed(computer, "my-hdnnp", Path("/opt/hdnnp/bin/bloomery"))
    builder = build(file(("codes:\n", "codes:\n  hdnnp: my-hdnnp@here\n")))
    assert builder.codes["engine"].uuid == code.uuid
    builder = build(file(("codes:\n", "codes:\n  hdnnp: {cores: 2}\n")))
    assert builder.codes["engine"].full_label == "bloomery@here"
    assert builder.options["engine"]["resources"]["num_cores_per_mpiproc"] == 2


def test_code_of_a_program_that_nobody_knows_is_refused(check: Callable[..., Any], file: Callable[..., Path]) -> None:
    result = check(file(("codes:\n", "codes:\n  mcae: {cores: 2}\n")))
    assert result.exit_code == 2
    assert "there is no program 'mcae'; the keys are bloomery, sample" in " ".join(result.output.split())


@pytest.mark.slow
def test_files_meaning_the_same_have_the_same_mark(file: Callable[..., Path]) -> None:
    def mark(*changes: tuple[str, str]) -> str:
        return digest_mark(load_campaign(file(*changes))[0])

    first = mark()
    assert mark(("walltime: 2 h", "walltime: 3 h")) == first
    assert mark(("name: small\n", "# a comment\nname: small\ndescription: in other words\n")) == first
    assert mark(("name: small\n", "name: small\nseed: 2\n")) != first
    assert mark(("mesh: [2, 2, 2]", "mesh: [2, 2, 3]")) != first
    assert mark(("si8", "sige")) != first
