import csv
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from aiida_bloomery.report import write_figures
from aiida_bloomery.report.comparing import remarks, rows_of
from aiida_bloomery.report.facts import Measured
from aiida_bloomery.report.figures.drawing import joined, table
from aiida_bloomery.report.figures.observables import figures_of
from aiida_bloomery.report.page import draw


def test_every_figure_has_a_name_of_its_own_and_words(example: SimpleNamespace) -> None:
    drawn = [figure for _, figure in draw(example.full())]
    names = [figure.name for figure in drawn]
    assert len(names) == len(set(names)) == 16
    assert all(figure.title and figure.description and figure.columns for figure in drawn)


@pytest.mark.slow
def test_figures_are_written_as_png_svg_and_csv(example: SimpleNamespace, tmp_path) -> None:
    drawn = [figure for _, figure in draw(example.campaign())][:2]
    write_figures(drawn, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        f"{figure.name}{ending}" for figure in drawn for ending in (".png", ".svg", ".csv")
    }
    assert (tmp_path / "new" / f"{drawn[0].name}.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "new" / f"{drawn[0].name}.csv").open(encoding="utf-8")))
    values = [float(row["value (meV/Å)"]) for row in rows if row["measured on"].startswith("whole probe")]
    assert values == [200.0, 80.0, 50.0]


def test_columns_of_several_series_are_stacked() -> None:
    columns = joined([{"of": "a", "x": np.arange(2)}, {"of": "b", "x": [5.0], "y": 1}])
    assert list(csv.reader(io.StringIO(table(columns)))) == [
        ["of", "x", "y"], ["a", "0", ""], ["a", "1", ""], ["b", "5.0", "1"],
    ]  # fmt: skip


def test_both_methods_and_the_experiment_are_drawn(example: SimpleNamespace) -> None:
    rdf, equation, phonons, elastic = example.measured()
    (curve,) = figures_of(rdf)
    assert dict.fromkeys(curve.columns["method"]) == dict.fromkeys(["reference", "potential", "experiment"])
    assert "Overlap with the reference: 97.0 %" in curve.caption
    (figure,) = figures_of(equation)
    assert set(figure.columns["method"]) == {"reference", "potential"}
    assert [figure.name for figure in figures_of(phonons)] == ["phonons-si2-bands", "phonons-si2-dos"]
    assert figures_of(elastic) == []


def test_it_is_said_where_the_errors_of_averages_come_from(example: SimpleNamespace) -> None:
    rdf, *others = example.measured()
    assert [remarks(measured) for measured in (rdf, *others)] == [[]] * 4
    numbers = {"effective_frames": {"value": 484.06, "unit": "1"}, "energy_spread": {"value": 0.372, "unit": "kT"}}
    side = {**rdf.summary["trajectory"], "committee": numbers}
    unknown = {**side, "notes": ["Not known."]}
    assert remarks(replace(rdf, summary={**rdf.summary, "trajectory": unknown})) == ["Not known."]
    known = {**side, "committee": {**numbers, "model_errors": {}}}
    (sentence,) = remarks(replace(rdf, summary={**rdf.summary, "trajectory": known}))
    assert "0.37 kT off from frame to frame (484 frames carry the worst)" in sentence


def test_the_control_arm_is_drawn_beside_the_others(example: SimpleNamespace) -> None:
    rdf, equation, phonons, _ = map(example.with_control, example.measured())
    sides = {"reference", "control arm", "potential"}
    for found in (rdf, equation, phonons):
        for figure in figures_of(found):
            assert set(figure.columns["method"]) - {"experiment"} == sides
            assert "control arm" in figure.description
    (curve,) = figures_of(rdf)
    assert "of the control arm's potential 97.0 %" in curve.caption
    method = np.array(curve.columns["method"])
    shown = {side: np.array(curve.columns["g"])[method == side].astype(float) for side in sides}
    np.testing.assert_allclose(shown["control arm"], 1.03 * shown["potential"])


def test_the_control_arm_has_columns_in_the_table(example: SimpleNamespace) -> None:
    elastic = example.measured()[-1]
    other = {"Si2": {**elastic.summary["Si2"], "potential": {"C11": example.number(150.0, "GPa")}}}
    other["Si2"]["relative_difference"] = {"C11": example.number(-6.25, "%")}
    rows = {row.quantity: row for row in rows_of(replace(elastic, control=replace(elastic, summary=other)))}
    assert (rows["C11"].control, rows["C11"].control_interval) == ("150.0", "135.0 to 165.0")
    assert rows["C11"].control_difference == "-6.250 %"
    assert (rows["C12"].control, rows["C12"].ours) == ("", "60.00")


def test_table_has_both_methods_and_leaves_out_what_symmetry_makes_zero(example: SimpleNamespace) -> None:
    rows = {row.quantity: row for row in rows_of(example.measured()[-1])}
    assert list(rows) == ["C11", "C12"]
    assert (rows["C11"].ours, rows["C11"].reference, rows["C11"].experiment) == ("160.0", "160.0", "165.7")
    assert rows["C11"].unit == "GPa"


def test_an_observable_of_another_sort_has_all_its_numbers_in_the_table(example: SimpleNamespace) -> None:
    summary = {"drift": example.number(0.2, "meV/atom/ps"), "note": "text", "deep": {"time": example.number(3.0, "ps")}}
    rows = rows_of(Measured("nve", "nve_stability", "final_compare", summary))
    assert [(row.quantity, row.ours, row.unit) for row in rows] == [
        ("drift", "0.2000", "meV/atom/ps"), ("deep time", "3.000", "ps"),
    ]  # fmt: skip


def test_a_lower_bound_is_no_value() -> None:
    summary = {"time_to_failure": {"value": 2.0028, "unit": "ps", "at_least": True}}
    (row,) = rows_of(Measured("nve", "nve_stability", "final_compare", summary))
    assert (row.ours, row.unit) == ("> 2.003", "ps")


@pytest.mark.parametrize("name", ["<b>", "../../x", "Ö/é"])
def test_names_of_files_are_plain_whatever_the_key(name: str, example: SimpleNamespace) -> None:
    rdf = example.measured()[0]
    (figure,) = figures_of(Measured(name, "rdf", "final_compare", rdf.summary, rdf.arrays))
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in figure.name)
