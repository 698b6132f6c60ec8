"""The campaign file: what it may say, and one sentence for every mistake before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner
from tests.campaign_text import GOOD

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.budget import expected_cost
from aiida_bloomery.campaign_file.builder import digest_mark
from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.cost import plan_campaign
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.labellers.quantumespresso import Part as QuantumEspresso
from aiida_bloomery.campaign_file.schema import describe_plugins, schema
from aiida_bloomery.cli import main
from bloomery.campaign.words import Cost
from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.reference.teachers import teacher_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))


@cache
def validator() -> Any:
    """Checking the schema itself takes longer than all campaigns."""
    made = schema()
    kind = jsonschema.validators.validator_for(made)
    kind.check_schema(made)
    return kind(made)


def fits(text: str) -> None:
    """Raise unless a campaign fits the schema."""
    validator().validate(yaml.safe_load(text))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with structures, good and bad."""
    silicon = bulk("Si", cubic=True)
    frames = {
        "si8": silicon,
        "slab": Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[8, 8, 20], pbc=[True, True, False]),
        "tight": Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]], cell=[8, 8, 5], pbc=[True, True, False]),
        "long": Atoms("Si2", [[0, 0, 0], [0, 0, 9]], cell=[20, 20, 8], pbc=False),
        "standing": Atoms("Si2", [[0, 0, 0], [0, 2.3, 0]], cell=[8, 30, 8], pbc=[True, False, True]),
        "close": Atoms("Si2", [[0, 0, 0], [0.3, 0, 0]], cell=[5, 5, 5], pbc=True),
        "flat": Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[[5, 0, 0], [5, 0, 0], [0, 0, 5]], pbc=True),
        "huge": Atoms("Si", [[0, 0, 0]], cell=[100, 100, 100], pbc=True),
        "ghost": Atoms("X2", [[0, 0, 0], [2.3, 0, 0]], cell=[5, 5, 5], pbc=True),
        "sodium": Atoms("Na2", [[0, 0, 0], [2.3, 0, 0]], cell=[5, 5, 5], pbc=True),
    }
    for name, atoms in frames.items():
        write(tmp_path / f"{name}.extxyz", atoms, format="extxyz")
    (tmp_path / "text.extxyz").write_text("not a structure")
    (tmp_path / "Na.upf").write_text('<UPF version="2.0.1">\n<PP_HEADER element="Na" functional="PBE" z_valence="1"/>')
    return tmp_path


def loaded(folder: Path, text: str) -> Campaign:
    """The campaign of a file with this text."""
    file = folder / "campaign.yaml"
    file.write_text(text)
    return load_campaign(file)[0]


def edited(*changes: tuple[str, str]) -> str:
    """The good file with pieces of its text replaced."""
    text = GOOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def check(folder: Path, text: str, *options: str) -> Any:
    """Run ``check`` on a file with this text."""
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["check", str(folder / "campaign.yaml"), "--file-only", *options])


def message_of(result: Any, folder: Path) -> str:
    """The error that was printed, with paths relative to the folder."""
    return result.output.removeprefix("Error: ").strip().replace(f"{folder}/", "")


MISTAKES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("campaign_file_mistakes.yaml").read_text(encoding="utf-8")
)


def mistaken(mistake: dict[str, Any]) -> str:
    """The text with a mistake in it."""
    if "text" in mistake:
        return str(mistake["text"])
    return edited(*mistake.get("replace", {}).items()) + mistake.get("append", "") + "\n"


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_gives_one_sentence_and_exit_status_2(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = check(folder, mistaken(MISTAKES[name]))
    assert result.exit_code == 2, result.output
    said = message_of(result, folder)
    # Parts in braces are what libraries say, or what is registered.
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(MISTAKES[name]["says"]))
    assert re.fullmatch(pattern, said), said


