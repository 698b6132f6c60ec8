import re
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from aiida_bloomery.report.facts import CampaignFacts, Outcome
from aiida_bloomery.report.page import LONGEST_LEDGER, render
from bloomery.campaign.record import FunnelRow

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects what a test asks for, and complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(example: SimpleNamespace) -> str:
    return render(example.campaign())


def test_page_is_well_formed_and_needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    assert not [link for link in page.links if not link.startswith("#")]
    assert "url(http" not in html
    assert "@import" not in html


def test_page_is_small(html: str) -> None:
    assert len(html.encode()) < 400_000


def test_ids_are_unique(html: str) -> None:
    ids = [name for name in Page(html).ids if name]
    assert len(ids) == len(set(ids))


def test_sections_of_a_finished_campaign(html: str) -> None:
    sections = ["verdict", "errors", "done", "iterations", "parity", "selection", "ledger", "time", "methods"]
    sections.append("provenance")
    assert [name for name in Page(html).ids if name in sections] == sections


def test_table_of_iterations_has_bounds_and_failures(html: str) -> None:
    assert "80.0<br><small>72.0 to 88.0</small>" in html
    assert "19<br><small>1 failed</small>" in html


def test_ledger_of_failures_names_reason_and_code(html: str) -> None:
    assert "SCF did not converge in 80 steps" in html
    assert "<td>410</td>" in html


def test_long_ledger_is_cut_and_says_so(example: SimpleNamespace) -> None:
    text = render(
        example.campaign(ledger=[example.entry(i, "failed", reason="lost") for i in range(LONGEST_LEDGER + 7)]), []
    )
    assert text.count('<td class="text">lost</td>') == LONGEST_LEDGER
    assert "7 more:" in text


def test_figures_are_drawings_with_words_for_those_who_cannot_see_them(html: str) -> None:
    drawings = html.split("<svg")[1:]
    assert len(drawings) == 8
    for drawing in drawings:
        tree = ET.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")
        assert tree.attrib["role"] == "img"
        title, words = tree[0], tree[1]
        assert (title.tag.endswith("title"), words.tag.endswith("desc")) == (True, True)
        assert title.text
        assert words.text
        assert tree.attrib["aria-labelledby"] == title.attrib["id"]
        assert tree.attrib["aria-describedby"] == words.attrib["id"]


def test_text_of_the_user_is_escaped(example: SimpleNamespace) -> None:
    evil = "<script>alert(1)</script> & $x_"
    facts = example.campaign(
        title=evil,
        ledger=[example.entry(0, "failed", reason=evil)],
        inputs={"labeller": evil, "stop": {}, "sampling": {"samplers": [{"name": evil}]}},
        funnels={0: [FunnelRow(selector=evil, came_in=3, left=1, reasons={evil: 2})]},
    )
    html = render(facts, [])
    assert "script" not in Page(html).tags
    assert html.count("&lt;script&gt;") >= 6


def test_campaign_that_has_just_begun(example: SimpleNamespace) -> None:
    now = example.start
    facts = CampaignFacts("just begun", 1, "u", Outcome("running"), started=now, changed=now, made=now)
    html = render(facts)
    assert "Still running" in html
    assert "No frame has been given to the labeller yet" in html
    assert {"errors", "iterations", "parity", "selection", "time"}.isdisjoint(Page(html).ids)


def test_campaign_that_failed_in_the_bootstrap_shows_its_ledger(example: SimpleNamespace) -> None:
    outcome = Outcome("failed", "Labelling failed in bootstrap: too many frames failed (exit code 403)")
    facts = example.campaign(
        outcome=outcome, history={}, validation={}, ledger=[example.entry(0, "failed", reason="no memory")]
    )
    html = render(facts, [])
    assert "exit code 403" in html
    assert "no memory" in html
    assert "errors" not in Page(html).ids


def test_an_iteration_that_labelled_nothing_leaves_dashes(example: SimpleNamespace) -> None:
    idle = {"iteration": 1, "n_pool": 10, "n_selected": 0, "labels": None, "labels_total": 19}
    html = render(
        example.campaign(
            history={"iterations": [example.iteration(0, 90.0), idle | {"validation": None, "assess": None}]}
        ),
        [],
    )
    row = html.split('<th scope="row">1</th>')[1].split("</tr>")[0]
    assert row.count("–") == 6


@pytest.mark.slow
def test_many_force_components_stay_a_small_page(example: SimpleNamespace) -> None:
    assert len(render(example.campaign(validation=example.arrays(n_frames=400))).encode()) < 600_000


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["forces_predicted", "energy_reference", "disagreement"])
def test_lacking_arrays_cost_a_figure_and_not_the_page(lacking: str, example: SimpleNamespace) -> None:
    some = {key: value for key, value in example.arrays().items() if key != lacking}
    assert render(example.campaign(validation=some)).count("<svg") == 7


@pytest.mark.slow
def test_a_relative_target_has_a_figure_of_its_own_in_percent(example: SimpleNamespace) -> None:
    html = render(example.campaign(inputs={"stop": {"targets": {"relative_forces": 0.1}}}))
    assert html.count("<svg") == 9
    assert "target, 10.0 %" in html


@pytest.mark.slow
def test_a_control_arm_has_a_section_with_both_learning_curves(example: SimpleNamespace) -> None:
    plain = render(example.campaign())
    assert 'id="control"' not in plain
    said = {"sentence": "It <b>helped</b>.", "scope": "Not exploration."}
    verdict = {**example.verdict("<i>random</i>"), **said}
    history = {**example.campaign().history.as_dict(), "control": verdict}
    html = render(example.campaign(history=history))
    Page(html)
    assert 'id="control"' in html
    assert "It &lt;b&gt;helped" in html
    assert "Not exploration." in html
    assert "The selection against its control" in html
    assert "<i>random" not in html


def test_both_arms_are_compared_on_errors_and_on_observables(example: SimpleNamespace) -> None:
    history = {**example.campaign().history.as_dict(), "control": example.verdict()}
    section = render(example.campaign(history=history), []).split('<section id="control">')[1].split("</section>")[0]
    assert "60.0<br><small>± 2.00 over 3 trainings</small>" in section
    assert "33 %<br><small>30 to 36 %</small>" in section
    assert section.count('<th scope="row" class="text">independent set</th><td class="text">forces (meV/Å)') == 1
    nearer = re.findall(r'elastic Si2.*<td class="text">([^<]*)</td></tr>', section)
    assert nearer == ["selection", "cannot be told"]
    words = " ".join(unescape(section).split())
    assert "nearer to the reference in 1, the control arm's in 0; in 1 their 95 % intervals overlap" in words


def test_without_a_control_arm_its_columns_are_not_there(example: SimpleNamespace) -> None:
    facts = example.campaign(measured=example.measured())
    assert "its difference" not in render(facts, [])
    assert "its difference" in render(example.full(), [])
