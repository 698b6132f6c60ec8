"""Foundations in a campaign file: who is driven by which, what is noted of functionals, and which program runs it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ase.build import bulk
from ase.io import write
from tests.campaign_text import GOOD

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import digest_mark
from aiida_bloomery.campaign_file.codes import engine_key
from aiida_bloomery.campaign_file.foundations import foundation_keys
from aiida_bloomery.campaign_file.schema import schema
from bloomery.errors import DataWarning, InputError

DRIVEN = GOOD.replace("rattle_strain: {frames: 24}", "foundation_md: {steps: 240, interval: 10}")

UNTRAINED = GOOD.replace("training: {hdnnp: {members: 4}}\n", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")
    write(tmp_path / "oxide.extxyz", bulk("FeO", "rocksalt", a=4.3, cubic=True), format="extxyz")
    return tmp_path


@pytest.fixture(scope="module")
def known() -> Any:
    """Fit a campaign's content, or raise; that the schema is one, others see to."""
    made = schema()
    return jsonschema.validators.validator_for(made)(made)


def load(folder: Path, text: str) -> tuple[Any, list[str]]:
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    return load_campaign(folder / "campaign.yaml")


def test_the_file_s_foundation_drives_unless_a_sampler_names_another(folder: Path) -> None:
    text = DRIVEN.replace("sampling: [", "sampling: [foundation_md: {foundation: chgnet, steps: 100, interval: 10}, ")
    campaign, _ = load(folder, f"{text}device: cpu\nfoundation: {{arch: sevennet, model: 7net-l3i5}}\n")
    ((_, first),) = campaign.samplers("bootstrap")
    assert first.settings["foundation"] == {"name": "sevennet", "settings": {"model": "7net-l3i5", "device": "cpu"}}
    (_, second), _ = campaign.samplers("sampling")
    assert second.settings["foundation"]["name"] == "chgnet"
    assert foundation_keys(campaign) == {"sevennet": "sevennet", "chgnet": "chgnet"}


def test_a_file_is_named_in_full_with_its_digest(folder: Path) -> None:
    (folder / "mp.model").write_bytes(b"weights")
    campaign, _ = load(folder, f"{DRIVEN}foundation: {{arch: mace, model: mp.model, device: cpu}}\n")
    ((_, spec),) = campaign.samplers("bootstrap")
    assert spec.settings["foundation"]["settings"] == {
        "model": str(folder / "mp.model"),
        "device": "cpu",
        "digest": hashlib.sha256(b"weights").hexdigest(),
    }
    assert foundation_keys(campaign) == {"mace": "mace"}, "it shares the engine's environment"
    elsewhere = "codes: {mace: mace@cluster, pw: {cores: 1}}"
    text = DRIVEN.replace("codes: {pw: {cores: 1, parallel: 2, walltime: 1 h}}", elsewhere)
    campaign, _ = load(folder, f"{text}foundation: {{arch: mace, model: /scratch/mp.model}}\n")
    ((_, spec),) = campaign.samplers("bootstrap")
    assert spec.settings["foundation"]["settings"] == {"model": "/scratch/mp.model"}
    with pytest.raises(InputError, match=r"there is no file 'mp2\.model'"):
        load(folder, f"{text}foundation: {{arch: mace, model: mp2.model}}\n")


