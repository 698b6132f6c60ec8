"""Suspect labels and words on labels in a whole campaign: while it runs, when it has ended, and in the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from click.testing import CliRunner

from aiida_bloomery.cli import main
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.export import export
from aiida_bloomery.provenance.labels import check_word
from aiida_bloomery.provenance.lineage import lineage
from aiida_bloomery.provenance.progress import campaign_state
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.page import render
from aiida_bloomery.submission import words
from aiida_bloomery.submission.words import make_word, retraining_builder, say_word
from aiida_bloomery.workflows import standing
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.lookup import LookupLabellingWorkChain
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

pytestmark = pytest.mark.integration

ATOM = 4.63
"""Cohesive energy of silicon in eV (Kittel, Introduction to Solid State Physics, 8th ed., table 1)."""
WRONG = (3, 7)
"""Frames of the first file whose labels are wrong: an energy off by one atom, forces ten times what they are."""
STAGES: dict[str, Any] = {
    "bootstrap": {"samplers": ["from_file"], "selectors": ["duplicates", {"random": {"frames": 40}}]},
    "sampling": {"samplers": [{"from_file": {"frames": "more"}}]},
    "selection": {"selectors": ["duplicates", {"random": {"frames": 40}}]},
    "training": {"engine": {"hdnnp": {"members": 2, "steps": 30, "hidden": [4], "dtype": "float64"}}},
    "stop": {"max_iterations": 1, "min_iterations": 0, "max_labels": 60},
}


def with_mistakes(frames: Configurations) -> Configurations:
    """The same frames with two labels that cannot be right."""
    energies, forces = (frames.label(name)[0].copy() for name in ("energy", "forces"))
    energies[WRONG[0]] += ATOM
    forces[frames.offsets[WRONG[1]] : frames.offsets[WRONG[1] + 1]] *= 10
    return frames.with_labels(energy=energies, forces=forces)


class Case:
    """A campaign that has ended, during which one word was said, and what is right."""

    def __init__(self, campaign: orm.WorkChainNode, right: Configurations, batch: list[str]) -> None:
        self.campaign, self.right = campaign, right
        self.wrong = {right.hashes()[frame] for frame in WRONG}
        self.retracted, *self.others = batch

    def entry(self, content: str) -> dict[str, Any]:
        return next(entry for entry in ledger.entries(self.campaign) if entry["hash"] == content)

    def name(self, content: str) -> str:
        entry = self.entry(content)
        return f"{entry['iteration']}:{entry['frame']}"


@pytest.fixture(scope="module")
def case(bloomery_code: orm.InstalledCode, make_silicon: Callable[..., Configurations]) -> Case:
    """In its last iteration somebody retracts the label of a frame of the bootstrap that was trained on."""
    first, second = make_silicon(20, 0.1, 5, labelled=True), make_silicon(10, 0.1, 6, labelled=True)
    right = Configurations.concatenate([first, second])
    library = ConfigurationsData(Configurations.concatenate([with_mistakes(first), second])).store()
    builder = ReinforcementWorkChain.get_builder_from_protocol(
        bloomery_code,
        ConfigurationsData(first.without_labels()).store(),
        "lookup",
        LookupLabellingWorkChain.get_builder_from_protocol(bloomery_code, library),
        "fast",
        STAGES,
        frames={"more": ConfigurationsData(second.without_labels()).store()},
        device="cpu",
        seed=3,
    )
    batch: list[str] = []
    heard = standing.said_on

    def somebody_speaks(uuid: str) -> Any:
        campaign = orm.load_node(uuid=uuid)
        found = campaigns.data_set(campaign)
        if "batch_001" in found and not batch:
            node = found["batch_000"]
            roles = node.configurations.info["role"]
            batch.extend(node.hashes[index] for index in np.flatnonzero(roles == "train"))
            chosen = [entry for entry in ledger.entries(campaign) if entry["hash"] == batch[0]]
            say_word(campaign, make_word(campaign, "retract", chosen, "the cell was another"))
        return heard(uuid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "said_on", somebody_speaks)
        _, node = run_get_node(builder)
    assert node.is_finished_ok, (node.exit_status, node.exit_message)
    return Case(node, right, batch)


@pytest.fixture
def call(profile: Any) -> Callable[..., Any]:
    """Run a command: ``call("accept", ...)``."""
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments), "--profile", profile.name])


def test_planted_mistakes_are_kept_apart_and_stay_in_the_graph(case: Case) -> None:
    entries = [entry for entry in ledger.entries(case.campaign) if entry["outcome"] == "suspect"]
    assert {entry["hash"] for entry in entries} == case.wrong
    assert all(entry["was"] == "labelled" and entry["reason"].endswith(".") for entry in entries)
    held = {content for node in case.campaign.outputs.data_set.values() for content in node.hashes}
    assert not held & case.wrong
    assert case.wrong <= set(campaigns.all_labelled(case.campaign)["batch_000"].hashes)
    labels = case.campaign.outputs.history["iterations"][0]["labels"]
    assert (labels["suspect"], labels["labelled"]) == (2, 18)
    assert case.campaign.outputs.history["iterations"][0]["labels_total"] == 20
    assert "suspect" not in case.campaign.outputs.history["iterations"][1]["labels"]
    assert [entry["outcome"] for entry in case.campaign.outputs.ledger["entries"]].count("suspect") == 2


def test_a_healthy_batch_is_the_labelling_s_own_node(case: Case) -> None:
    labelled = campaigns.all_labelled(case.campaign)["batch_001"]
    assert case.campaign.outputs.data_set.batch_001.uuid == labelled.uuid


def test_a_running_campaign_heeds_a_word_at_its_next_training(case: Case) -> None:
    batch = case.campaign.outputs.data_set.batch_000
    assert case.retracted not in batch.hashes
    assert set(case.others) <= set(batch.hashes)
    history = case.campaign.outputs.history
    (word,) = history["iterations"][1]["words"]
    assert word["verb"] == "retract"
    assert word["why"] == "the cell was another"
    assert word["who"] == orm.User.collection.get_default().email
    assert word["potentials"] == [history["iterations"][0]["potential"]]
    (told,) = ledger.words(case.campaign)[:1]
    assert told.heeded
    assert [str(node.uuid) for node in told.potentials] == word["potentials"]
    assert case.entry(case.retracted)["outcome"] == "retracted"
    assert "the cell was another" in case.entry(case.retracted)["word"]


def test_lineage_of_a_frame_goes_on_past_what_kept_its_neighbours_apart(case: Case) -> None:
    steps = [step.kind for step in lineage(case.campaign, 0).steps]
    assert steps[0] == "label"
    assert steps[-1] == "structure"
    assert steps.count("label") == 1


def test_lineage_of_a_frame_that_is_not_trained_on_tells_what_was_said_of_it(case: Case) -> None:
    found = lineage(case.campaign, case.name(case.retracted))
    assert found.batch == "batch_000"
    assert found.steps[0].hash == case.retracted
    assert [step.kind for step in found.steps][-1] == "structure"
    assert "the cell was another" in found.lines()[1]
    suspect = lineage(case.campaign, min(case.wrong)[:12])
    assert suspect.lines()[1].strip().startswith("suspect: Its ")
    with pytest.raises(InputError, match="the ledger has no frame 7:0"):
        lineage(case.campaign, "7:0")


def test_status_and_report_say_what_waits(case: Case, call: Callable[..., Any]) -> None:
    state = campaign_state(case.campaign.pk)
    assert (state.suspect, state.unheeded) == (2, 0)
    assert "2 label(s) wait for a word" in call("status", case.campaign.pk).output
    page = render(collect(case.campaign))
    assert "2 labels are suspect, kept out of training, and wait for a word" in page
    assert "the cell was another" in page


def test_ledger_shows_suspects_and_costs(case: Case, call: Callable[..., Any]) -> None:
    facts = json.loads(call("ledger", case.campaign.pk, "--suspect", "--cost", "--json").output)
    assert {entry["hash"] for entry in facts["entries"]} == case.wrong
    assert facts["summary"]["outcomes"] == {
        "labelled": 27, "cached": 0, "failed": 0, "suspect": 2, "retracted": 1,
    }  # fmt: skip
    assert {name: cost["frames"] for name, cost in facts["cost"]["batch"].items()} == {"batch_000": 20, "batch_001": 10}
    shown = call("ledger", case.campaign.pk, "--suspect").output
    assert all(f"\n  {case.name(content)} " in shown for content in case.wrong)
    assert any("what its composition" in entry["reason"] for entry in facts["entries"])
    assert any("times that of frames like it" in entry["reason"] for entry in facts["entries"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("accept", "0:99", "--why", "x"), "the ledger has no frame 0:99"),
        (("accept", "nonsense", "--why", "x"), "nonsense: is no frame"),
        (("accept", "1:0", "--why", "x"), "frame 1:0 is trained on already"),
        (("retract", "0:0-19", "1:0-9", "--why", "x"), " is retracted already"),
        (("retract", "--query", "role = train and outcome = labelled", "--why", "x"), "nothing would be left"),
        (("retract", "--query", "colour = red", "--why", "x"), "no frame has 'colour'"),
        (("retract", "--job", "999999", "--why", "x"), "there is no such process"),
        (("retract", "--code-version", "vasp 6", "--why", "x"), "no label is from it; the versions are"),
        (("retract", "--why", "x"), "give frames, or one of"),
        (("set-aside", "1:0", "--why", "  "), "--why: is empty"),
        (("retry", "1:0", "--set", "nonsense=1", "--why", "x"), "the labeller has no such input"),
    ],
)
def test_what_cannot_be_said_is_one_sentence_and_leaves_nothing(
    case: Case, call: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    before = orm.QueryBuilder().append(orm.Node).count()
    result = call(arguments[0], case.campaign.pk, *arguments[1:])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert orm.QueryBuilder().append(orm.Node).count() == before


def test_no_campaign_has_this_name(call: Callable[..., Any]) -> None:
    for command in (("accept", "nobody", "0:1", "--why", "x"), ("retrain", "nobody")):
        result = call(*command)
        assert result.exit_code == 2
        assert "there is no campaign nobody" in result.output


def test_labels_of_one_job_are_found(case: Case) -> None:
    from aiida_bloomery.provenance.labels import of_job, of_query, of_version  # noqa: PLC0415

    entries = ledger.entries(case.campaign)
    job = orm.load_node(uuid=entries[0]["job"])
    assert {entry["batch"] for entry in of_job(entries, str(job.pk))} == {"batch_000"}
    versions = job.outputs.ledger.base.attributes.get("versions", None) or {}
    name, version = next(iter(versions.items())) if versions else ("", "")
    if name:
        assert of_version(entries, f"{name} {version}") == entries
    found = of_query(case.campaign, entries, "iteration = 1 and energy_per_atom < 0")
    assert len(found) == 10


def test_the_whole_probe_may_go_but_not_all_that_is_trained_on(case: Case) -> None:
    entries = ledger.entries(case.campaign)
    free = [entry for entry in entries if entry["outcome"] == "labelled"]
    word = make_word(case.campaign, "retract", free, "all")
    with pytest.raises(InputError, match="nothing would be left to train on"):
        check_word(case.campaign, entries, free, word)


def test_after_words_the_campaign_is_trained_again(case: Case, call: Callable[..., Any], tmp_path: Path) -> None:
    """A suspect label is accepted, the other set aside, a label of the last iteration retracted."""
    accepted, aside = sorted(case.wrong)
    gone = next(
        content
        for content, role in zip(
            case.campaign.outputs.data_set.batch_001.hashes,
            case.campaign.outputs.data_set.batch_001.configurations.info["role"],
            strict=True,
        )
        if role == "train"
    )
    said = [
        call("accept", case.campaign.pk, case.name(accepted), "--why", "looked at it", "--no-train"),
        call("set-aside", case.campaign.pk, aside[:10], "--why", "not worth it", "--no-train"),
        call("retract", case.campaign.pk, case.name(gone), "--why", "wrong smearing", "--no-train"),
    ]
    assert [result.exit_code for result in said] == [0, 0, 0], [result.output for result in said]
    assert "No training has heeded it yet" in said[2].output
    assert str(case.campaign.outputs.potential.pk) in said[2].output
    state = campaign_state(case.campaign.pk)
    assert (state.suspect, state.unheeded) == (0, 3)

    results, node = run_get_node(retraining_builder(case.campaign))
    assert node.is_finished_ok, (node.exit_status, node.exit_message)
    held = {content for batch in results["data_set"].values() for content in batch.hashes}
    assert accepted in held
    assert not held & {aside, gone, case.retracted}
    assert campaigns.potential(case.campaign).uuid == results["potential"].uuid
    assert {key: batch.uuid for key, batch in campaigns.data_set(case.campaign).items()} == {
        key: batch.uuid for key, batch in results["data_set"].items()
    }
    record = campaigns.record(case.campaign)
    (again,) = record.retrained
    assert again.before == str(case.campaign.outputs.potential.uuid)
    assert record.final.potential == str(results["potential"].uuid)
    assert record.delivered.n_frames > 0
    assert [word.verb for word in again.words] == ["accept", "set_aside", "retract"]
    assert str(case.campaign.outputs.potential.uuid) in again.words[2].potentials
    assert campaign_state(case.campaign.pk).unheeded == 0
    assert all(told.heeded for told in ledger.words(case.campaign))

    manifest = json.loads((export(case.campaign, tmp_path / "export") / "manifest.json").read_text())
    assert manifest["potential"]["uuid"] == str(results["potential"].uuid)
    assert any("wrong smearing" in sentence for sentence in manifest["words"])
    assert "wrong smearing" in render(collect(case.campaign))


def test_a_frame_is_labelled_again(case: Case, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first library was wrong; with another the frame's label is right, and what is trained then learns from it."""
    content = min(case.wrong)
    first = campaigns.all_labelled(case.campaign)["batch_000"]
    role = first.configurations.info["role"][first.hashes.index(content)]
    started: list[orm.WorkChainNode] = []

    def at_once(builder: Any, _home: Any) -> tuple[int, list[str]]:
        """Run here what the commands leave to the daemon."""
        if "word" in builder:
            builder.labelling["library"] = ConfigurationsData(case.right).store()
        started.append(run_get_node(builder)[1])
        return started[-1].pk, []

    monkeypatch.setattr(words, "submit_checked", at_once)
    arguments = (case.name(content), "--set", "max_failed_share=0.25", "--why", "the library was wrong")
    result = call("retry", case.campaign.pk, *arguments)
    assert result.exit_code == 0, result.output
    assert "tried again by" in result.output
    assert started[0].inputs.labelling.max_failed_share.value == 0.25
    assert started[0].outputs.labelled.hashes == [content]
    assert case.entry(content)["outcome"] == "labelled"
    assert case.entry(content)["job"] == started[0].outputs.labelled.configurations.info["label_uuid"][0]
    assert campaign_state(case.campaign.pk).unheeded == 1

    result = call("retrain", case.campaign.pk)
    assert result.exit_code == 0, result.output
    assert "Trained: force RMSE" in result.output
    batch = campaigns.data_set(case.campaign)["batch_000"]
    assert batch.uuid == started[1].outputs.data_set.batch_000.uuid
    index = batch.hashes.index(content)
    right = case.right.label("energy")[0][case.right.hashes().index(content)]
    assert batch.configurations.label("energy")[0][index] == pytest.approx(right)
    assert batch.configurations.info["role"][index] == role
    assert next(step.kind for step in lineage(batch, index).steps) == "label"
    assert [len(part.words) for part in campaigns.record(case.campaign).retrained] == [3, 1]
