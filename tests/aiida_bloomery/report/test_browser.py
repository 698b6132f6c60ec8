"""The page in a browser: what it shows, what it does when it is clicked on, and that it says no bad word meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.aiida_bloomery.report.chromium import PROGRAM, Tab, tab

from aiida_bloomery.report import render

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="there is no chromium")]

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">\"'&\u202eΩ"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def page(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(example.full()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Tab, page: Path) -> Tab:
    browser.problems.clear()
    browser.requests.clear()
    browser.open(page)
    browser.run("bloomeryMap.then((map) => { window.map = map; return map !== null; })")
    return browser


def fact(browser: Tab, title: str) -> str:
    """What the page tells of the frame that it shows."""
    found: str = browser.run(
        f"[...document.querySelectorAll('#map-list div')].find(row => row.firstChild.textContent === {title!r})"
        "?.lastChild.textContent || ''"
    )
    return found


def test_every_figure_is_there_and_nothing_is_asked_for_or_complained_about(opened: Tab) -> None:
    sizes = opened.run(
        "document.getElementById('map-static').hidden = false;"
        "[...document.querySelectorAll('figure.drawn svg')].map(svg => svg.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    assert len(sizes) == 16
    assert min(min(size) for size in sizes) > 80
    assert opened.problems == []
    assert [address for address in opened.requests if not address.startswith(("file:", "data:"))] == []


def test_a_click_on_the_map_shows_that_frame(opened: Tab, example: SimpleNamespace) -> None:
    data = example.data_set()
    opened.run("document.getElementById('map-canvas').scrollIntoView({block: 'center'})")
    box = opened.run("(() => { const b = map.canvas.getBoundingClientRect(); return [b.left, b.top]; })()")
    for frame in (4, 17, 29):
        x, y = opened.run(f"map.place({frame})")
        opened.click(box[0] + x, box[1] + y)
        assert fact(opened, "content hash") == data.columns["hash"][frame]
        assert fact(opened, "batch") == f"batch_{data.iteration[frame]:03d}, frame {data.index[frame]}"
        assert opened.run("document.getElementById('map-command').textContent").endswith(f"lineage 42 --frame {frame}")


def test_the_structure_is_the_one_of_the_frame(opened: Tab, example: SimpleNamespace) -> None:
    frames = example.data_set().configurations
    shown: dict[str, Any] = opened.run(
        "map.structure(7).then(found => ({cell: found.cell, positions: [...found.positions], kinds: [...found.kinds]}))"
    )
    wanted = frames[[7]]
    assert np.reshape(shown["positions"], (-1, 3)) == pytest.approx(wanted.positions, abs=1e-3)
    assert np.reshape(shown["cell"], (3, 3)) == pytest.approx(wanted.cells[0], abs=1e-5)
    assert shown["kinds"] == [0] * 8
    drawn = opened.run(
        "map.show(7).then(() => { const c = map.viewer.canvas;"
        "const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return pixels.filter((value, i) => i % 4 === 3 && value).length; })"
    )
    assert drawn > 1000


def test_keys_go_from_frame_to_frame(opened: Tab) -> None:
    opened.run("map.show(3).then(() => map.canvas.focus())")
    opened.key("PageDown")
    assert opened.run("map.frame") == 4
    x = opened.run("map.place(4)[0]")
    opened.key("ArrowLeft")
    assert opened.run("map.place(map.data.map.frames.indexOf(map.frame))[0]") < x
    opened.key("Home")
    assert opened.run("map.frame") == 0


def test_colours_can_be_chosen(opened: Tab) -> None:
    choices = opened.run("[...document.getElementById('map-colour').options].map(option => option.value)")
    assert {"iteration", "role", "sampler", "error_before", "error_now", "energy"} <= set(choices)
    seen = set()
    for name in choices:
        seen.add(
            opened.run(
                f"(() => {{ const s = document.getElementById('map-colour'); s.value = {name!r};"
                "s.dispatchEvent(new Event('change')); return map.colours.join(); })()"
            )
        )
    assert len(seen) == len(choices)
    assert opened.problems == []


def test_hostile_names_are_shown_as_text(browser: Tab, example: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    (elastic,) = example.measured()[-1:]
    facts = example.full(
        title=HOSTILE,
        data_set=example.data_set(word=HOSTILE),
        measured=[
            type(elastic)(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: {"potential": {HOSTILE: example.number(1, HOSTILE)}}})
        ],
        ledger=[example.entry(0, "failed", reason=HOSTILE)],
    )
    path.write_text(render(facts), encoding="utf-8")
    browser.problems.clear()
    browser.open(path)
    browser.run("bloomeryMap.then((map) => { window.map = map; return map.show(20); })")
    assert browser.run("document.querySelector('h1').textContent") == HOSTILE
    assert browser.run("document.title") == f"{HOSTILE} – campaign 42"
    assert fact(browser, "selected by") == HOSTILE
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.problems == []


def test_without_javascript_the_essentials_are_there(browser: Tab, page: Path) -> None:
    browser.open(page, script=False)
    texts = browser.command("DOMSnapshot.captureSnapshot", computedStyles=["display"])["strings"]
    everything = " ".join(texts)
    for word in ("Done", "Errors by iteration", "Map of the data set", "Methods, for a paper", "SCF did not converge"):
        assert word in everything
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    height = "document.querySelector('#map-static svg').getBoundingClientRect().height"
    assert browser.run(height) > 80
    assert browser.run("document.getElementById('map-live').hidden") is True


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(width: int, browser: Tab, page: Path) -> None:
    browser.open(page, width=width)
    browser.run("bloomeryMap.then(() => 1)")
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_it_prints(browser: Tab, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    browser.run("bloomeryMap.then(() => 1)")
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
