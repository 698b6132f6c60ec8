"""Whole campaigns with a teacher in the place of DFT."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from tests.integration.harness import CAMPAIGN, Home

from bloomery.frames.configurations import Configurations
from bloomery.reference.teachers import teacher_for

pytestmark = [pytest.mark.integration, pytest.mark.daemon]


@pytest.fixture(scope="module")
def pair(home: Home, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, Path]]:
    """Two campaigns with the same seed, at once, and the beginning of one with another; each with its export."""
    folder = tmp_path_factory.mktemp("pair")
    bulk("Si", cubic=True).write(folder / "si8.extxyz")
    pks = []
    for name, seed in (("first", 3), ("second", 3), ("third", 4)):
        file = folder / f"{name}.yaml"
        stop = {"iterations": {"min": 0, "max": 0}} if name == "third" else CAMPAIGN["stop"]
        file.write_text(yaml.safe_dump({**CAMPAIGN, "name": name, "seed": seed, "stop": stop}))
        pks.append(home.submit(file))
    results = []
    for pk in pks:
        status = home.wait(pk)
        assert status["succeeded"], status
        target = folder / f"export-{pk}"
        home.call("export", pk, "--to", target)
        results.append((pk, target))
    return results


def frames(folder: Path) -> Configurations:
    return Configurations.read(folder / "data_set.extxyz")


def test_the_same_seed_selects_the_same_frames_and_another_does_not(pair: list[tuple[int, Path]]) -> None:
    first, second, third = (frames(folder) for _, folder in pair)
    assert first.hashes() == second.hashes()
    assert first.info["role"].tolist() == second.info["role"].tolist()
    assert not set(first.hashes()) & set(third.hashes())


def test_every_frame_has_a_label_a_role_and_an_origin(pair: list[tuple[int, Path]]) -> None:
    data = frames(pair[0][1])
    for name in ("energy", "forces", "stress"):
        assert data.has(name).all()
    roles = data.info["role"].tolist()
    assert set(roles) <= {"probe", "train", "early_stopping", "calibration"}
    assert roles.count("probe") >= 2 * 3
    assert len(set(data.hashes())) == len(data)


def test_labels_are_those_of_the_teacher(pair: list[tuple[int, Path]]) -> None:
    data = frames(pair[0][1])
    atoms = data[0].to_atoms()[0]
    atoms.calc = teacher_for(["Si"]).make()
    np.testing.assert_allclose(data[0].label("forces")[0], atoms.get_forces(), atol=1e-5)


def test_ledger_history_and_status_agree(home: Home, pair: list[tuple[int, Path]]) -> None:
    computed: Counter[str] = Counter()
    for pk, folder in pair[:2]:
        entries = home.ledger(pk)
        status = home.facts("status", pk)
        assert len(entries) == status["labels"] == len(frames(folder))
        # The two want the same frames at once: which of them computes a label, and which finds it, is chance.
        assert {entry["outcome"] for entry in entries} <= {"labelled", "cached"}
        computed.update(entry["hash"] for entry in entries if entry["outcome"] == "labelled")
        assert status["decision"]["rule"] == "max_iterations"
    assert set(computed) == set(frames(pair[0][1]).hashes())


def test_lineage_of_a_frame_of_the_loop_reaches_the_starting_structure(
    home: Home, pair: list[tuple[int, Path]]
) -> None:
    pk, folder = pair[0]
    data = frames(folder)
    last = len(data) - 1
    text = home.call("lineage", pk, "--frame", last).stdout
    chain = home.facts("lineage", pk, "--frame", last)
    assert data.hashes()[last] in json.dumps(chain)
    for word in ("label", "selection", "sampl", "potential"):
        assert word in text.lower(), text


def test_recipes_of_the_docs_run(home: Home, pair: list[tuple[int, Path]]) -> None:
    """Every block of the page on provenance, one after the other, on a campaign that is smaller than the page's."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "provenance.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```\{code-block\} python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for there, here in (("1234", str(pair[0][0])), ('"md_0", 117', '"md_0", 3'), ("minimum=0.1", "minimum=0.0")):
        assert there in code
        code = code.replace(there, here)
    found = home.python(f"{code}\nprint()\nprint(json.dumps([len(hot), len(worst), len(query.all())]))")
    assert found[0] > 0
    assert found[1:] == [5, 2]


def test_the_exported_potential_drives_ase_in_three_lines(pair: list[tuple[int, Path]]) -> None:
    folder = pair[0][1]
    code = (
        "from ase.build import bulk\n"
        "from bloomery.engines.contract import load_potential\n"
        "atoms = bulk('Si', cubic=True)\n"
        f"atoms.calc = load_potential({str(folder / 'potential')!r}).calculator()\n"
        "print(atoms.get_potential_energy())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Stillinger-Weber silicon is bound by 4.336 eV per atom.
    assert float(done.stdout) / 8 == pytest.approx(-4.336, abs=0.05)


def test_a_finished_campaign_is_not_run_again(home: Home, pair: list[tuple[int, Path]], tmp_path: Path) -> None:
    file = pair[0][1].parent / "first.yaml"
    assert home.submit(file) == pair[0][0]


def test_report_is_one_page_without_network(home: Home, pair: list[tuple[int, Path]], tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    home.call("report", pair[0][0], "--to", target)
    page = target.read_text()
    assert "<html" in page
    assert 'src="http' not in page
