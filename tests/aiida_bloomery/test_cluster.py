"""Adding a cluster: what is told of it is checked, and what is there is left alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiida import orm
from pydantic import ValidationError

from aiida_bloomery.cli.cluster import suggested, written
from aiida_bloomery.setup import cluster as clusters
from aiida_bloomery.setup.cluster import Cluster, add_cluster
from aiida_bloomery.setup.home import Home
from bloomery import __version__
from bloomery.errors import BloomeryError, InputError

TOLD: dict[str, Any] = {"label": "cluster", "host": "login.example.org", "scheduler": "slurm", "work": "/scratch/me"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "my cluster"}, "must be of letters, digits, dots, dashes and underscores"),
        ({"label": "localhost"}, "is the label of this machine without a queue; choose another"),
        ({"work": "aiida"}, "must be an absolute path"),
        ({"scheduler": "loadleveler"}, "'slurm', 'pbspro', 'torque', 'sge', 'lsf' or 'direct'"),
        ({"mpirun": "srun -n 4"}, "must say where the number of processes goes"),
        ({"programs": {"pwx": "pw.x"}}, "there is no program 'pwx'; the programs are pw, ph, cp2k, vasp, bloomery"),
        ({"cores": 0}, "greater than or equal to 1"),
        ({"modules": ["QE"]}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_told_wrong_is_said(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        Cluster.model_validate(TOLD | change)


def test_what_follows_from_what_is_told() -> None:
    cluster = Cluster.model_validate(TOLD | {"programs": {"pw": {"path": "pw.x", "modules": ["QE/7.4", "a b"]}}})
    assert (cluster.reached_by, cluster.start) == ("ssh", "srun -n {tot_num_mpiprocs}")
    assert cluster.programs["pw"].prepend == "module load QE/7.4\nmodule load 'a b'"
    here = Cluster.model_validate(TOLD | {"host": "localhost", "scheduler": "torque"})
    assert (here.reached_by, here.start) == ("local", "mpirun -np {tot_num_mpiprocs}")


def test_codes_are_suggested_as_a_campaign_file_has_them() -> None:
    cluster = Cluster.model_validate(TOLD | {"cores": 48, "queue": "normal", "programs": {"pw": "/opt/pw.x"}})
    codes = suggested(cluster)
    expected = {"code": "pw@cluster", "cores": 4, "parallel": 12, "walltime": "6 h", "queue": "normal"}
    assert codes["pw"] == expected
    assert yaml.safe_load(written({"codes": codes}))["codes"] == codes
    assert written({"codes": codes}).splitlines()[1].startswith("  pw: {code: pw@cluster, cores: 4,")


@pytest.fixture
def here(profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """This machine as a cluster, whose programs are scripts; AiiDA's tests, another process's, are left out."""
    for name, says in (("bloomery", f"bloomery, version {__version__}"), ("pw.x", "pw")):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\necho '{says}'\n")
        script.chmod(0o755)
    monkeypatch.setattr(clusters, "_tested", lambda *_: clusters.Step("tests of AiiDA", "there", ""))
    where = {"host": "localhost", "scheduler": "direct", "work": str(tmp_path / "work"), "environment": str(tmp_path)}
    return TOLD | where | {"label": tmp_path.name, "cores": 3, "programs": {"pw": f"{tmp_path}/bin/pw.x"}}


def states(told: dict[str, Any]) -> list[str]:
    home = Home(Path("/nowhere"), "", own=False)
    return [step.state for step in add_cluster(home, Cluster.model_validate(told))]


def test_what_is_there_is_left_alone(here: dict[str, Any]) -> None:
    assert states(here) == ["made", "made", "there", "there", "made", "made"]
    computer = orm.load_computer(here["label"])
    assert (computer.get_property("bloomery_cores"), computer.is_configured) == (3, True)
    code = orm.load_code(f"pw@{here['label']}")
    assert (code.default_calc_job_plugin, code.prepend_text) == ("quantumespresso.pw", "export OMP_NUM_THREADS=1")
    before = orm.QueryBuilder().append(orm.InstalledCode).count()
    assert states(here) == ["there"] * 6
    assert orm.QueryBuilder().append(orm.InstalledCode).count() == before


def test_another_computer_of_that_name_is_not_changed(here: dict[str, Any]) -> None:
    states(here)
    with pytest.raises(InputError, match=r"there is a computer .* whose scheduler_type is 'core.direct' and not 'core"):
        states(here | {"scheduler": "slurm"})
    assert orm.load_computer(here["label"]).scheduler_type == "core.direct"


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"programs": {"pw": "no-such-pw.x"}}, InputError, "programs.pw: 'no-such-pw.x' is not on"),
        ({"environment": "/nowhere/at/all", "python": "no-python"}, InputError, "python: 'no-python' on"),
        ({"environment": "/proc/nowhere"}, BloomeryError, "/proc/nowhere cannot be written"),
    ],
)
def test_what_is_not_there_is_said(
    here: dict[str, Any], change: dict[str, Any], error: type[Exception], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_wheel(folder: Path) -> Path:
        (folder / "some.whl").touch()
        return folder / "some.whl"

    monkeypatch.setattr(clusters, "_wheel", no_wheel)
    with pytest.raises(error, match=sentence):
        states(here | change)
