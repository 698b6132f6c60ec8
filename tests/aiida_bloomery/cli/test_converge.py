"""`converge`: what it takes, how it refuses, and what it prints of a search that has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import labelling_inputs
from aiida_bloomery.campaign_file.codes import load_code
from aiida_bloomery.cli import converge, main
from aiida_bloomery.provenance import convergence as provenance
from aiida_bloomery.submission import convergence as submission
from aiida_bloomery.submission.campaigns import Submission
from aiida_bloomery.submission.convergence import Search, file_changes, write_choice
from bloomery.campaign.convergence import Climb, Convergence, Deviation, Ladder, Plan, Point, Rung, Trial
from bloomery.errors import BloomeryError, InputError

FILE = """\
name: small
structures: [si8.extxyz]
protocol: fast
labelling:
  quantumespresso:
    kpoints: {mesh: [2, 2, 2], shift: [1, 1, 1]}  # coarse
    ecutwfc: 20 Ry  # low
stop: {forces: 100 meV/Å, labels: 60}
"""

Call = Callable[..., Any]


def ladder(name: str, values: list[float], **more: Any) -> Ladder:
    def said(value: float) -> dict[str, Any]:
        if name == "kpoints":
            return {"kpoints": {"mesh": None, "distance": value, "shift": [1, 1, 1]}}
        return {"ecutwfc": f"{value:g} Ry", "ecutrho": f"{4 * value:g} Ry"}

    rungs = [Rung(value=value, inputs={"pw": {"parameters": {name: value}}}, file=said(value)) for value in values]
    return Ladder(name=name, unit="1/Å" if name == "kpoints" else "Ry", rungs=rungs, middle=1, **more)


PLAN = Plan(ladders=[ladder("ecutwfc", [20.0, 30.0, 40.0]), ladder("kpoints", [0.4, 0.3, 0.2])], limits={"forces": 5.0})


def result(*, failed: bool = False) -> Convergence:
    """Ladders of which the second gives a choice, unless it failed."""

    def climb(errors: list[float], chosen: int | None, reason: str, keys: list[str]) -> Climb:
        points = [
            Point(
                key=key, rung=rung, value=PLAN.ladders[place].rungs[rung].value,
                deviation=Deviation(forces=error, forces_max=2 * error, energy=error / 10),
            )
            for rung, (error, key) in enumerate(zip(errors, keys, strict=True))
            for place in [int(keys[0] == "1_0")]
        ]  # fmt: skip
        return Climb(points=points, chosen=chosen, reason=reason)

    reason = "kpoints: from 0.3 1/Å to 0.2 1/Å forces still change by 7 meV/Å." if failed else ""
    errors = [30.0, 7.0, 0.0] if failed else [30.0, 2.5, 0.0]
    climbs = {
        "ecutwfc": climb([20.0, 3.0, 0.0], 1, "", ["0_1", "1_1", "2_1"]),
        "kpoints": climb(errors, None if failed else 1, reason, ["1_0", "1_1", "1_2"]),
    }
    found = Convergence(limits={"forces": 5.0}, climbs=climbs)
    if failed:
        return found
    point = Point(key="1_1", deviation=Deviation(forces=4.1, forces_max=9.0, energy=0.4))
    before = Point(key="before", deviation=Deviation(forces=45.6, forces_max=90.0, energy=4.0))
    trial = Trial(place={"ecutwfc": 1, "kpoints": 1}, point=point, within=True)
    return found.model_copy(update={"trials": [trial], "before": before})


def ended(found: Convergence, status: int, message: str = "") -> orm.WorkChainNode:
    """A search that has ended, of nodes alone, with one labelling."""
    node = orm.WorkChainNode()
    node.process_type = provenance.PROCESS_TYPE
    node.base.links.add_incoming(orm.Dict(PLAN.model_dump(mode="json")).store(), LinkType.INPUT_WORK, "plan")
    node.store()
    child = orm.WorkChainNode()
    child.base.links.add_incoming(node, LinkType.CALL_WORK, "point_1_1")
    child.set_process_state("finished")
    child.store()
    entry = {"outcome": "labelled", "attempts": 1, "seconds": 2.5, "job": "", "hash": "a", "frame": 0}
    orm.Dict({"entries": [entry, entry]}).store().base.links.add_incoming(child, LinkType.RETURN, "ledger")
    orm.Dict(found.as_dict()).store().base.links.add_incoming(node, LinkType.RETURN, "result")
    node.set_process_state("finished")
    node.set_exit_status(status)
    node.set_exit_message(message)
    return node


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")
    path = tmp_path / "small.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def call(profile: Any) -> Call:
    """Run the command with the profile of the tests."""
    return lambda *arguments: CliRunner().invoke(main, ["converge", *map(str, arguments), "--profile", profile.name])


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Callable[[orm.WorkChainNode], None]:
    """Let the search that is found be this one."""

    def to(node: orm.WorkChainNode) -> None:
        monkeypatch.setattr(submission, "prepare", lambda *_: Search(None, PLAN, (8, 8), "", ""))
        monkeypatch.setattr(submission, "submit_search", lambda *_, **__: Submission(node.pk, "finished"))

    return to


def test_status_tells_of_a_search_that_runs(profile: Any) -> None:
    node = ended(result(), 0)
    node.description = "odd[bold].yaml [content 0]"
    node.set_process_state("waiting")
    try:
        asked = ["status", "--profile", profile.name]
        shown = CliRunner().invoke(main, asked).output
        assert f"search {node.pk} for converged settings of odd[bold].yaml runs; settings done: 1" in (
            " ".join(shown.split())
        )
        found = json.loads(CliRunner().invoke(main, [*asked, "--json"]).output)["searches"]
        assert {"pk": node.pk, "file": "odd[bold].yaml", "places": 1} in found
    finally:
        node.set_process_state("finished")
    assert f"search {node.pk} " not in CliRunner().invoke(main, asked).output


def test_a_choice_is_shown_drawn_and_written(call: Call, file: Path, attach: Any) -> None:
    attach(ended(result(), 0))
    shown = call(file)
    assert shown.exit_code == 0, shown.output
    rows = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "30 Ry 3 6 0.3 2.5 chosen" in rows
    assert "40 Ry reference" in rows
    assert "ecutwfc 30 Ry, kpoints 0.3 1/Å 4.1 9 0.4 2.5 within the limits" in rows
    assert "file so far 45.6 90 4" in rows
    assert "limit 5" in rows
    assert "    kpoints: {distance: 0.3, shift: [1, 1, 1]}  # coarse\n    ecutwfc: 30 Ry  # low\n" in file.read_text()
    assert {path.name for path in file.parent.glob("small-*")} == {
        "small-convergence.png", "small-convergence.svg", "small-convergence.csv"
    }  # fmt: skip
    assert "says so already" in call(file).output


def test_nothing_is_written_if_that_is_not_wanted(call: Call, file: Path, attach: Any, tmp_path: Path) -> None:
    attach(ended(result(), 0))
    facts = json.loads(call(file, "--no-write", "--json", "-o", tmp_path / "plots").output)
    assert file.read_text() == FILE
    assert facts["chosen"] == {
        "ecutwfc": "30 Ry", "ecutrho": "120 Ry", "kpoints": {"distance": 0.3, "shift": [1, 1, 1]}
    }  # fmt: skip
    assert not facts["written"]
    assert facts["ladders"]["kpoints"] == {"unit": "1/Å", "values": [0.4, 0.3, 0.2], "chosen": 0.3}
    assert facts["core_seconds"] == {"1_1": 2.5}
    assert facts["computed"] == 2
    assert len(list((tmp_path / "plots").iterdir())) == 3


def test_a_ladder_that_is_too_short_is_told_and_nothing_is_written(call: Call, file: Path, attach: Any) -> None:
    message = "kpoints: from 0.3 1/Å to 0.2 1/Å forces still change by 7 meV/Å."
    attach(ended(result(failed=True), 410, message))
    shown = call(file)
    assert shown.exit_code == 1
    assert message in shown.output
    assert file.read_text() == FILE
    facts = json.loads(call(file, "--json").output)
    assert facts["exit_status"] == 410
    assert facts["chosen"] == {}


def test_a_file_that_was_changed_meanwhile_is_left_alone(profile: Any, file: Path) -> None:
    campaign, _ = load_campaign(file)
    changes = file_changes(campaign, PLAN, {"ecutwfc": 1, "kpoints": 1})
    assert changes == {"ecutwfc": "30 Ry", "ecutrho": "120 Ry", "kpoints": {"mesh": None, "distance": 0.3}}
    file.write_text(FILE.replace("small", "other"))
    with pytest.raises(BloomeryError, match=r"(?s)was changed while .* Nothing is written; .*ecutwfc: 30 Ry"):
        write_choice(campaign, changes)
    assert file.read_text() == FILE.replace("small", "other")
    assert not list(file.parent.glob(".small*"))


def test_of_several_labellers_one_is_searched_for_and_written(profile: Any, file: Path) -> None:
    own = FILE[FILE.index("  quantumespresso") : FILE.index("stop:")].replace("\n  ", "\n    ").rstrip()
    quick = "  use: quick\n  quick: {calculator: {calculator: stillinger_weber}}\n"
    several = f"labelling:\n{quick}  fine:\n    {own.strip()}\n"
    file.write_text(FILE[: FILE.index("labelling:")] + several + FILE[FILE.index("stop:") :])
    campaign = load_campaign(file)[0].labelled_by("fine")
    write_choice(campaign, file_changes(campaign, PLAN, {"ecutwfc": 1, "kpoints": 1}))
    assert "      ecutwfc: 30 Ry  # low\n" in file.read_text()
    again = load_campaign(file)[0]
    assert again.file.labeller == "calculator"
    assert again.labelled_by("fine").file.labeller_settings["ecutwfc"] == "30 Ry"
    with pytest.raises(InputError, match=r"labelling: there is no labeller 'coarse'; the labellers are quick, fine\."):
        again.labelled_by("coarse")


def test_a_search_begins_without_a_cutoff(file: Path, computer: orm.Computer) -> None:
    """Files of pseudopotentials recommend none: labels need one, and a search begins with the header's."""
    code = orm.InstalledCode(label="pw", computer=computer, filepath_executable="/bin/true").store()
    header = '<PP_HEADER element="Si" pseudo_type="NC" functional="PBE" z_valence="4" wfc_cutoff="44"/>'
    (file.parent / "Si.upf").write_text(f'<UPF version="2.0.1">\n{header}\n</UPF>\n')
    text = FILE.replace("ecutwfc: 20 Ry  # low", "pseudopotentials: {Si: Si.upf}")
    file.write_text(f"{text}codes: {{pw: {code.full_label}}}\n")
    campaign, _ = load_campaign(file)
    with pytest.raises(InputError, match=r"line 5: labelling\.quantumespresso\.ecutwfc: is missing, and files of"):
        labelling_inputs(campaign, partial(load_code, campaign))
    search = submission.prepare(campaign, submission.Wishes(0.05, {}, {}, None))
    (cutoffs, *_) = search.plan.ladders
    assert cutoffs.name == "ecutwfc"
    assert 45 in [rung.value for rung in cutoffs.rungs]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "Invalid value for '--frames'"),
        (["--frames", "1"], "Invalid value for '--frames'"),
        (["--share", "0"], "--share 0: must be above zero"),
        (["--share", "5 meV"], "--share 5 meV: should be a share"),
        (["--target", "forces=0"], "--target.forces: input should be greater than 0"),
        (["--target", "force=5"], "--target.force: there is no such key; write 'forces'"),
        (["--target", "forces"], "is not of the form NAME=VALUE"),
        (["--target", "forces=5 Ry"], "--target.forces: should be a force"),
        (["--ladder", "ecutwfc"], "--ladder ecutwfc: is not of the form NAME=VALUES"),
        (["--ladder", "ecutwfc=20,x"], "is not of the form NAME=VALUES"),
        (["--ladder", "ecutwfc=20"], "needs two values at least"),
        (["--ladder", "ecutwfc=20,20"], "all of them different"),
        (["--ladder", "ecutwfc=-20,20"], "above zero"),
        (["-o", "si8.extxyz"], "is no folder"),
    ],
)
def test_mistakes_give_one_sentence(
    call: Call, file: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    shown = call(file, *arguments)
    assert shown.exit_code == 2, shown.output
    assert message in shown.output


def test_other_labellers_have_nothing_to_choose(call: Call, file: Path, bloomery_code: orm.InstalledCode) -> None:
    own = "labelling: {calculator: {calculator: stillinger_weber}}\n"
    rest = FILE[FILE.index("stop:") :] + f"codes: {{bloomery: {bloomery_code.full_label}}}\n"
    file.write_text(FILE[: FILE.index("labelling:")] + own + rest)
    shown = call(file)
    assert shown.exit_code == 2, shown.output
    assert "small.yaml, line 4: labelling.calculator: has no setting along which labels converge" in shown.output
    assert call(file.parent / "nothing.yaml").exit_code == 2


def test_values_of_a_ladder_may_have_their_unit() -> None:
    assert converge._ladder("ecutwfc=20,30,40 Ry") == ("ecutwfc", [20, 30, 40])
    assert converge._ladder("kpoints=[0.3, 0.2]") == ("kpoints", [0.3, 0.2])


def test_what_is_no_search(profile: Any, frames: Any) -> None:
    with pytest.raises(BloomeryError, match="is no search for converged settings"):
        provenance.convergence_state(frames.pk)
    with pytest.raises(BloomeryError, match="there is no node"):
        provenance.convergence_state(99999999)
