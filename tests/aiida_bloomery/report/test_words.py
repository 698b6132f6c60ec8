from dataclasses import replace
from types import SimpleNamespace

import pytest

from aiida_bloomery.report.facts import Outcome
from aiida_bloomery.report.words import verdict, what_was_done


def test_a_reached_target_is_a_success_with_its_reason_and_error(example: SimpleNamespace) -> None:
    said = verdict(example.campaign())
    assert said.tone == "good"
    assert said.sentences[0] == "The force error is below its target."
    assert "12 frames drawn at random" in said.sentences[1]
    assert "force RMSE is 48.0 meV/Å (95 % interval 43.2 to 52.8), which is 4.8 % of" in said.sentences[1]


def test_a_rehearsal_says_that_it_is_one(example: SimpleNamespace) -> None:
    labelled = {"labeller": {"settings": {"calculator": {"name": "stillinger_weber", "arguments": {}}}}}
    said = verdict(example.campaign(inputs={"labeller": "calculator", "labelling": {"parameters": labelled}}))
    assert said.headline == "Rehearsal: done"
    assert "Labels are those of stillinger_weber, a quick potential of a library" in said.sentences[1]
    labelled["labeller"]["settings"]["calculator"]["name"] = "mace.calculators:mace_mp"
    assert (
        verdict(example.campaign(inputs={"labeller": "calculator", "labelling": {"parameters": labelled}})).headline
        == "Done"
    )


def test_labels_of_a_foundation_are_called_so(example: SimpleNamespace) -> None:
    labelled = {"labeller": {"settings": {"foundation": {"name": "sevennet", "settings": {}}}}}
    campaign = example.campaign(inputs={"labeller": "foundation", "labelling": {"parameters": labelled}})
    assert verdict(replace(campaign, title="silicon-rehearsal")).headline == "Rehearsal: done"
    said = verdict(campaign)
    assert said.headline == "Student: done"
    assert said.sentences[1].startswith("Labels are those of the foundation sevennet: errors are from what it says")


def test_the_delivered_potential_speaks_not_the_last_iterations(example: SimpleNamespace) -> None:
    history = {"iterations": [example.iteration(0, 50.0)], "final": {"validation": example.errors(48.0)}}
    assert "48.0 meV/Å" in verdict(example.campaign(history=history)).sentences[0]
    history["final"] = {"validation": None}
    assert "50.0 meV/Å" in verdict(example.campaign(history=history)).sentences[0]


@pytest.mark.parametrize(("promised", "said"), [(True, "as they should"), (False, "should hold for 68 %"), (None, "")])
def test_what_a_disagreement_is_worth(example: SimpleNamespace, promised: bool | None, said: str) -> None:
    covered = {"value": 0.66, "lower": 0.6, "upper": 0.72, "unit": "1"}
    covered |= {} if promised is None else {"as_promised": promised}
    validation = example.errors(48.0) | {
        "calibration": {
            "n_calibration": 7,
            "forces": {"factor": {"value": 1.4, "unit": "1"}, "calibrated": {"coverage": {"0.68": covered}}},
        }
    }
    text = " ".join(verdict(example.campaign(history={"final": {"validation": validation}})).sentences)
    assert "disagreement times 1.40 is a standard error (from 7 calibration frames)" in text
    assert f"for 66 % (60 % to 72 %) of the force components{', ' if said else '.'}" in text
    assert said in text


def test_a_target_is_held_against_the_upper_bound(example: SimpleNamespace) -> None:
    history = {
        "iterations": [],
        "final": {"validation": {"n_frames": 12, "forces": {"rmse": example.number(58.0, "meV/Å")}}},
    }
    text = " ".join(verdict(example.campaign(history=history)).sentences)
    assert "force RMSE is not below 60.0 meV/Å" in text  # 58 is, 63.8 is not


def test_targets_wait_for_the_probe(example: SimpleNamespace) -> None:
    validation = example.errors(48.0, n_frames=4)
    text = " ".join(verdict(example.campaign(history={"final": {"validation": validation}})).sentences)
    assert "is below 60.0 meV/Å. They count once the probe holds 10 frames." in text


def test_a_spent_budget_is_an_end_and_not_a_success(example: SimpleNamespace) -> None:
    history = {
        "iterations": [example.iteration(0, 90.0)],
        "decision": {"success": False, "reason": "all 80 labels are used"},
    }
    said = verdict(example.campaign(history=history))
    assert said.tone == "ended"
    assert said.sentences[0] == "All 80 labels are used."


def test_a_running_campaign_says_where_it_is(example: SimpleNamespace) -> None:
    facts = example.campaign(
        outcome=Outcome("running", stage="iteration_002_label"), history={"iterations": [example.iteration(0, 90.0)]}
    )
    said = verdict(facts)
    assert said.tone == "running"
    assert said.sentences[0].startswith("Now: iteration 002 label; 1 iteration recorded")


