"""A search for converged settings: the outline with a labeller of formulas, and all of it with a real pw.x."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ExitCode, ProcessSpec, calcfunction, run_get_node
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from aiida_bloomery import services
from aiida_bloomery.calculations.label_cache import around_of, fingerprint
from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import labelling_inputs
from aiida_bloomery.campaign_file.codes import load_code
from aiida_bloomery.cli import main
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance.convergence import convergence_state, progress
from aiida_bloomery.submission.convergence import Wishes, prepare
from aiida_bloomery.workflows import convergence
from aiida_bloomery.workflows.convergence import ConvergenceWorkChain, flattened, replaced
from aiida_bloomery.workflows.labelling.contract import LabellingWorkChain
from bloomery.campaign.convergence import Convergence, Ladder, Plan, Rung
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

# -- a labeller of formulas -------------------------------------------------------------------------------------------


@calcfunction
def labels(configurations: ConfigurationsData, parameters: orm.Dict) -> dict[str, orm.Data]:
    """Forces with an error of 100 / cutoff and one of 10 mesh, in meV/Å, on every component.

    At the settings that are named in ``broken`` there is no label.
    """
    values = parameters.get_dict()
    frames = configurations.configurations
    failed = [values["cutoff"], values["mesh"]] in values.get("broken", [])
    entries = [
        {
            "frame": frame, "hash": hash_, "outcome": "failed" if failed else "labelled", "attempts": 1, "seconds": 1.0,
            "exit_code": int(failed), "reason": "the machine was struck by lightning." if failed else "", "job": "",
        }
        for frame, hash_ in enumerate(configurations.hashes)
    ]  # fmt: skip
    ledger = orm.Dict({"entries": entries})
    if failed:
        return {"ledger": ledger}
    error = 1e-3 * (100 / values["cutoff"] + 10 * values["mesh"])
    forces = np.sin(frames.positions) + error
    return {"ledger": ledger, "labelled": ConfigurationsData(frames.with_labels(forces=forces))}


class QuickLabelling(LabellingWorkChain):
    """Label by formulas."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        super().define(spec)
        spec.input("quick.parameters", valid_type=orm.Dict)
        spec.input("quick.kpoints", valid_type=orm.Dict, required=False)
        spec.outline(cls.label)

    def label(self) -> ExitCode | None:
        found = labels(self.inputs.configurations, self.inputs.quick.parameters)
        return self.conclude(found["ledger"], found.get("labelled"))


def ladder(name: str, values: list[float], **more: Any) -> Ladder:
    rungs = [
        Rung(value=value, inputs={"quick": {"parameters": {name: value}, "kpoints": None}}, file={name: value})
        for value in values
    ]
    return Ladder(name=name, unit="u", rungs=rungs, middle=1, **more)


@pytest.fixture(scope="module")
def search(profile: Any) -> Callable[..., Any]:
    """Search along a ladder of cutoffs and one of meshes: ``search(limit, broken=[...])``."""

    def run(limit: float, broken: Any = (), follows: Any = ()) -> Any:
        ladders = [ladder("cutoff", [10, 20, 50, 100, 1000]), ladder("mesh", [4, 2, 1, 0.5, 0.1], follows=follows)]
        plan = Plan(ladders=ladders, limits={"forces": limit})
        parameters = {"cutoff": 10, "mesh": 4, "broken": list(broken)}
        inputs = {
            "structures": ConfigurationsData(Configurations.from_atoms([bulk("Si")])),
            "hot_frames": orm.Dict({"frames": 2}),
            "seed": orm.Int(1),
            "labeller": orm.Str("quantumespresso"),
            "labelling": {"quick": {"parameters": orm.Dict(parameters), "kpoints": orm.Dict({})}},
            "plan": orm.Dict(plan.model_dump()),
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convergence, "WorkflowFactory", lambda _: QuickLabelling)
            return run_get_node(ConvergenceWorkChain, **inputs)

    return run


@pytest.fixture(scope="module")
def usual(search: Callable[..., Any]) -> Any:
    """Outputs and node of a search that finds something."""
    return search(6.0)


