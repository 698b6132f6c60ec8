import re
from types import SimpleNamespace

import pytest

from aiida_bloomery.report.methods import methods
from aiida_bloomery.report.references import REFERENCES, called, references_of
from bloomery.papers import Paper
from bloomery.plugins import KINDS, load_plugin, registered


def test_what_was_used_is_named_and_cited(example: SimpleNamespace) -> None:
    found = methods(example.full())
    for word in (
        "30 labelled configurations", "2 iterations", "rattle_strain (frames 20)", "Quantum ESPRESSO", "farthest_point",
        "committee of 8 high-dimensional neural-network potentials", "48.0 meV/Å", "phonons", "The selection helped.",
    ):  # fmt: skip
        assert word in found.text
    cited = {int(number) for group in re.findall(r" \[([\d, ]+)\]", found.text) for number in group.split(",")}
    assert cited == set(range(1, len(found.references) + 1))
    papers = [reference.text for reference in found.references]
    assert any("Behler" in text and "Parrinello" in text for text in papers)
    assert any("Togo" in text for text in papers)
    assert "temperatures (300, 1200)" in found.text  # square brackets are for papers
    assert not any("Stillinger" in text for text in papers)


def test_numbers_follow_the_order_of_their_first_mention(example: SimpleNamespace) -> None:
    text = methods(example.full()).text
    first = list(dict.fromkeys(int(n) for group in re.findall(r" \[([\d, ]+)\]", text) for n in group.split(",")))
    assert first == sorted(first)


def test_of_a_campaign_that_has_just_begun_little_is_said(example: SimpleNamespace) -> None:
    found = methods(example.campaign(history={}, inputs={}, validation={}, ledger=[]))
    assert "0 labelled configurations" in found.text
    assert "RMSE" not in found.text


def test_every_doi_is_one() -> None:
    of_plugins = [references_of(kind.removesuffix("s"), name) for kind in KINDS for name in registered(kind)]
    assert sum(map(bool, of_plugins)) > 30
    for papers in (*REFERENCES.values(), *of_plugins, references_of("labeller", "quantumespresso")):
        assert all(re.fullmatch(r"10\.\d{4,5}/\S+", paper.doi) for paper in papers)


def test_plugins_are_called_by_their_titles() -> None:
    assert called("labeller", "quantumespresso", "?") == "Quantum ESPRESSO"
    assert called("labeller", "calculator", "?") == "an ASE calculator"
    assert called("engine", "mace", "?") == "MACE potentials"
    assert called("observable", "rdf", "?") == "Radial distribution function"
    assert called("sampler", "md", "md") == "md"
    assert called("labeller", "no-such-labeller", "another") == "another"


def test_a_plugin_of_another_package_brings_its_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = load_plugin("selectors", "sanity")
    assert references_of("selector", "sanity") == ()
    monkeypatch.setattr(plugin, "references", ("A. Author, J. Tests 1, 2 (2026)",))
    assert references_of("selector", "sanity") == (Paper("A. Author, J. Tests 1, 2 (2026)"),)


def test_plugins_that_are_not_installed_have_no_papers() -> None:
    assert references_of("sampler", "no-such-sampler") == ()
