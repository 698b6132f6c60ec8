"""Making a machine ready: a home of its own, what is missing is made, what is there is left alone."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from tests.waiting import PATIENCE

from aiida_bloomery.setup import machine
from aiida_bloomery.setup.home import OWN_PROFILE, Home, find_home, load_profile
from aiida_bloomery.setup.pseudopotentials import choose_files, functional_name, install_family, read_header
from bloomery.errors import InputError

PROGRAM = Path(sys.executable).parent / "aiida-bloomery"

HEADER_2 = """<UPF version="2.0.1">
<PP_INFO>functional=" in the comments "</PP_INFO>
<PP_HEADER
author='"A. Author" &lt;a@b&gt; > etc.'
element="{element} "
pseudo_type="{kind}"
relativistic="{relativistic}"
has_so="{has_so}"
functional=" {functional} "
z_valence="4.000000000000E+000"
wfc_cutoff="{low}"
rho_cutoff="{high}"
/>
<PP_MESH/>
"""


def header(element: str, functional: str = "SLA  PW   PBX  PBC", **changes: Any) -> str:
    """The beginning of a UPF file."""
    defaults = {"kind": "NC", "relativistic": "scalar", "has_so": "F", "low": "3.5E+001", "high": "1.4E+002"}
    return HEADER_2.format(element=element, functional=functional, **(defaults | changes))


def call(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``aiida-bloomery`` in a home, as a user who has no AiiDA yet."""
    environment = {key: value for key, value in os.environ.items() if key not in {"AIIDA_PATH", "BLOOMERY_HOME"}}
    environment |= {"BLOOMERY_HOME": str(home / "own"), "HOME": str(home / "user"), **variables}
    (home / "user").mkdir(exist_ok=True)
    return subprocess.run(
        [str(PROGRAM), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home set up for the first time, and what the set-up said."""
    folder = tmp_path_factory.mktemp("home")
    done = call(folder, "setup", "--no-start", "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def states(facts: dict[str, Any]) -> dict[str, str]:
    return {step["what"].split()[0]: step["state"] for step in facts["steps"]}


@pytest.mark.slow
def test_first_set_up_makes_everything(made: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = made
    assert facts["own"]
    assert facts["profile"] == OWN_PROFILE
    assert states(facts)["profile"] == states(facts)["computer"] == states(facts)["code"] == "made"
    assert (folder / "own" / ".aiida" / "config.json").is_file()


@pytest.mark.slow
def test_second_set_up_leaves_everything_alone(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    again = json.loads(call(folder, "setup", "--no-start", "--json").stdout)
    assert set(states(again).values()) <= {"there", "missing"}


@pytest.mark.slow
def test_users_own_profiles_are_not_touched(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    assert not (folder / "user" / ".aiida").exists()


@pytest.mark.slow
def test_database_writes_ahead(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    (database,) = (folder / "own" / ".aiida" / "repository").glob("*/database.sqlite")
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_printed_line_lets_verdi_see_the_profile(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    line = call(folder, "setup", "--no-start").stdout.splitlines()[-1]
    _, _, command = line.partition(": ")
    script = f"{command} && verdi computer show localhost"
    environment = {"PATH": f"{PROGRAM.parent}:/usr/bin:/bin", "HOME": str(folder / "user")}
    shown = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert "core.direct" in shown
    assert str(folder / "own" / "work") in shown


@pytest.mark.slow
def test_missing_pw_is_said_with_a_remedy(tmp_path: Path) -> None:
    done = call(tmp_path, "setup", "--no-start", "--json", PW="pw-that-is-not-there.x", ESPRESSO_PSEUDO=str(tmp_path))
    pw = next(step for step in json.loads(done.stdout)["steps"] if step["what"] == "code pw@localhost")
    assert pw["state"] == "missing"
    for remedy in ("apt install quantum-espresso", "conda-forge", "module", "variable PW"):
        assert remedy in pw["detail"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "name", "sentence"),
    [
        ("--engine", "maze", "maze"),
        ("--engine", "hdnnp", "it needs no set-up"),
        ("--foundation", "sevenet", "foundation 'sevenet' is not registered"),
        ("--foundation", "calculator", "foundation 'calculator' runs in bloomery's own environment"),
    ],
)
def test_what_cannot_be_set_up_is_refused_before_anything_is_made(
    tmp_path: Path, option: str, name: str, sentence: str
) -> None:
    done = call(tmp_path, "setup", "--no-start", option, name)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert not (tmp_path / "own").exists()


def test_commands_without_a_set_up_say_so(tmp_path: Path) -> None:
    done = call(tmp_path, "status")
    assert done.returncode == 2
    assert done.stderr.strip() == f"Error: {tmp_path / 'own'}: is not set up; run `aiida-bloomery setup` first."
    assert not (tmp_path / "own").exists()


@pytest.mark.slow
def test_profile_that_does_not_exist_is_refused(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    done = call(folder, "status", "--profile", "nobody")
    assert done.returncode == 2
    assert "profile 'nobody' does not exist in" in done.stderr


# -- which home -------------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and no variable that points anywhere."""
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("BLOOMERY_HOME", raising=False)
    return tmp_path


def test_home_is_found_above_the_present_folder(nowhere: Path) -> None:
    Home(nowhere / ".bloomery", OWN_PROFILE, own=True).mark()
    (nowhere / "a" / "b").mkdir(parents=True)
    assert find_home(start=nowhere / "a" / "b") == Home(nowhere / ".bloomery", OWN_PROFILE, own=True)
    assert find_home(start=nowhere.parent).elsewhere, "beside the source"


def test_home_in_the_variable_comes_first(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Home(nowhere / ".bloomery", OWN_PROFILE, own=True).mark()
    monkeypatch.setenv("BLOOMERY_HOME", str(nowhere / "other"))
    assert find_home(start=nowhere).folder == nowhere / "other"


def test_exported_aiida_path_is_recognised(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(nowhere / "exported", OWN_PROFILE, own=True)
    home.mark()
    monkeypatch.setenv("AIIDA_PATH", str(home.folder))
    assert find_home(start=nowhere) == home
    assert find_home(OWN_PROFILE, start=nowhere) == home


def test_named_profile_is_the_users(nowhere: Path) -> None:
    Home(nowhere / ".bloomery", OWN_PROFILE, own=True).mark()
    found = find_home("mine", start=nowhere)
    assert not found.own
    assert found.folder == nowhere / "elsewhere"


def test_loading_a_home_that_is_not_set_up(nowhere: Path) -> None:
    with pytest.raises(InputError, match=r"is not set up; run `aiida-bloomery setup` first\.$"):
        load_profile(Home(nowhere / "empty", OWN_PROFILE, own=True))


# -- codes ------------------------------------------------------------------------------------------------------------


def test_code_of_a_moved_program_is_replaced_and_the_old_one_hidden(computer: orm.Computer) -> None:
    first, made_first = machine.install_code(computer, "moving", Path("/old/program"), None)
    same, made_same = machine.install_code(computer, "moving", Path("/old/program"), None)
    second, made_second = machine.install_code(computer, "moving", Path("/new/program"), None)
    assert (made_first, made_same, made_second) == (True, False, True)
    assert same.uuid == first.uuid
    assert orm.load_code(f"moving@{computer.label}").uuid == second.uuid
    assert first.is_hidden
    assert first.label == f"moving-{first.pk}"


def test_code_of_the_users_is_left_alone(computer: orm.Computer) -> None:
    theirs, _ = machine.install_code(computer, "theirs", Path("/their/program"), None)
    found, made_now = machine.install_code(computer, "theirs", Path("/our/program"), None, replace=False)
    assert (found.uuid, made_now) == (theirs.uuid, False)
    assert not theirs.is_hidden


# -- pseudopotentials -------------------------------------------------------------------------------------------------


def test_header_is_read_past_an_author_with_brackets() -> None:
    found = read_header(header("Si"))
    assert found is not None
    assert (found.element, found.functional, found.kind, found.relativistic) == ("Si", "PBE", "NC", False)
    assert (found.wavefunction_cutoff, found.density_cutoff, found.z_valence) == (35.0, 140.0, 4.0)


def test_file_without_a_header_is_none() -> None:
    assert read_header("<PP_INFO>\nan old file\n</PP_INFO>") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" SLA  PW   PBE  PBE", "PBE"),
        ("SLA-PW-PBX-PBC", "PBE"),
        ("pbe", "PBE"),
        ("SLA PW PSX PSC", "PBESOL"),
        ("SLA  PZ   NOGX NOGC", "PZ"),
        ("SOMETHING NEW", "SOMETHING NEW"),
    ],
)
def test_functionals_get_their_common_name(text: str, name: str) -> None:
    assert functional_name(text) == name


def test_one_file_is_chosen_for_each_element(tmp_path: Path) -> None:
    files = {
        "Si.pbe-hard.UPF": header("Si", low="50"),
        "Si.pbe-soft.UPF": header("Si", low="31"),
        "Si.pz-soft.UPF": header("Si", functional="SLA PZ NOGX NOGC", low="31"),
        "Si.pbe-so.UPF": header("Si", has_so="T", low="10"),
        "Siren.UPF": header("Si", low="10"),
        "C.pbe-us.UPF": header("C", kind="US", low="0", high="0"),
        "notes.txt": "not one of them",
        "Ge.UPF": "a file of another kind",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    chosen = choose_files(tmp_path)
    assert {element: (path.name, low, high) for element, (path, low, high) in chosen.items()} == {
        "C": ("C.pbe-us.UPF", 40.0, 320.0),  # the header is silent: defaults of its kind
        "Si": ("Si.pbe-soft.UPF", 31.0, 140.0),
    }


def test_cutoffs_are_not_below_what_a_stress_needs(tmp_path: Path) -> None:
    (tmp_path / "Ge.pbe.UPF").write_text(header("Ge", low="17.3", high="69.2"))
    assert choose_files(tmp_path)["Ge"][1:] == (30.0, 120.0)


def test_family_is_made_once_with_cutoffs(profile: Any, tmp_path: Path) -> None:
    (tmp_path / "Si.pbe.UPF").write_text(header("Si"))
    family, made_now = install_family(tmp_path, "test/PBE")
    assert made_now
    assert family.get_recommended_cutoffs(elements=("Si",), unit="Ry") == (35.0, 140.0)
    again, made_again = install_family(tmp_path, "test/PBE")
    assert not made_again
    assert again.uuid == family.uuid
    orm.Group.collection.delete(family.pk)


def test_folder_without_files_gives_no_family(profile: Any, tmp_path: Path) -> None:
    assert install_family(tmp_path, "test/nothing") == (None, False)
