"""The commands that look at campaigns: what they print as text and as JSON, and how they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner

from aiida_bloomery.cli import COMMANDS, display, main
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.provenance.progress import CampaignState, campaign_state
from bloomery.campaign.record import Decision

PROGRAM = Path(sys.executable).parent / "aiida-bloomery"


def number(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "lower": 0.5 * value, "upper": 1.5 * value}


def iteration(index: int) -> dict[str, Any]:
    forces = {"rmse": number(80.0 / (index + 1), "meV/Å"), "relative_rmse": number(0.08, "1")}
    validation = {"n_frames": 4, "energy": {"rmse": number(3.0, "meV/atom")}, "forces": forces}
    labels = {"labelled": 6, "failed": 0, "cached": 0, "by_role": {}}
    return {
        "iteration": index, "n_pool": 30, "n_selected": 6, "labels": labels, "labels_total": 6 * (index + 1),
        "validation": validation, "assess": None, "training": None, "potential": "", "batch": "",
    }  # fmt: skip


@pytest.fixture(scope="module")
def campaign(labelled_frames: ConfigurationsData, potential: PotentialData) -> orm.WorkChainNode:
    """A finished campaign, of nodes alone."""
    stop = orm.Dict({"targets": {"forces": 50.0}, "max_labels": 20, "max_iterations": 3}).store()
    node = orm.WorkChainNode()
    node.process_type = "aiida.workflows:bloomery.campaign"
    node.set_process_label("ReinforcementWorkChain")
    node.label = "commands"
    node.description = "campaign.yaml [content 0123456789abcdef]"
    node.base.links.add_incoming(stop, LinkType.INPUT_WORK, "stop")
    training = orm.Dict({"engine": {"mace": {"members": 2}}}).store()
    node.base.links.add_incoming(training, LinkType.INPUT_WORK, "training")
    node.store()
    job = orm.CalcJobNode()
    job.base.links.add_incoming(node, LinkType.CALL_CALC, "iteration_001_train")
    job.set_process_state("finished")
    job.set_exit_status(0)
    job.store()
    decision = {"done": True, "rule": "targets", "reason": "the errors are below their targets.", "success": True}
    history = orm.Dict({"iterations": [iteration(0), iteration(1)], "decision": decision, "final": {}}).store()
    entries = [
        {"frame": 0, "hash": "a", "outcome": "labelled", "attempts": 1, "seconds": 2.5, "exit_code": 0, "reason": "",
         "job": "11111111-0000", "batch": "batch_000", "iteration": 0},
        {"frame": 1, "hash": "b", "outcome": "failed", "attempts": 2, "seconds": 4.0, "exit_code": 410,
         "reason": "it did not converge.", "job": "22222222-0000", "batch": "batch_000", "iteration": 0},
    ]  # fmt: skip
    outputs = {"history": history, "ledger": orm.Dict({"entries": entries}).store(), "potential": potential}
    for name, output in outputs.items():
        output.base.links.add_incoming(node, LinkType.RETURN, name)
    labelled_frames.base.links.add_incoming(node, LinkType.RETURN, "data_set__batch_000")
    node.set_process_state("finished")
    node.set_exit_status(0)
    return node


@pytest.fixture
def call(profile: Any) -> Callable[..., Any]:
    """Run a command with the profile of the tests."""

    def run(name: str, *arguments: object) -> Any:
        return CliRunner().invoke(main, [name, *map(str, arguments), "--profile", profile.name])

    return run


def test_a_file_is_checked_before_aiida_is_imported() -> None:
    """Which home it works on is told to AiiDA by a variable that it reads when it is imported."""
    file = Path(__file__).resolve().parents[3] / "examples" / "silicon" / "campaign.yaml"
    code = (
        "import sys\nfrom aiida_bloomery.campaign_file import load_campaign\n"
        f"load_campaign({str(file)!r})\nprint('aiida' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_help_lists_every_command_without_importing_one() -> None:
    code = "import sys, aiida_bloomery.cli as c; c.main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, modules = done.stdout.splitlines()
    for name, (_, line) in COMMANDS.items():
        assert name in done.stdout
        assert line.split()[0] in "\n".join(shown)
    assert not {"aiida", "numpy", "torch", "ase", "pydantic"} & set(modules.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name}")


def test_status_of_a_campaign(call: Callable[..., Any], campaign: orm.WorkChainNode) -> None:
    facts = json.loads(call("status", campaign.pk, "--json").output)
    assert facts["name"] == "commands"
    assert facts["finished"]
    assert facts["succeeded"]
    assert facts["engine"] == "mace"
    assert (facts["labels"], facts["max_labels"]) == (12, 20)
    assert facts["jobs"] == {"running": 0, "waiting": 0, "done": 1, "failed": 0}
    assert [entry["errors"]["forces"]["value"] for entry in facts["iterations"]] == [80.0, 40.0]
    assert facts["targets"] == {"forces": 50.0}


def test_status_as_text(call: Callable[..., Any], campaign: orm.WorkChainNode) -> None:
    shown = call("status", "commands").output
    assert "reached: the errors are below their targets" in shown
    assert "40 (20 - 60)" in shown
    assert "< 50" in shown


def test_status_of_all(call: Callable[..., Any], campaign: orm.WorkChainNode) -> None:
    facts = json.loads(call("status", "--json").output)
    assert campaign.pk in {state["pk"] for state in facts["campaigns"]}
    assert not facts["services"]["daemon"]
    assert facts["services"]["remedy"]  # the profile is the user's: it is said what to do
    assert "commands" in call("status").output


@pytest.mark.parametrize("name", ["status", "report", "ledger", "export"])
def test_unknown_campaign_is_refused(call: Callable[..., Any], name: str) -> None:
    result = call(name, "nobody")
    assert result.exit_code == 2
    assert result.output == (
        "Error: there is no campaign nobody; `aiida-bloomery status` lists them all by PK and name.\n"
    )


def test_node_that_is_no_campaign_is_refused(call: Callable[..., Any], frames: ConfigurationsData) -> None:
    result = call("status", frames.pk)
    assert result.exit_code == 2
    assert "is not a campaign but ConfigurationsData" in result.output


def test_ledger(call: Callable[..., Any], campaign: orm.WorkChainNode) -> None:
    facts = json.loads(call("ledger", campaign.pk, "--failed", "--json").output)
    assert facts["summary"]["outcomes"] == {"labelled": 1, "cached": 0, "failed": 1}
    assert [entry["frame"] for entry in facts["entries"]] == [1]
    shown = call("ledger", campaign.pk).output
    assert "it did not converge." in shown
    assert "1 labelled, 0 cached, 1 failed; 3 attempts, 6 s" in shown


def test_lineage_of_a_node(call: Callable[..., Any], labelled_frames: ConfigurationsData) -> None:
    facts = json.loads(call("lineage", labelled_frames.pk, "--frame", 2, "--json").output)
    assert facts["frame"] == 2
    assert facts["steps"][0]["hash"] == labelled_frames.hashes[2]
    assert call("lineage", labelled_frames.pk, "--frame", 2).output.startswith("frame 2")


def test_lineage_of_a_frame_that_is_not_there(call: Callable[..., Any], campaign: orm.WorkChainNode) -> None:
    result = call("lineage", campaign.pk, "--frame", 99)
    assert result.exit_code == 2
    assert "frame 99" in result.output


def test_export_writes_results_and_report(
    call: Callable[..., Any], campaign: orm.WorkChainNode, tmp_path: Path
) -> None:
    result = call("export", campaign.pk, "--to", tmp_path / "results", "--json")
    assert result.exit_code == 0, result.output
    paths = json.loads(result.output)
    assert set(paths) == {"data set", "potential", "manifest", "report"}
    assert all(Path(path).exists() for path in paths.values())


def test_export_of_a_folder_with_other_things_is_refused(
    call: Callable[..., Any], campaign: orm.WorkChainNode, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = call("export", campaign.pk, "--to", tmp_path)
    assert result.exit_code == 2
    assert (tmp_path / "thesis.tex").exists()


def test_report(call: Callable[..., Any], campaign: orm.WorkChainNode, tmp_path: Path) -> None:
    result = call("report", campaign.pk, "--to", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "page-figures").is_dir()
    assert call("report", campaign.pk, "--to", tmp_path / "bare.html", "--no-figures").exit_code == 0
    assert not (tmp_path / "bare-figures").exists()


def test_stop_leaves_a_users_daemon_alone(call: Callable[..., Any]) -> None:
    result = call("stop")
    assert result.exit_code == 2
    assert "it is yours, so its daemon is left alone; run `verdi daemon stop`." in result.output


def test_plugins_as_text_and_json() -> None:
    runner = CliRunner()
    assert "farthest_point" in runner.invoke(main, ["plugins", "selectors"]).output
    facts = json.loads(runner.invoke(main, ["plugins", "--json"]).output)
    assert "hdnnp" in {plugin["name"] for plugin in facts["engines"]}
    refused = runner.invoke(main, ["plugins", "cooks"])
    assert refused.exit_code == 2
    assert refused.output.startswith("Error: there is no kind of plug-in 'cooks'; the kinds are descriptors, engines, ")


# -- the display ------------------------------------------------------------------------------------------------------


def state(**changes: Any) -> CampaignState:
    facts = {
        "pk": 7, "uuid": "", "name": "small", "state": "waiting", "exit_status": None, "message": "", "started": "",
        "seconds": 3725.0, "iteration": 2, "stage": "label", "labels": 12, "max_labels": 20,
        "jobs": {"running": 2, "waiting": 1, "done": 5, "failed": 0}, "engine": "mace",
    }  # fmt: skip
    return CampaignState(**(facts | changes))


def shown(renderable: Any) -> str:
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=120)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_live_display_says_where_the_campaign_is() -> None:
    text = shown(display.render(state()))
    for part in (
        "small",
        "PK 7",
        "iteration 2: label",
        "mace",
        "1:02:05",
        "2 running, 1 waiting, 5 done, 0 failed",
        "12 of 20",
    ):
        assert part in text
    assert "hours" not in text


def test_live_display_says_what_is_spent_of_hours() -> None:
    text = shown(display.render(state(core_hours=123.4, max_core_hours=500.0, gpu_hours=1.0, max_gpu_hours=20.0)))
    assert re.search(r"core-hours +123 of 500", text)
    assert re.search(r"GPU-hours +1 of 20", text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "finished", "exit_status": 0, "decision": Decision(success=False, reason="spent.")}, "done: spent"),
        (
            {"state": "finished", "exit_status": 403, "message": "Labelling failed."},
            "ended as finished with exit code 403: Labelling failed.",
        ),
        ({"state": "killed"}, "ended as killed: see `verdi process report`"),
        ({"iteration": 0, "stage": "train"}, "bootstrap: train"),
    ],
)
def test_outcome_in_words(changes: dict[str, Any], text: str) -> None:
    assert display.outcome(state(**changes)) == text


def test_campaign_that_has_only_begun(profile: Any) -> None:
    node = orm.WorkChainNode()
    node.process_type = "aiida.workflows:bloomery.campaign"
    node.label = "young"
    node.set_process_state("created")
    node.store()
    young = campaign_state(node.pk)
    assert young.active
    assert (young.stage, young.labels, young.iterations) == ("begin", 0, [])
    assert "young" in shown(display.render(young))
    node.set_process_state("killed")