@pytest.mark.parametrize(
    ("labelling", "foundation", "structure", "noted"),
    [
        ("quantumespresso", "sevennet", "si8", None),
        (
            "{quantumespresso: {functional: pbesol}}",
            "sevennet",
            "si8",
            "sevennet (7net-0) learned PBE, and the labels are",
        ),
        ("{quantumespresso: {dispersion: d3bj}}", "chgnet", "si8", "learned PBE, and the labels are PBE+D3"),
        ("quantumespresso", "sevennet", "oxide", "learned PBE+U, and the labels are PBE"),
        ("{quantumespresso: {hubbard: {u: {Fe-3d: 4.0}}}}", "sevennet", "oxide", None),
        ("cp2k", "chgnet", "si8", None),
        ("{cp2k: {functional: BLYP, potential: GTH-BLYP}}", "chgnet", "si8", "the labels are BLYP"),
        ("{vasp: {potentials: PBE.54, functional: r2SCAN}}", "{chgnet: {model: r2scan}}", "si8", None),
        ("{vasp: {potentials: PBE.54}}", "{chgnet: {model: r2scan}}", "si8", "learned r2SCAN, and the labels are PBE"),
        ("{calculator: {calculator: stillinger_weber}}", "sevennet", "si8", None),
    ],
)
def test_another_functional_is_noted(
    folder: Path, labelling: str, foundation: str, structure: str, noted: str | None
) -> None:
    text = "\n".join(line for line in DRIVEN.splitlines() if not line.startswith(("labelling", "codes")))
    text = text.replace("si8", structure)
    _, notes = load(folder, f"{text}\nlabelling: {labelling}\nfoundation: {foundation}\n")
    found = [note for note in notes if note.startswith("foundation: ")]
    assert len(found) == (noted is not None), notes
    if noted is not None:
        assert noted in found[0]


def test_a_foundation_that_drives_nothing_is_noted(folder: Path) -> None:
    _, notes = load(folder, f"{GOOD}foundation: sevennet\nstart: scratch\n")
    assert any(note.startswith("foundation: nothing is driven by it; add the sampler") for note in notes)


def test_campaigns_differ_by_their_foundation_and_are_the_same_without_one(folder: Path) -> None:
    plain, _ = load(folder, GOOD)
    assert digest_mark(plain) == digest_mark(load(folder, GOOD)[0])
    first, _ = load(folder, f"{DRIVEN}foundation: sevennet\n")
    again, _ = load(folder, DRIVEN.replace("{steps: 240,", "{foundation: sevennet, steps: 240,"))
    other, _ = load(folder, f"{DRIVEN}foundation: chgnet\n")
    assert digest_mark(first) != digest_mark(other)
    assert {key: value for key, value in first.settings.items() if key != "starts"} == again.settings


def rehearsed(folder: Path, text: str) -> Any:
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    return load_campaign(folder / "campaign.yaml", rehearsal=True)[0]


def test_the_foundation_is_the_teacher_of_a_rehearsal(folder: Path) -> None:
    """Also of elements that no quick potential of a library covers together."""
    campaign = rehearsed(folder, f"{GOOD.replace('si8', 'oxide')}foundation: sevennet\n")
    assert campaign.file.labeller == "foundation"
    assert foundation_keys(campaign) == {"sevennet": "sevennet"}
    assert digest_mark(campaign) != digest_mark(
        rehearsed(folder, f"{GOOD.replace('si8', 'oxide')}foundation: chgnet\n")
    )
    with pytest.raises(InputError, match=r"no teacher covers Fe, O together.*A foundation covers most"):
        rehearsed(folder, GOOD.replace("si8", "oxide"))
    with pytest.raises(InputError, match=r"foundation 'calculator' \(emt\) does not cover Si"):
        rehearsed(folder, f"{GOOD}foundation: {{calculator: {{calculator: emt}}}}\n")


def test_a_foundation_may_label(folder: Path) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(("labelling", "codes")))
    campaign, _ = load(folder, f"{text}\nlabelling: {{foundation: {{foundation: {{arch: chgnet, model: r2scan}}}}}}\n")
    assert foundation_keys(campaign) == {"chgnet": "chgnet"}
    with pytest.raises(InputError, match=r"labelling\.foundation: names no foundation; add one"):
        load(folder, f"{text}\nlabelling: foundation\n")


@pytest.mark.parametrize(
    ("foundation", "fits"),
    [
        ("sevennet", True),
        ({"sevennet": {"model": "7net-l3i5"}}, True),
        ({"arch": "chgnet", "model": "r2scan"}, True),
        ("sevenet", False),
        ({"sevennet": {"modell": "7net-0"}}, False),
        ({"arch": "sevenet"}, False),
    ],
)
def test_the_schema_knows_foundations(foundation: object, fits: bool, known: Any) -> None:
    content = yaml.safe_load(DRIVEN) | {"foundation": foundation}
    driven = {"foundation_md": {"foundation": foundation, "steps": 100}}
    for changed in (content, content | {"foundation": "sevennet", "sampling": [driven]}):
        if fits:
            known.validate(changed)
        else:
            with pytest.raises(jsonschema.ValidationError):
                known.validate(changed)