def calls(node: orm.WorkChainNode) -> dict[str, orm.WorkChainNode]:
    """Labellings that a search called, by their labels."""
    links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    return {link.link_label: link.node for link in links}


def test_the_cheapest_settings_that_hold_together(usual: Any) -> None:
    """Errors against the tops: cutoffs 9.9, 4.9, 1.9, 0.9 and meshes 39, 19, 9, 4 meV/Å; they add up."""
    outputs, node = usual
    assert node.is_finished_ok, node.exit_message
    found = Convergence.model_validate(outputs["result"].get_dict())
    errors = [point.deviation.forces for point in found.climbs["cutoff"].points if point.deviation]
    assert errors == pytest.approx([9.9, 4.9, 1.9, 0.9, 0])
    assert {name: climb.chosen for name, climb in found.climbs.items()} == {"cutoff": 1, "mesh": 3}
    # 4.9 and 4 together are 8.9; the cutoff errs more: 1.9 and 4 are 5.9.
    assert [trial.point.deviation.forces for trial in found.trials if trial.point.deviation] == pytest.approx(
        [8.9, 5.9]
    )
    assert found.chosen == {"cutoff": 2, "mesh": 3}
    assert found.before is not None
    assert found.before.deviation is not None
    assert found.before.deviation.forces == pytest.approx(9.9 + 39)


def test_nothing_is_labelled_twice(usual: Any) -> None:
    """Five rungs and five that share the middle, where the first choice is one of them; the top, and the second one."""
    _, node = usual
    made = [child.inputs.quick.parameters.get_dict() for label, child in calls(node).items() if label != "before"]
    assert len({(one["cutoff"], one["mesh"]) for one in made}) == len(made) == 9 + 1 + 1


def test_every_labelling_and_every_choice_is_in_the_graph(usual: Any) -> None:
    outputs, node = usual
    frames = outputs["frames"]
    assert frames.creator.process_label == "make_hot_frames"
    assert set(frames.configurations.info["parent_uuid"]) == {node.inputs.structures.uuid}
    assert outputs["result"].creator.process_label == "judge_choice"
    for label, child in calls(node).items():
        own = label == "before"
        assert ("kpoints" in child.inputs.quick) == own
        assert (child.inputs.quick.parameters.creator is None) == own


def test_a_ladder_that_follows_stands_where_the_other_was_decided(search: Callable[..., Any]) -> None:
    outputs, node = search(6.0, follows=["cutoff"])
    found = Convergence.model_validate(outputs["result"].get_dict())
    assert [point.key for point in found.climbs["mesh"].points] == [f"1_{rung}" for rung in range(5)]
    assert node.is_finished_ok


def test_a_ladder_whose_top_is_too_low_is_told(search: Callable[..., Any]) -> None:
    outputs, node = search(2.0)
    assert node.exit_status == 410
    assert "mesh: from 0.5 u to 0.1 u, the densest, forces still change by 4, more than 2 meV/Å" in node.exit_message
    assert "--ladder mesh=4,2,1,0.5,0.1,0.02" in node.exit_message
    found = Convergence.model_validate(outputs["result"].get_dict())
    assert found.climbs["cutoff"].chosen == 2
    assert found.climbs["mesh"].chosen is None
    assert not found.trials
    state = convergence_state(node.pk)
    assert not state.succeeded
    assert state.message == node.exit_message


def test_a_rung_that_cannot_be_labelled_does_not_count(search: Callable[..., Any]) -> None:
    outputs, node = search(6.0, broken=[[20, 2]])
    found = Convergence.model_validate(outputs["result"].get_dict())
    assert found.climbs["cutoff"].chosen == 2
    assert found.climbs["mesh"].chosen == 3
    assert node.is_finished_ok


@pytest.mark.parametrize("broken", [[1000, 2], [1000, 0.1]])
def test_without_the_dense_end_there_is_nothing_to_hold_against(search: Callable[..., Any], broken: Any) -> None:
    _, node = search(6.0, broken=[broken])
    assert node.exit_status == 403
    assert "struck by lightning" in node.exit_message
    assert progress(node.pk) == (False, len(calls(node)))