def test_good_file_passes_and_prints_its_plan(folder: Path) -> None:
    result = check(folder, GOOD, "--json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.output)["plan"]
    # two temperatures of 100 steps in each of three iterations
    assert plan["md_steps"] == 3 * 2 * 100
    assert plan["trainings"] == 1 + 3 + 1
    assert plan["labels"] == 15 + 3 * 8


@pytest.mark.slow
def test_shares_and_schedules_are_shown_and_count_in_the_plan(folder: Path) -> None:
    sampler = "{md: {temperatures: [300], steps: 100, interval: 10}, share: 70 %, schedule: ["
    sampler += "{iteration: 2, settings: {steps: 500}}, {below: {relative_forces: 20 %}, settings: {interval: 20}}]}"
    text = edited(("md: {temperatures: [300, 900], steps: 100, interval: 10}", f"{sampler}, rattle_strain: {{}}"))
    result = check(folder, text)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "md: 70% of the selected frames; from iteration 2 on: steps 500; once the error is below 0.2" in said
    plan = json.loads(check(folder, text, "--json").output)["plan"]
    assert plan["md_steps"] == 3 * 500
    fits(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_examples_pass(path: Path) -> None:
    result = CliRunner().invoke(main, ["check", "--file-only", str(path)])
    assert result.exit_code == 0, result.output


def test_twenty_lines_are_enough() -> None:
    text = (ROOT / "examples" / "silicon" / "campaign.yaml").read_text()
    assert len([line for line in text.splitlines() if line.strip() and not line.startswith("#")]) <= 20


def test_rehearsal_replaces_the_labeller(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(GOOD)
    campaign, _ = load_campaign(folder / "campaign.yaml", rehearsal=True)
    assert campaign.file.labelling == {"calculator": {"calculator": {"name": "stillinger_weber", "arguments": {}}}}


def test_rehearsal_without_a_teacher_is_refused(folder: Path) -> None:
    result = check(folder, edited(("si8", "sodium")), "--rehearse")
    assert result.exit_code == 2
    assert message_of(result, folder).startswith(
        "campaign.yaml, line 2: structures: this campaign cannot be rehearsed: no teacher covers Na together;"
    )


def test_reference_method_drives_reference_md(folder: Path) -> None:
    text = edited(("rattle_strain: {frames: 24}", "reference_md: {steps: 240, interval: 10}"))
    assert check(folder, text).exit_code == 0
    campaign, _ = load_campaign(folder / "campaign.yaml", rehearsal=True)
    ((_, sampler),) = campaign.samplers("bootstrap")
    assert sampler.settings["calculator"]["name"] == "stillinger_weber"


TWO = """\
labelling:
  use: fine
  fine: {quantumespresso: {kpoints: {mesh: [2, 2, 2], shift: [1, 1, 1]}, ecutwfc: 30 Ry}}
  coarse: {quantumespresso: {kpoints: {mesh: [1, 1, 1]}, ecutwfc: 12 Ry}}
  quick: {calculator: {calculator: stillinger_weber}}
"""
ONE = GOOD[GOOD.index("labelling:") : GOOD.index("training:")]


def driven_by(*names: str) -> str:
    """The good file with two bootstrap samplers that labellers of these names drive."""
    samplers = "".join(f"reference_md: {{steps: 240, interval: 10}}, labelling: {name}}}, {{" for name in names)
    return edited((ONE, TWO), ("[rattle_strain: {frames: 24}]", f"[{{{samplers}rattle_strain: {{frames: 24}}}}]"))


def test_of_several_labellers_one_labels_and_others_drive_dynamics(folder: Path) -> None:
    file = folder / "campaign.yaml"
    text = driven_by("coarse", "quick", "fine")
    fits(text)
    file.write_text(text)
    campaign, notes = load_campaign(file)
    assert (campaign.file.labeller, campaign.labeller_words) == ("quantumespresso", "labelling.fine.quantumespresso")
    assert labeller(campaign).ecutwfc == 30
    specs = [spec for _, spec in campaign.samplers("bootstrap")]
    # A calculator is lent, and the labeller that labels need not be named.
    assert [spec.labelling for spec in specs] == ["coarse", None, None, None]
    assert specs[1].settings["calculator"] == "stillinger_weber"
    assert "calculator" not in specs[2].settings
    ((name, view),) = campaign.drivers.items()
    assert name == "coarse"
    assert labeller(view).ecutwfc == 12
    assert not [note for note in notes if "drives" in note]
    rehearsed, _ = load_campaign(file, rehearsal=True)
    assert [spec.labelling for _, spec in rehearsed.samplers("bootstrap")] == [None] * 4
    assert {spec.settings["calculator"]["name"] for _, spec in rehearsed.samplers("bootstrap")[:3]} == {
        "stillinger_weber"
    }


def test_a_labeller_that_does_nothing_is_told_and_one_that_cannot_be_used_is_refused(folder: Path) -> None:
    file = folder / "campaign.yaml"
    file.write_text(driven_by("quick"))
    assert (
        "labelling.coarse: neither labels nor drives a sampler; name it beside one: labelling: coarse."
        in (load_campaign(file)[1])
    )
    file.write_text(driven_by("coarse").replace("12 Ry", "12 Ry, moments: {Fe: 1}"))
    with pytest.raises(InputError, match=r"line 13: labelling\.coarse\.quantumespresso\.moments.*Fe"):
        load_campaign(file)


def test_one_labeller_alone_means_the_same_campaign_as_ever(folder: Path) -> None:
    file = folder / "campaign.yaml"
    file.write_text(GOOD)
    campaign, _ = load_campaign(file)
    dumped = campaign.file.model_dump(mode="json")
    assert [*dumped["labelling"]] == ["quantumespresso"]
    assert [*dumped["sampling"][0]] == ["name", "settings", "share", "schedule"]
    assert (campaign.file.labellings, campaign.drivers) == ({}, {})


def test_targets_of_the_file_replace_those_of_the_protocol(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(GOOD)
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert campaign.settings["stop"]["targets"] == {"energy": 5.0, "forces": 100.0}
    (folder / "campaign.yaml").write_text(edited(("forces: 100 meV/Å, energy: 5 meV/atom, ", "")))
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert campaign.settings["stop"]["targets"] == {"relative_forces": 0.2}


def test_a_plateau_is_passed_on_as_it_stands(folder: Path) -> None:
    file = folder / "campaign.yaml"
    file.write_text(edited(("stop: {", "stop: {plateau: {gain: 2 %, per_label: 0.1 meV/Å}, ")))
    assert load_campaign(file)[0].settings["stop"]["plateau"] == {"gain": 0.02, "per_label": 0.1}
    file.write_text(edited(("stop: {", "stop: {plateau: {iterations: 4}, ")))
    with pytest.raises(InputError, match=r"stop\.plateau.*has no limit"):
        load_campaign(file)


def test_overlapping_stages_make_another_campaign(folder: Path) -> None:
    plain, other, overlapping = (loaded(folder, GOOD + line) for line in ("", "pipeline: false\n", "pipeline: true\n"))
    assert digest_mark(plain) == digest_mark(other) != digest_mark(overlapping)
    fits(GOOD + "pipeline: true\n")


def test_limits_of_suspect_labels_are_passed_on_and_nothing_is_where_none_are_given(folder: Path) -> None:
    file = folder / "campaign.yaml"
    file.write_text(GOOD)
    plain, _ = load_campaign(file)
    assert "suspects" not in plain.settings
    file.write_text(f"{GOOD}\nsuspects: {{energy: 50 meV/atom}}\n")
    limited, _ = load_campaign(file)
    assert limited.settings["suspects"]["energy"] == pytest.approx(0.05)
    assert digest_mark(limited) != digest_mark(plain)
    file.write_text(f"{GOOD}\nsuspects: {{energy: 50 fs}}\n")
    with pytest.raises(InputError, match=r"suspects\.energy"):
        load_campaign(file)


def test_core_hours_of_a_plateau_are_those_of_the_labellers_program(folder: Path) -> None:
    file = folder / "campaign.yaml"
    limit = "plateau: {per_core_hour: 0.1 meV/Å"
    eight = ("cores: 1", "cores: 8")
    file.write_text(edited(("stop: {", f"stop: {{{limit}}}, "), eight))
    assert load_campaign(file)[0].settings["stop"]["plateau"] == {"per_core_hour": 0.1, "cores": 8}
    file.write_text(edited(("stop: {", f"stop: {{{limit}, cores: 3}}, "), eight))
    assert load_campaign(file)[0].settings["stop"]["plateau"]["cores"] == 3


def test_a_reference_trajectory_is_counted_and_compared_like_with_like(folder: Path) -> None:
    file = folder / "campaign.yaml"
    wanted = "validation: {final: [rdf], reference_trajectory: {reference_md: {temperatures: [900], steps: 200}}}\n"
    file.write_text(GOOD + wanted)
    campaign, notes = load_campaign(file)
    assert plan_campaign(campaign).validation.md_steps == 200
    assert any("rdf averages at 300 K in a 1x1x1 supercell, and the reference trajectory at 900 K" in n for n in notes)
    file.write_text(GOOD + wanted.replace("[900]", "[300]"))
    assert not [note for note in load_campaign(file)[1] if "rdf averages" in note]
    calculator = ("labelling: {quantumespresso: {kpoints: {mesh: [2, 2, 2], shift: [1, 1, 1]}, ecutwfc: 30 Ry}}",
                  "labelling: {calculator: {calculator: stillinger_weber}}")  # fmt: skip
    file.write_text(edited(calculator) + wanted)
    spec = load_campaign(file)[0].settings["validation"]["reference_trajectory"]
    assert spec["settings"]["calculator"] == "stillinger_weber"


def test_a_calculator_may_live_only_where_labels_are_computed(folder: Path) -> None:
    file = folder / "campaign.yaml"
    text = GOOD[: GOOD.index("labelling:")] + 'labelling: {calculator: {calculator: "nowhere.at:All"}}\n'
    for codes in ("", "codes: {label: bloomery@localhost}\n"):
        file.write_text(text + codes)
        with pytest.raises(InputError, match="No module named 'nowhere'"):
            load_campaign(file)
    for codes in ("codes: {label: bloomery@cluster}\n", "codes: {bloomery: bloomery@cluster}\n"):
        file.write_text(text + codes)
        assert any("nowhere.at is not installed here" in note for note in load_campaign(file)[1])


def test_a_bootstrap_of_one_block_is_told_of(folder: Path) -> None:
    file, frames = folder / "campaign.yaml", [bulk("Si", cubic=True)] * 12
    write(folder / "run.extxyz", frames)

    def told(block_frames: int, more: str = "") -> bool:
        sampler = f"from_file: {{file: run.extxyz, block_frames: {block_frames}}}"
        file.write_text(
            edited(("rattle_strain: {frames: 24}", sampler), ("random: {frames: 12}", "random: {frames: 6}")) + more
        )
        return any("all its frames are of one block" in note for note in load_campaign(file)[1])

    assert told(12)
    assert told(100)
    assert not told(6)
    assert not told(12, "roles: {probe_share: 0, min_probe: 0}\n")


def test_one_number_of_iterations_is_the_upper_bound(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(edited(("{min: 1, max: 3}", "0")))
    campaign, _ = load_campaign(folder / "campaign.yaml")
    stop = campaign.settings["stop"]
    assert (stop["min_iterations"], stop["max_iterations"]) == (0, 0)


def test_supercell_and_index_of_structures(folder: Path) -> None:
    write(folder / "three.extxyz", [bulk("Si", a=a) for a in (5.3, 5.4, 5.5)], format="extxyz")
    entry = "[si8.extxyz, {file: three.extxyz, index: '1:', supercell: [2, 1, 1]}]"
    (folder / "campaign.yaml").write_text(edited(("[si8.extxyz]", entry)))
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert campaign.structures.counts.tolist() == [8, 4, 4]
    np.testing.assert_allclose(campaign.structures.volumes[1:], [2 * 5.4**3 / 4, 2 * 5.5**3 / 4])


def test_notes_say_when_a_target_cannot_be_reached(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(edited(("iterations: {min: 1, max: 3}", "iterations: 1")))
    _, notes = load_campaign(folder / "campaign.yaml")
    assert notes == ["stop: targets wait for 6 probe frames; the campaign draws 5 at most, so none is reached."]


# -- schema -----------------------------------------------------------------------------------------------------------


def test_control_arm_is_planned_and_its_labels_count(folder: Path) -> None:
    with_control = GOOD + "control: {arm: farthest_point}\n"
    plan = json.loads(check(folder, with_control, "--json").output)["plan"]
    # six frames for each arm and two of the probe in each of three iterations
    assert plan["iteration"] == {"pool": 22, "md_steps": 200, "selected": 6, "probe": 2, "control": 6}
    assert plan["labels"] == 15 + 3 * 14
    # three of the control in the loop; of three final trainings of each arm one is the delivered potential's
    assert plan["trainings"] == 5 + 3 + 5
    assert "control" in check(folder, with_control).output
    tight = with_control.replace("labels: 60", "labels: 40")
    assert json.loads(check(folder, tight, "--json").output)["plan"]["labels"] == 40
    fits(with_control)


@pytest.mark.parametrize(
    "arm", ["random", "[random]", "{random: {frames: 3}}", "{name: farthest_point, settings: {min_distance: 0.1}}"]
)
def test_forms_of_a_control_arm(folder: Path, arm: str) -> None:
    (folder / "campaign.yaml").write_text(GOOD + f"control: {{arm: {arm}, trainings: 2}}\n")
    campaign, _ = load_campaign(folder / "campaign.yaml")
    ((_, spec),) = campaign.control_selectors()
    assert spec.name in {"random", "farthest_point"}
    assert spec.settings["frames"] == (3 if "frames" in arm else 6)
    assert campaign.settings["control"]["trainings"] == 2


VALIDATED = """\
validation:
  each_iteration: [equation_of_state]
  final: [elastic, rdf]
  structures: {file: three.extxyz, index: 0}
  test_set: labelled.extxyz
"""


def test_single_points_of_validation_are_planned_and_do_not_count_as_labels(folder: Path) -> None:
    write(folder / "three.extxyz", [bulk("Si", a=a) for a in (5.3, 5.4, 5.5)], format="extxyz")
    labelled = bulk("Si")
    labelled.calc = teacher_for(["Si"]).make()
    labelled.get_forces()
    write(folder / "labelled.extxyz", labelled, format="extxyz")
    plan = json.loads(check(folder, GOOD + VALIDATED, "--json").output)["plan"]
    # nine volumes; 13 strains and both ways along three directions of one atom; the unstrained crystal is in both
    assert plan["validation"] == {"observables": {"elastic": 19, "equation_of_state": 9}, "labels": 27, "md_steps": 0}
    assert plan["labels"] == 15 + 3 * 8
    assert "elastic 19, equation_of_state 9" in check(folder, GOOD + VALIDATED).output
    fits(GOOD + VALIDATED)
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert sorted(campaign.validation) == ["structures", "test_set"]
    assert campaign.validation["structures"].counts.tolist() == [2]
    assert campaign.settings["validation"]["each_iteration"] == [{"name": "equation_of_state", "settings": {}}]


def test_a_list_of_observables_is_measured_at_the_end(folder: Path) -> None:
    text = GOOD + "validation: [elastic, phonons: {supercell: [1, 1, 1]}]\n"
    (folder / "campaign.yaml").write_text(text)
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert [spec["name"] for spec in campaign.settings["validation"]["final"]] == ["elastic", "phonons"]
    assert campaign.settings["validation"]["each_iteration"] == []
    fits(text)


def test_targets_of_observables_replace_those_of_the_protocol(folder: Path) -> None:
    stop = ("forces: 100 meV/Å, energy: 5 meV/atom", "observables: {equation_of_state.a: 0.5 %, elastic.C11: agree}")
    (folder / "campaign.yaml").write_text(edited(stop) + "validation: {each_iteration: [equation_of_state, elastic]}\n")
    campaign, notes = load_campaign(folder / "campaign.yaml")
    assert campaign.settings["stop"]["targets"] == {}
    assert campaign.settings["stop"]["observables"] == {
        "equation_of_state.a": {"limit": 0.5, "unit": "%"},
        "elastic.C11": {"limit": None, "unit": ""},
    }
    assert notes == []


def test_without_a_control_arm_there_is_none(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(GOOD)
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert "control" not in campaign.settings
    assert campaign.control_selectors() == []
    plan = json.loads(check(folder, GOOD, "--json").output)["plan"]
    assert plan["iteration"]["control"] == plan["control_trainings"] == 0


@pytest.mark.slow
def test_schema_is_printed_and_written(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["schema"]).output
    CliRunner().invoke(main, ["schema", "--to", str(tmp_path / "campaign.schema.json")], catch_exceptions=False)
    assert printed == (tmp_path / "campaign.schema.json").read_text(encoding="utf-8")
    assert json.loads(printed) == schema()


@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_every_protocol_can_reach_its_targets(folder: Path, protocol: str) -> None:
    text = f"name: a\nstructures: [si8.extxyz]\nprotocol: {protocol}\nlabelling: {{quantumespresso: {{}}}}\n"
    result = check(folder, text)
    assert result.exit_code == 0, result.output
    assert "??" not in result.output, result.output


def test_what_is_in_the_file_wins_key_by_key(folder: Path) -> None:
    """The bootstrap's selection alone leaves its samplers to the protocol; a budget of null is none."""
    text = edited(("  samplers: [rattle_strain: {frames: 24}]\n", ""), ("labels: 60", "labels: null"))
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    campaign, _ = load_campaign(folder / "campaign.yaml")
    (_, sampler), *others = campaign.samplers("bootstrap")
    assert (sampler.name, sampler.settings, others) == ("rattle_strain", {"frames": 24}, [])
    assert [spec.name for _, spec in campaign.selectors("bootstrap")] == ["sanity", "random"]
    assert campaign.stop.max_labels is None


def test_a_rehearsal_is_not_measured_on_what_the_reference_said() -> None:
    file = ROOT / "examples" / "silicon" / "campaign.yaml"
    assert set(load_campaign(file)[0].validation) == {"test_set"}
    with pytest.warns(DataWarning, match=r"validation.test_set: is of the reference method, and left out"):
        campaign, _ = load_campaign(file, rehearsal=True)
    assert not campaign.validation


def test_budgets_of_hours_are_stop_rules(folder: Path) -> None:
    gpus = "codes: {train: {gpus: 1}, pw: {"
    text = edited(("labels: 60", "core_hours: 500, gpu_hours: 20"), ("codes: {pw: {", gpus))
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    campaign, notes = load_campaign(folder / "campaign.yaml")
    assert (campaign.stop.core_hours, campaign.stop.gpu_hours) == (500, 20)
    assert not any("hours" in note for note in notes)
    (folder / "campaign.yaml").write_text(text.replace(gpus, "codes: {pw: {"), encoding="utf-8")
    assert (
        "stop.gpu_hours: nothing under codes asks for GPUs, so that none are counted; say gpus there."
        in (load_campaign(folder / "campaign.yaml")[1])
    )


@pytest.mark.parametrize(
    ("limit", "level", "words"),
    [
        (None, "fine", "by 40 with these settings, so that 39 at most take about 3.9 core-hours"),
        (3, "fine", "stop.core_hours ends the campaign after 3"),
        (1, "warning", "the 15 of the bootstrap alone take about 1.5, and stop.core_hours is 1: allow more"),
    ],
)
def test_what_labels_may_cost_is_held_against_the_budget(
    folder: Path, limit: float | None, level: str, words: str
) -> None:
    """At 360 core-seconds each: 15 labels of the bootstrap and 8 of each iteration."""
    change = ("labels: 60", "labels: 60" if limit is None else f"labels: 60, core_hours: {limit}")
    (folder / "campaign.yaml").write_text(edited(change), encoding="utf-8")
    campaign, _ = load_campaign(folder / "campaign.yaml")
    found = expected_cost(campaign, Cost(frames=40, attempts=41, core_seconds=40 * 360.0))
    assert found.level == level
    assert words in found.detail


def test_a_bootstrap_that_takes_all_labels_is_told(folder: Path) -> None:
    told = "the bootstrap takes all 15 labels, so that no iteration follows"
    assert told in check(folder, edited(("labels: 60", "labels: 15"))).output
    assert told not in check(folder, edited(("labels: 60", "labels: 16"))).output


def test_a_state_that_the_labeller_cannot_be_told_is_refused(folder: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.info |= {"charge": 1, "spin": 2}
    write(folder / "si8.extxyz", atoms, format="extxyz")
    assert check(folder, edited()).exit_code == 0
    result = check(folder, edited(("ecutwfc: 30 Ry", "parameters: {SYSTEM: {nspin: 1}}")))
    assert result.exit_code == 2
    said = "structures: frame 0: spin: is 2, which needs collinear spins, and SYSTEM says otherwise"
    assert said in " ".join(result.stderr.split())


def test_charged_structures_are_taken(folder: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.info["charge"] = 2
    write(folder / "si8.extxyz", atoms, format="extxyz")
    assert check(folder, edited()).exit_code == 0


@pytest.mark.parametrize(
    ("charge", "problem"),
    [("neutral", "is the text 'neutral'"), ('"0 0 1"', "is 3 numbers"), ("nan", "is nan"), ("T", "is a truth value")],
)
def test_charges_that_are_none_are_refused(folder: Path, charge: str, problem: str) -> None:
    write(folder / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")
    lines = (folder / "si8.extxyz").read_text().splitlines()
    lines[1] += f" charge={charge}"
    (folder / "si8.extxyz").write_text("\n".join(lines) + "\n")
    result = check(folder, edited())
    assert result.exit_code == 2
    assert f"frame 0: charge: {problem}" in " ".join(result.stderr.split())


def test_lengths_and_shares_may_carry_a_unit(folder: Path) -> None:
    text = edited(
        ("rattle_strain: {frames: 24}", "rattle_strain: {frames: 24, rattle: [0.02 Å, 0.15 Å], strain: 3 %}"),
        ("{members: 4}", "{members: 4, share: 80 %, descriptor: {power_spectrum: {cutoff: 0.5 nm}}}"),
        ("steps: 100, ", "steps: 100, strains: [-2 %, 0], "),
    )
    result = check(folder, text + "roles: {probe_share: 20 %}\n")
    assert result.exit_code == 0, result.output
    campaign, _ = load_campaign(folder / "campaign.yaml")
    assert campaign.selection.roles.probe_share == 0.2
    assert campaign.stage("bootstrap").samplers[0].load("samplers").settings.strain == 0.03


def test_one_mesh_for_cells_of_different_size_is_told(folder: Path) -> None:
    write(folder / "si64.extxyz", bulk("Si", cubic=True) * 2, format="extxyz")
    text = edited(("[si8.extxyz]", "[si8.extxyz, si64.extxyz]"))
    told = "one mesh for cells of 8, 64 atoms puts k-points 0.29 to 0.58 1/Å apart"
    assert told in check(folder, text).output
    assert told not in check(folder, edited()).output
    distance = edited(("{mesh: [2, 2, 2], shift: [1, 1, 1]}", "{distance: 0.3 1/Å}"), ("[si8", "[si64.extxyz, si8"))
    assert "one mesh" not in check(folder, distance).output


def test_a_path_that_the_system_refuses_is_one_sentence(folder: Path) -> None:
    result = check(folder, edited(("si8.extxyz", "a" * 300)))
    assert result.exit_code == 2
    assert "aaa: cannot be used: file name too long" in result.output


def test_numbers_of_pw_are_numbers_however_they_are_spelt(folder: Path) -> None:
    """YAML takes 1e-8 for a text, which pw.x would not read."""
    given = "{electrons: {conv_thr: 1e-8, Mixing_Beta: 1.5D-1}, SYSTEM: {Noncolin: .TRUE., nbnd: 1e1, degauss: 1d-2}}"
    (folder / "campaign.yaml").write_text(edited(("ecutwfc: 30 Ry", f"ecutwfc: 30 Ry, parameters: {given}")))
    part = labeller(load_campaign(folder / "campaign.yaml")[0])
    assert isinstance(part, QuantumEspresso)
    assert part.namelists == {
        "ELECTRONS": {"conv_thr": 1e-8, "mixing_beta": 0.15},
        "SYSTEM": {"noncolin": True, "nbnd": 10, "degauss": 0.01},
    }
    assert [type(value) for value in part.namelists["SYSTEM"].values()] == [bool, int, float]


def test_variables_that_may_be_of_a_newer_pw_are_told(folder: Path) -> None:
    result = check(folder, edited(("ecutwfc: 30 Ry", "ecutwfc: 30 Ry, parameters: {SYSTEM: {quux: 3}}")))
    assert result.exit_code == 0, result.output
    assert "parameters.SYSTEM.quux: pw.x up to 7.5 has no such variable" in " ".join(result.output.split())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_examples_fit_the_schema(path: Path) -> None:
    fits(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "change",
    [("seed: 1", "sed: 1"), ("[md:", "[mc:"), ("steps: 100", "step: 100"), ("protocol: fast", "protocol: quick")],
    ids=lambda change: change[1],
)
def test_schema_refuses(change: tuple[str, str]) -> None:
    fits(GOOD)
    with pytest.raises(jsonschema.ValidationError):
        fits(edited(change))


def test_every_key_is_described() -> None:
    found = schema()
    owners = {"": found, **found["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, owner in owners.items()
        for key, value in owner.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []


def test_plugins_are_described_with_their_settings() -> None:
    found = describe_plugins("sampler")
    assert list(found) == ["samplers"]
    rattle = next(plugin for plugin in found["samplers"] if plugin.name == "rattle_strain")
    frames = rattle.settings[0]
    assert (frames.name, frames.type, frames.required, frames.default) == ("frames", "int", False, 20)
    assert {"name", "summary", "module", "settings"} == set(rattle.as_dict())
    with pytest.raises(InputError, match="there is no kind of plug-in 'cook'"):
        describe_plugins("cook")


def test_what_may_not_be_meant_of_boxes_is_said(folder: Path) -> None:
    crystal = bulk("Si", cubic=True)
    crystal.info["charge"] = 1
    slab = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[4, 4, 15], pbc=True)
    ion = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], info={"charge": 1})
    told = "frame 0 is charged and sees its periodic images"
    hollow = "frame 0 has 15.0 Å of empty space along its third vector and is periodic there"
    for atoms, change, expected in (
        (crystal, "ecutwfc: 30 Ry", [told]),
        (slab, "ecutwfc: 30 Ry", [hollow, 'pbc="T T F"']),
        (ion, "ecutwfc: 30 Ry", []),
        (ion, "boundaries: {molecules: none}", [told, "choose a correction (boundaries.molecules)"]),
    ):
        write(folder / "si8.extxyz", atoms, format="extxyz")
        result = check(folder, edited(("ecutwfc: 30 Ry", change)))
        assert result.exit_code == 0, result.output
        said = " ".join(result.output.split())
        assert all(words in said for words in expected), said
        assert expected or (told not in said and "empty space" not in said)


def test_a_shell_that_a_file_lacks_is_named_before_a_profile_is_there(folder: Path) -> None:
    header = '<UPF version="2.0.1">\n<PP_HEADER element="Si" functional="PBE" z_valence="4"/>\n'
    (folder / "Si.upf").write_text(
        header + '<PP_CHI.1 label="3S" l="0">1</PP_CHI.1>\n<PP_CHI.2 label="3P" l="1">1</PP_CHI.2>'
    )
    for words, said in (
        (
            "hubbard: {u: {Si-3d: 4}}",
            "Si-3d is corrected, and the pseudopotential of Si has no wavefunction of that shell",
        ),
        ("moments: {Si: 5}", "moments.Si: is 5 μB, more than its 4 valence electrons; give a smaller one."),
    ):
        change = f"pseudopotentials: {{Si: Si.upf}}, ecutwfc: 30 Ry, {words}"
        result = check(folder, edited(("ecutwfc: 30 Ry", change)))
        assert result.exit_code == 2
        assert said in " ".join(result.output.split())
    change = "pseudopotentials: {Si: Si.upf}, ecutwfc: 30 Ry, hubbard: {u: {Si-3p: 4}}, moments: {Si: 2}"
    assert check(folder, edited(("ecutwfc: 30 Ry", change))).exit_code == 0


# -- data that exist --------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(folder: Path) -> Path:
    """The folder with files of labelled frames, and with some that cannot be learnt from."""
    rng = np.random.default_rng(3)
    atoms = [bulk("Si", cubic=True) for _ in range(8)]
    for one in atoms:
        one.rattle(0.08, rng=rng)
    frames = Configurations.from_atoms(atoms)
    frames = frames.with_labels(energy=rng.normal(-34, 0.1, 8), forces=rng.normal(0, 1, (64, 3)))
    atom = Configurations.from_atoms([Atoms("Si", cell=[12, 12, 12], pbc=True)]).with_labels(
        energy=[-0.8], forces=np.zeros((1, 3))
    )
    files = {
        "mine": frames,
        "twice": frames[[0, 1, 2, 3, 4, 0]],
        "bare": frames.without_labels(),
        "some": Configurations.concatenate([frames[:6], frames[6:].without_labels()]),
        "energies": frames.without_labels().with_labels(energy=frames.label("energy")[0]),
        "alone": atom.with_info(config_type=["IsolatedAtom"]),
        "with_atom": Configurations.concatenate(
            [frames.with_info(config_type=["hot"] * 8), atom.with_info(config_type=["IsolatedAtom"])]
        ),
    }
    sodium = Configurations.from_atoms([bulk("Na", cubic=True)])
    files["other"] = sodium.with_labels(energy=[-2.0], forces=np.zeros((2, 3)))
    for name, content in files.items():
        content.write_extxyz(folder / f"{name}.extxyz")
    return folder


BOOTSTRAP = GOOD[GOOD.index("bootstrap:") : GOOD.index("sampling:")]


def with_data(text: str, *changes: tuple[str, str]) -> str:
    """The good file with data in the place of a bootstrap."""
    return edited((BOOTSTRAP, f"data: {text}\n"), *changes)


def test_data_take_the_place_of_a_bootstrap(mine: Path) -> None:
    text = with_data("{file: mine.extxyz, same_method: true}")
    fits(text)
    (mine / "campaign.yaml").write_text(text)
    campaign, notes = load_campaign(mine / "campaign.yaml")
    assert campaign.samplers("bootstrap") == []
    assert len(campaign.data[0]) == 8
    assert not [note for note in notes if note.startswith("data")]
    plan = plan_campaign(campaign)
    assert (plan.bootstrap.labels, plan.labels, plan.checked) == (0, 3 * 8, 5)
    both, _ = load_with(mine, edited(("seed: 1", "seed: 1\ndata: mine.extxyz")))
    assert plan_campaign(both).bootstrap.labels == 15


def load_with(folder: Path, text: str) -> tuple[Any, list[str]]:
    """Load a campaign with this text."""
    (folder / "campaign.yaml").write_text(text)
    return load_campaign(folder / "campaign.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "bare.extxyz",
            "data.0: no frame of bare.extxyz has the label 'energy'; remove such frames",
        ),
        ("some.extxyz", "data.0: frame 6 of some.extxyz has no label 'energy' (2 of 8 have none); remove such frames"),
        ("energies.extxyz", "data.0: no frame of energies.extxyz has the label 'forces'; remove such frames"),
        ("other.extxyz", "data.0: other.extxyz holds Na, which no starting structure does"),
        ("alone.extxyz", "data.0: alone.extxyz holds isolated atoms alone; give frames to learn from."),
        ("[mine.extxyz, mine.extxyz]", "data.1: mine.extxyz stands in the list already; remove it."),
        ("{file: mine.extxyz, campaign: a}", "data: is either a file with labelled frames or a campaign or an archive"),
        ("{archive: gone.aiida}", "data.0.archive: there is no file 'gone.aiida'; correct its path."),
        ("{archive: mine.extxyz}", "data.0.archive: mine.extxyz is no archive of AiiDA; give what"),
        ("{file: mine.extxyz, relabel: true, method: PBE}", "data: method is about labels that are used, and relabel"),
        ("{campaign: a, index: 3}", "data: index is about files; leave it out"),
        ("{file: mine.extxyz, index: 9}", "data.0.index: 9: mine.extxyz holds 8 frames; give a smaller index."),
        ("{file: mine.extxyz, units: 'Å,Ry'}", "data.units: units 'Å,Ry' are not known; give a length"),
        ("{file: mine.extxyz, without: [speed]}", "data.without: 'speed' is no state of a frame; choose of charge"),
        ("mine.extxyz\ncheck_labels: 0", "data.0: does not say by which method the labels of mine.extxyz are"),
        ("mine.extxyz\nbootstrap: {selection: [sanity]}", "bootstrap: has no samplers, and data begin the campaign"),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused_in_one_sentence(mine: Path, data: str, said: str) -> None:
    result = check(mine, with_data(data))
    assert result.exit_code == 2, result.output
    message = message_of(result, mine)
    assert re.fullmatch(r"campaign\.yaml, line \d+: " + re.escape(said) + ".*", message), message


def test_what_is_odd_about_data_is_noted(mine: Path) -> None:
    _, notes = load_with(mine, with_data("[twice.extxyz, {file: mine.extxyz, method: PBE}]"))
    assert "data.0: 1 of 6 frames are there already, and left out." in notes
    assert [note for note in notes if note.startswith("data.0: does not say by which method twice.extxyz was labelled")]
    assert "data.1: 5 of 8 frames are there already, and left out." in notes
    assert not [note for note in notes if "by which method mine" in note]
    campaign, notes = load_with(mine, with_data("with_atom.extxyz"))
    assert len(campaign.data[0]) == 8
    assert [note for note in notes if "`energy_reference: {Si: -0.8}` uses them" in note]


def test_labels_of_data_that_cannot_be_right_are_told_before_anything_runs(
    mine: Path, make_silicon: Callable[..., Configurations]
) -> None:
    frames = make_silicon(12, 0.08, 7, labelled=True)
    forces = frames.label("forces")[0].copy()
    forces[3 * 8 : 4 * 8] *= 20
    frames.with_labels(energy=frames.label("energy")[0], forces=forces).write_extxyz(mine / "spoilt.extxyz")
    _, notes = load_with(mine, with_data("spoilt.extxyz"))
    (told,) = [note for note in notes if "kept out" in note]
    assert told.startswith("data.0: spoilt.extxyz: frame 3 will be kept out. Its largest force, ")
    assert told.endswith("`trusted: true` learns from it nevertheless.")
    for more in ("trusted: true}", "relabel: true}", "index: '0:3'}", "index: ':'}\nsuspects: {check: false}"):
        _, notes = load_with(mine, with_data(f"{{file: spoilt.extxyz, {more}"))
        assert not [note for note in notes if "kept out" in note]


def test_labels_of_starting_structures_are_noted(mine: Path) -> None:
    told = "structures.0: labels in mine.extxyz are not used here; `data: mine.extxyz` learns from them."
    assert told in load_with(mine, edited(("si8", "mine")))[1]
    assert told not in load_with(mine, edited(("si8", "mine"), ("seed: 1", "seed: 1\ndata: mine.extxyz")))[1]
    assert told not in load_with(mine, GOOD)[1]


def test_energies_alone_are_enough_where_that_is_said(mine: Path) -> None:
    campaign, _ = load_with(mine, with_data("{file: energies.extxyz, require: [energy], same_method: true}"))
    assert len(campaign.data[0]) == 8


def test_frames_that_are_labelled_again_need_no_labels_and_are_paid_for(mine: Path) -> None:
    campaign, notes = load_with(mine, with_data("{file: bare.extxyz, relabel: true}\ncheck_labels: 0"))
    assert not [note for note in notes if note.startswith("data")]
    assert plan_campaign(campaign).checked == len(campaign.data[0]) == 8
    assert "data.0" in dict(campaign.named_frames)


def test_data_tell_campaigns_apart_and_files_without_them_stay_what_they_were(mine: Path) -> None:
    marks = [
        digest_mark(load_with(mine, text)[0])
        for text in (
            GOOD,
            f"{GOOD}check_labels: 3\n",
            with_data("mine.extxyz"),
            with_data("twice.extxyz"),
            with_data("{file: mine.extxyz, block_frames: 2}"),
            with_data("mine.extxyz\ncheck_labels: 3"),
        )
    ]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 5


def test_a_rehearsal_leaves_data_out_and_begins_with_a_bootstrap(mine: Path) -> None:
    (mine / "campaign.yaml").write_text(with_data("mine.extxyz"))
    with pytest.warns(DataWarning, match="left out of the rehearsal, which begins with a bootstrap"):
        campaign, _ = load_campaign(mine / "campaign.yaml", rehearsal=True)
    assert campaign.data == {}
    assert campaign.samplers("bootstrap")


# -- a potential that exists ------------------------------------------------------------------------------------------


@pytest.fixture
def fitted(folder: Path) -> Path:
    """A folder that says that it is a potential for silicon; nothing here loads it."""
    made = folder / "fitted"
    made.mkdir()
    (made / "potential.json").write_text(json.dumps({"engine": "hdnnp", "elements": ["Si"]}))
    return folder


def test_a_potential_drives_the_bootstrap_by_the_samplers_of_the_loop(fitted: Path) -> None:
    text = edited((BOOTSTRAP, "potential: fitted\n"))
    fits(text)
    campaign, _ = load_with(fitted, text)
    assert [spec.name for _, spec in campaign.samplers("bootstrap")] == ["md"]
    assert campaign.stage("bootstrap").selectors
    own, _ = load_with(fitted, edited(("seed: 1", "seed: 1\npotential: fitted")))
    assert [spec.name for _, spec in own.samplers("bootstrap")] == ["rattle_strain"]
    assert check(fitted, edited(("rattle_strain: {frames: 24}", "md: {steps: 240, interval: 2}"))).exit_code == 2
    driven = edited(("rattle_strain: {frames: 24}", "md: {steps: 240, interval: 2}"), ("seed: 1", "potential: fitted"))
    assert check(fitted, driven).exit_code == 0


def test_with_data_and_a_potential_the_first_sampling_selects_as_the_loop_does(fitted: Path, mine: Path) -> None:
    campaign, _ = load_with(mine, with_data("mine.extxyz\npotential: fitted"))
    assert [spec.name for _, spec in campaign.samplers("bootstrap")] == ["md"]
    assert campaign.stage("bootstrap").selectors == []
    plain, _ = load_with(mine, with_data("mine.extxyz"))
    assert digest_mark(plain) != digest_mark(campaign)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"engine": "hdnnp", "elements": ["Ge"]}', "does not know Si, which the structures hold; give another."),
        (
            '{"engine": "mace", "elements": ["Si"]}',
            "is of the engine 'mace', whose program only a campaign that trains",
        ),
        ('{"engine": "nobody", "elements": ["Si"]}', "is of the engine 'nobody', which is not there; install it"),
        ("[]", "fitted: holds no potential.json that says engine and elements; give the folder that"),
    ],
)
def test_a_potential_that_cannot_drive_is_refused(fitted: Path, content: str, said: str) -> None:
    (fitted / "fitted" / "potential.json").write_text(content)
    result = check(fitted, edited((BOOTSTRAP, "potential: fitted\n")))
    assert result.exit_code == 2, result.output
    assert message_of(result, fitted).startswith(f"campaign.yaml, line 5: potential: {said}")