def test_a_failed_campaign_says_why(example: SimpleNamespace) -> None:
    said = verdict(
        example.campaign(outcome=Outcome("failed", message="Labelling failed in iteration_001: no pw.x"), history={})
    )
    assert (said.tone, said.sentences[0]) == ("bad", "Labelling failed in iteration_001: no pw.x")


def test_failed_labels_are_counted(example: SimpleNamespace) -> None:
    assert "1 of 2 frames to be labelled failed" in verdict(example.campaign()).sentences[-1]
    assert "All 1 frame that" in verdict(example.campaign(ledger=[example.entry(0)])).sentences[-1]


def test_what_was_done_names_plugins_and_settings(example: SimpleNamespace) -> None:
    done = dict(what_was_done(example.campaign()))
    assert done["Bootstrap"] == "rattle_strain (frames 20); selected: sanity"
    assert done["Sampling"] == "md (temperatures [300, 1200])"
    assert done["Selection"] == "sanity → farthest_point (frames 16)"
    assert done["Stop rules"] == (
        "upper bound of the force RMSE below 60.0 meV/Å, 2 iterations running; at least 2 iterations; at most 80 labels"
    )


def test_overlapping_stages_are_told_with_whose_potential_drove_which_pool(example: SimpleNamespace) -> None:
    plain = example.campaign()
    assert "Stages" not in dict(what_was_done(plain))
    drivers = (None, 0, 0)
    iterations = [
        entry.model_copy(update={"driven_by": driver})
        for entry, driver in zip(plain.history.iterations, drivers, strict=True)
    ]
    history = plain.history.model_copy(update={"iterations": iterations})
    told = dict(what_was_done(replace(plain, inputs={**plain.inputs, "pipeline": True}, history=history)))["Stages"]
    assert told.endswith("while a batch is labelled; pool 1 by the bootstrap, 2 by the bootstrap")


def test_labels_are_told_by_their_physics(example: SimpleNamespace) -> None:
    pw = {
        "code": "pw@here",
        "parameters": {"CONTROL": {"calculation": "scf"}, "SYSTEM": {"ecutwfc": 30.0, "smearing": "cold"}},
        "kpoints": {"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]},
        "pseudos": {"Si": {"filename": "Si.upf", "md5": "d7f8"}},
        "options": {"withmpi": False},
    }
    facts = example.campaign(inputs={"labeller": "quantumespresso", "labelling": {"pw": pw}})
    assert dict(what_was_done(facts))["Labels"] == (
        "quantumespresso (ecutwfc 30, smearing cold, mesh [3, 3, 3], offset [0.5, 0.5, 0.5], Si.upf)"
    )


def test_what_is_not_known_is_left_out(example: SimpleNamespace) -> None:
    assert what_was_done(example.campaign(inputs={})) == []


def test_the_verdict_on_the_selection_is_told_with_what_it_means(example: SimpleNamespace) -> None:
    history = {"iterations": [], "control": {"sentence": "Random was better.", "scope": "It tests the selection."}}
    assert "Random was better. It tests the selection." in verdict(example.campaign(history=history)).sentences
    inputs = {"control": {"arm": ["farthest_point"], "trainings": 2}}
    done = dict(what_was_done(example.campaign(inputs=inputs)))
    assert done["Control arm"] == "farthest_point, from the same pools, with as many labels and the same probe"
    assert "Control arm" not in dict(what_was_done(example.campaign()))


def test_every_level_that_does_not_hold_is_told(example: SimpleNamespace) -> None:
    off = {"value": 0.7, "unit": "1", "lower": 0.55, "upper": 0.85, "as_promised": False}
    fine = {"value": 0.5, "unit": "1", "lower": 0.35, "upper": 0.65, "as_promised": True}
    coverage = {"0.5": fine, "0.68": fine | {"as_promised": False}, "0.95": off}
    summary = {"calibration": {name: {"calibrated": {"coverage": coverage}} for name in ("forces", "energy")}}
    validation = example.errors(48.0) | summary
    said = " ".join(verdict(example.campaign(history={"final": {"validation": validation}})).sentences)
    assert "95 % bounds of forces hold for 70 % (55 % to 85 %)" in said
    assert "68 % bounds of forces" not in said  # told with the factor
    assert "68 % bounds of energies hold for 50 %" in said
    assert "50 % bounds" not in said
    assert "bounds that do not hold" not in " ".join(verdict(example.campaign()).sentences)


def test_faults_are_told(example: SimpleNamespace) -> None:
    validation = example.errors(48.0) | {"warnings": ["Frame 3 is far out."]}
    assert "Frame 3 is far out." in verdict(example.campaign(history={"final": {"validation": validation}})).sentences