def test_wrong_plans_are_refused(profile: Any) -> None:
    builder = ConvergenceWorkChain.get_builder()
    with pytest.raises(ValueError, match="limits"):
        builder.plan = orm.Dict({"ladders": [ladder("cutoff", [1, 2]).model_dump()], "limits": {}})
    with pytest.raises(ValueError, match="frames"):
        builder.hot_frames = orm.Dict({"frames": 0})


def test_changes_of_inputs() -> None:
    flat, gone = flattened({"pw": {"parameters": {"SYSTEM": {"ecutwfc": 20}}, "kpoints": None}})
    assert (flat, gone) == ({"pw__parameters": {"SYSTEM": {"ecutwfc": 20}}}, ["pw__kpoints"])
    given = {"pw": {"kpoints": 1, "parameters": 2, "code": 3}, "share": 4}
    made: Any = {"pw__parameters": 5, "pw__rule": 6}
    assert replaced(given, made, gone) == {"pw": {"parameters": 5, "code": 3, "rule": 6}, "share": 4}
    assert given["pw"] == {"kpoints": 1, "parameters": 2, "code": 3}


# -- pw.x -------------------------------------------------------------------------------------------------------------

CAMPAIGN = """\
# Silicon, as small as can be.
name: small
structures: [si2.extxyz]  # two atoms
protocol: fast
bootstrap:
  samplers: [rattle_strain: {{frames: 24, rattle: [0.02, 0.06], strain: 0.02}}]
  selection: [sanity, random: {{frames: 12}}]
labelling:
  quantumespresso:
    # of Debian
    pseudopotentials: {{Si: {upf}}}
    kpoints: {{mesh: [1, 1, 1], shift: [1, 1, 1]}}  # one point
    ecutwfc: 6 Ry       # far too low
    smearing: none
stop: {{forces: 100 meV/Å, labels: 60, iterations: {{max: 3}}}}  # enough
codes: {{pw: {pw}}}
"""
LADDERS = ["--ladder", "ecutwfc=6,8,10,12", "--ladder", "kpoints=1.4,0.9,0.6"]
TARGET = ["--target", "forces=250", "--frames", "2"]