def test_a_baseline_is_named_in_full_and_decides_where_trainings_run(folder: Path) -> None:
    (folder / "mp.model").write_bytes(b"weights")
    campaign, _ = load(folder, f"{UNTRAINED}training: {{delta: {{baseline: {{mace: {{model: mp.model}}}}}}}}\n")
    settings = campaign.settings["training"]["engine"]["settings"]
    assert settings["baseline"] == {
        "name": "mace",
        "settings": {"model": str(folder / "mp.model"), "digest": hashlib.sha256(b"weights").hexdigest()},
    }
    assert engine_key(campaign) == "mace"
    of_wheel, notes = load(folder, f"{UNTRAINED}training: {{delta: {{baseline: sevennet, engine: {{hdnnp: {{}}}}}}}}\n")
    assert engine_key(of_wheel) == "sevennet"
    assert not [note for note in notes if note.startswith("foundation")]
    own, _ = load(
        folder, f"{UNTRAINED}training: {{delta: {{baseline: {{calculator: {{calculator: stillinger_weber}}}}}}}}\n"
    )
    assert engine_key(own) is None
    assert len({digest_mark(one) for one in (campaign, of_wheel, own)}) == 3


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ("{mace: {model: gone.model}}", r"training\.delta\.baseline\.mace\.model: there is no file 'gone\.model'"),
        ("nothing", r"training\.delta\.baseline: foundation .nothing. is not registered"),
        ("{calculator: {calculator: emt, elements: [Cu]}}", r"training\.delta\.baseline: .* does not cover Si"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused(folder: Path, baseline: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(folder, f"{UNTRAINED}training: {{delta: {{baseline: {baseline}}}}}\n")


# -- starts -----------------------------------------------------------------------------------------------------------

SEVENNET = "foundation: {arch: sevennet, device: cpu}\n"


def starts(folder: Path, text: str) -> Any:
    campaign, _ = load(folder, text)
    return campaign.settings.get("starts")


def test_starts_are_compared_where_a_foundation_is_named(folder: Path) -> None:
    assert starts(folder, GOOD) is None
    assert starts(folder, f"{GOOD}start: auto\n{SEVENNET}") == starts(folder, GOOD + SEVENNET)
    assert starts(folder, f"{GOOD}start: scratch\n{SEVENNET}") is None
    found = starts(folder, GOOD + SEVENNET)
    assert found["foundation"] == "sevennet (7net-0)"
    assert list(found["engines"]) == ["baseline", "tuned", "zero_shot"]
    assert (found["student_frames"], found["comparisons"]) == (80, 3)
    baseline, tuned = found["engines"]["baseline"], found["engines"]["tuned"]
    assert baseline["settings"]["baseline"] == {"name": "sevennet", "settings": {"device": "cpu"}}
    assert baseline["settings"]["engine"] == {"name": "hdnnp", "settings": {"members": 4}}
    assert found["engines"]["zero_shot"]["settings"]["engine"] is None
    assert (tuned["name"], tuned["settings"]["model"]) == ("sevennet", "7net-0")


def test_all_potentials_run_where_the_foundation_is(folder: Path) -> None:
    """The program of its environment also trains and loads those from scratch."""
    campaign, notes = load(folder, GOOD + SEVENNET)
    assert engine_key(campaign) == "sevennet"
    assert foundation_keys(campaign) == {"sevennet": "sevennet"}
    assert any("start from the foundation (student, baseline, tuned, zero" in n for n in notes)
    campaign, notes = load(folder, f"{GOOD}start: [student]\n{SEVENNET}")
    assert engine_key(campaign) is None
    assert foundation_keys(campaign) == {"sevennet": "sevennet"}
    assert not any("compared" in note for note in notes)
    campaign, _ = load(folder, f"{GOOD}foundation: {{calculator: {{calculator: stillinger_weber}}}}\n")
    assert engine_key(campaign) is None
    assert list(campaign.settings["starts"]["engines"]) == ["baseline", "zero_shot"]


def test_an_engine_that_does_not_begin_from_the_foundation_may_do_so(folder: Path) -> None:
    """mace from scratch beside a foundation of mace; one that is tuned already is left as it is."""
    (folder / "mp.model").write_bytes(b"weights")
    mace = "foundation: {arch: mace, model: mp.model}\n"
    text = GOOD.replace("training: {hdnnp: {members: 4}}", "training: {mace: {members: 2}}")
    assert list(starts(folder, text + mace)["engines"]) == ["baseline", "zero_shot"]
    assert starts(folder, text.replace("members: 2", "foundation: mp.model") + mace) is None


def test_a_slow_start_is_compared_where_it_is_asked_for(folder: Path) -> None:
    (folder / "mp.model").write_bytes(b"weights")
    mace = "foundation: {arch: mace, model: mp.model}\n"
    assert list(starts(folder, GOOD + mace)["engines"]) == ["baseline", "zero_shot"]
    found = starts(folder, f"{GOOD}start: {{compare: tuned, comparisons: 1}}\n{mace}".replace("tuned", "[tuned]"))
    assert found["engines"]["tuned"]["settings"]["foundation"] == str(folder / "mp.model")
    assert (found["student_frames"], found["comparisons"]) == (0, 1)


@pytest.mark.parametrize("more", ["control: {}\n", "labelling: foundation\n", "training: {sevennet: {}}\n"])
def test_nothing_is_compared_where_that_says_nothing(folder: Path, more: str) -> None:
    key = more.partition(":")[0]
    text = "".join(f"{line}\n" for line in GOOD.splitlines() if not line.startswith(key))
    text = text.replace("codes: {pw: {cores: 1, parallel: 2, walltime: 1 h}}\n", "")
    assert starts(folder, text + more + SEVENNET) is None
    with pytest.raises(InputError, match=r"campaign\.yaml, line \d+: start: "):
        starts(folder, f"{text}{more}{SEVENNET}start: [baseline]\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("start: auto\n", "start: no foundation is named to start from; add one, such as foundation: sevennet"),
        (f"start: [best]\n{SEVENNET}", "start.0: input should be 'auto', 'scratch', 'student', 'baseline', 'tuned' or"),
        ("start: tuned\nfoundation: chgnet\n", "start: tuned: no engine tunes the foundation chgnet; leave it out"),
        (
            f"start: {{student_frames: 3}}\n{SEVENNET}",
            "start.student_frames: input should be greater than or equal to 8",
        ),
    ],
)
def test_a_start_that_cannot_be_is_refused(folder: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        starts(folder, GOOD + text)
    assert said in str(raised.value)


def test_engines_of_other_environments_have_few_starts(folder: Path) -> None:
    text = GOOD.replace("training: {hdnnp: {members: 4}}", "training: gap")
    assert starts(folder, text + SEVENNET) is None
    for name in ("baseline", "tuned", "student"):
        with pytest.raises(InputError, match=rf"start: {name}: .*; leave it out"):
            starts(folder, f"{text}start: {name}\n{SEVENNET}")


def test_a_rehearsal_compares_no_starts(folder: Path) -> None:
    with pytest.warns(DataWarning, match="start: is left out of the rehearsal, whose labels are the teacher's"):
        campaign = rehearsed(folder, f"{GOOD}start: auto\n{SEVENNET}")
    assert "starts" not in campaign.settings


def test_the_schema_knows_starts(known: Any) -> None:
    for given in ("auto", "scratch", ["baseline", "student"], "tuned", {"compare": ["auto"], "comparisons": 2}):
        known.validate(yaml.safe_load(GOOD) | {"start": given})
    with pytest.raises(jsonschema.ValidationError):
        known.validate(yaml.safe_load(GOOD) | {"start": "best"})