@pytest.fixture
def campaign(wrapped_pw: Any, silicon_upf: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A campaign file, and the pw.x that it names."""
    pw = wrapped_pw()
    upf = tmp_path / "Si.UPF"
    upf.write_text(silicon_upf.get_content(), encoding="utf-8")
    write(tmp_path / "si2.extxyz", bulk("Si"))
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN.format(upf=upf.name, pw=pw.code.full_label), encoding="utf-8")
    return path, pw


def fingerprint_of(path: Path) -> str:
    loaded, _ = load_campaign(path)
    pw: Any = labelling_inputs(loaded, lambda key: load_code(loaded, key))["pw"]
    return fingerprint(pw["code"], pw["pseudos"], pw["parameters"], **around_of(pw))


needs_pw = pytest.mark.skipif(shutil.which("pw.x") is None, reason="pw.x is not on the path")


@pytest.mark.pw
@needs_pw
def test_what_is_searched_follows_from_the_file(campaign: tuple[Path, Any]) -> None:
    """Frames are as hot as those of the bootstrap, and limits a share of the targets."""
    path, _ = campaign
    search = prepare(load_campaign(path)[0], Wishes(0.05))
    assert search.plan.limits == {"forces": pytest.approx(5.0)}
    assert search.builder.hot_frames.get_dict() == {
        "frames": 3, "rattle_strain": {"rattle": [0.02, 0.06], "strain": 0.02}
    }  # fmt: skip
    assert search.sizes == (2, 2, 2)
    rungs = search.plan.ladder("ecutwfc").rungs
    assert [rung.value for rung in rungs] == [20, 25, 30, 40, 45]  # 30 Ry are in the table of files that were tried
    loose = prepare(load_campaign(path)[0], Wishes(0.1))
    assert loose.plan.limits == {"forces": pytest.approx(10.0)}
    assert loose.mark != search.mark
    assert loose.own == search.own


@pytest.mark.pw
@needs_pw
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "stop: {forces: 100 meV/Å,",
            "validation: {each_iteration: [equation_of_state]}\nstop: {observables: {equation_of_state.a: 0.01 Å},",
            r"campaign.yaml, line 16: stop: has no target, .* give the errors by --target\.",
        ),
        ("rattle: [0.02, 0.06]", "rattle: 0.6, attempts: 1", r"structures: structure 0 cannot be rattled by 0.6 Å"),
        ("smearing: none", "smearing: none\n    parameters: {SYSTEM: {tot_charge: 1}}", r"labelling.quantumespresso: "),
    ],
)
def test_files_that_cannot_be_searched(campaign: tuple[Path, Any], old: str, new: str, message: str) -> None:
    path, _ = campaign
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        prepare(load_campaign(path)[0], Wishes(0.05))


@pytest.mark.pw
@needs_pw
def test_pw_from_the_file_to_the_file(
    campaign: tuple[Path, Any], profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Search, write the choice, and find everything again: nothing is computed twice."""
    path, pw = campaign
    monkeypatch.setattr(services, "ensure", lambda home: [])
    before = path.read_text(encoding="utf-8")
    wishes = Wishes(
        0.05, frames=2, targets={"forces": 250.0}, ladders={"ecutwfc": [6, 8, 10, 12], "kpoints": [1.4, 0.9, 0.6]}
    )
    search = prepare(load_campaign(path)[0], wishes)
    assert [one.name for one in search.plan.ladders] == ["ecutwfc", "kpoints"]
    outputs, node = run_get_node(search.builder)
    assert node.is_finished_ok, node.exit_message
    found = Convergence.model_validate(outputs["result"].get_dict())
    assert found.verified
    for name, climb in found.climbs.items():
        errors = [point.deviation.forces for point in climb.points if point.deviation and point.deviation.forces]
        assert len(errors) == len(climb.points) - 1, name
        assert errors[0] > errors[-1]
    starts = len(pw.starts())
    assert starts == 2 * len(calls(node))
    pk = node.pk
    state = convergence_state(pk)
    assert state.computed == starts
    assert all(seconds > 0 for seconds in state.core_seconds.values())

    def call(*more: str) -> Any:
        named = ["converge", str(path), *LADDERS, *TARGET, "--profile", profile.name, *more]
        return CliRunner().invoke(main, named)

    shown = call("--no-write")
    assert shown.exit_code == 0, shown.output
    assert f"Found search for converged settings, PK {pk}: 2 hot frames of 2 atoms." in shown.output
    assert "To be written into" in shown.output
    assert path.read_text(encoding="utf-8") == before
    shown = call()
    assert shown.exit_code == 0, shown.output
    after = path.read_text(encoding="utf-8")
    for line in before.splitlines():
        if "#" in line:
            assert line[line.index("#") :] in after
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    chosen = new["labelling"]["quantumespresso"]
    assert chosen.pop("ecutwfc") == f"{search.plan.ladders[0].said(found.chosen['ecutwfc'])}"
    assert chosen.pop("ecutrho") == f"{4 * search.plan.ladders[0].rungs[found.chosen['ecutwfc']].value:g} Ry"
    kpoints = {"distance": search.plan.ladders[1].rungs[found.chosen["kpoints"]].value, "shift": [1, 1, 1]}
    assert chosen.pop("kpoints") == kpoints
    for key in ("ecutwfc", "kpoints"):
        del old["labelling"]["quantumespresso"][key]
    assert new == old
    assert {file.suffix for file in path.parent.glob("campaign-convergence.*")} == {".png", ".svg", ".csv"}

    # What the file says now is what was tried: a campaign finds these labels.
    inputs = calls(orm.load_node(pk))[f"point_{search.plan.key(found.chosen)}"].inputs.pw
    assert fingerprint_of(path) == fingerprint(
        inputs.code, dict(inputs.pseudos), inputs.parameters, **around_of(inputs)
    )

    # The same command knows the search by what it chose; one made again finds every label.
    shown = call()
    assert f"PK {pk}:" in shown.output
    assert "says so already" in shown.output
    again = prepare(load_campaign(path)[0], wishes)
    assert again.mark == search.mark
    _, node = run_get_node(again.builder)
    assert node.is_finished_ok
    assert len(pw.starts()) == starts
    assert convergence_state(node.pk).computed == 0
    assert convergence_state(node.pk).core_seconds["before"] > 0
